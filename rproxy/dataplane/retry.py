"""What becomes of a pending that its server did not answer: sent elsewhere, sent again, or an error that says what is known.

Called by `pool` and `upstream` when a connection ends, can't be had, or brings a refusal. The rules: what was not sent may go anywhere; a read that was
sent is sent once more; a write never, unless its server has proved that it did not run it. It must never send again what may have been executed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import blocking, codes, cursors, order
from rproxy.dataplane.commands import Effect
from rproxy.dataplane.freshness import KEYSPACE, bit
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.policies import closes_lost_writes
from rproxy.dataplane.states import ASK, COPY
from rproxy.dataplane.strangers import may_send
from rproxy.dataplane.tallies import RETRIES

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream


MOST_HOPS = 32
"""Servers to which one request may be handed, one after the other."""
_REFUSES_WRITES = b"-READONLY You can't write against a read only"


def forward(pending: Pending, pool: Pool) -> None:
    """Send it to another server, if somebody still waits for it."""
    session = pending.session
    pending.hops += 1
    if pending.hops > MOST_HOPS:
        _give_up(pending)
    elif isinstance(pending, cursors.Step):
        pending.moved(pool)
    elif session is not None:
        if pending.read:
            pool.reads += pending.left
            if session.fresh and not pending.away and pool is not pool.plane.leader:
                pending.away = True
                session.away += 1
                session.asked |= bit(KEYSPACE)
        else:
            pool.writes += pending.left
        pool.send(pending)


def _give_up(pending: Pending) -> None:
    """It has been handed from server to server more often than any failover explains: whatever sends it round, it ends here."""
    session = pending.session
    if session is not None:
        session.plane.notice("a request was given up: handed from server to server too often")
        session.fail(pending, errors.TOO_MANY_HOPS, executed=False)


def each(plane: Plane, pendings: list[Pending], settle: Callable[[Pending], None]) -> None:
    """Settle these one by one. A fault with one of them ends its session, and the others are settled all the same."""
    for pending in pendings:
        try:
            settle(pending)
        except Exception as problem:
            plane.end_session(pending.session, problem)


def tell(plane: Plane, waiters: list[tuple[float, Callable[[], None]]]) -> None:
    """Let all go on that wait for a connection, also where one of them fails."""
    for _, come in waiters:
        try:
            come()
        except Exception as problem:
            plane.fault(problem)


def divert(pool: Pool, pending: Pending, trouble: bool) -> None:
    """The server has refused a read without running it: another one is asked. `trouble`: it is not fit to be read."""
    plane = pool.plane
    plane.diverted += pending.left
    if trouble:
        plane.suspect(pool.server, "refuses reads")
    pending.again()
    forward(pending, plane.other_reader(pool, pending.need) if trouble and pending.tries == 1 else plane.leader)


def erred(pool: Pool, pending: Pending, data: bytes, pos: int) -> None:
    """The server answers with an error that begins at `data[pos]`. One that refuses writes leads no more, if those are its words and no script's."""
    codes.count(pending, data, pos)
    if pool.leads and pending.vouched and data.startswith(_REFUSES_WRITES, pos):
        pool.plane.ports.demoted(pool.server, "it refuses writes: READONLY")


def demoted(upstream: Upstream, pending: Pending, reply: bytes) -> bool:
    """The server answered `reply`, a -READONLY: it did not run this write, and leads no more. True: the write is sent once more, to whoever leads then, and
    behind it the session's reads that were behind it.

    Not where it would show that it was run later than what the session sent behind it.
    """
    plane = upstream.pool.plane
    unblocked = reply.startswith(b"-UNBLOCKED")
    why = "it unblocked a client: its role may have changed" if unblocked else "it refuses writes: READONLY"
    plane.ports.demoted(upstream.pool.server, why)
    if pending.effect == Effect.BLOCKING:
        return blocking.ask_again(upstream, pending)
    session = pending.session
    if session is None or pending.left != 1 or pending.tries:
        return False
    behind = order.train(session, pending)
    places = [_place_of(upstream, read) for read in behind or ()]
    if behind is None or not all(places):
        return False
    for read, place in zip(behind, places, strict=True):
        at = place.index(read)
        place[at : at + 1] = [Pending(None, read.left, b"", False)] if place is upstream.fifo else []
    pending.head = reply
    for moved in (pending, *behind):
        moved.again()
        moved.since = plane.clock()
        forward(moved, plane.leader)
    return True


def _place_of(upstream: Upstream, read: Pending) -> list[Pending]:
    """Where a read stands: among what was sent on this lane, or is to be sent, here or where the next leader is waited for. Empty: elsewhere."""
    waiting = upstream.pool.plane.leader.lanes.get(upstream.key)
    places = [upstream.fifo, upstream.batch, waiting.batch if waiting is not None else []]
    return next((place for place in places if read in place), [])


def refused(pool: Pool, pending: Pending, refusal: bytes) -> None:
    """The server will not have this session's user or database: the leader is asked for reads, the server's error is the answer else."""
    if pending.read and not pool.leads:
        forward(pending, pool.plane.leader)
    elif pending.session is not None:
        pending.session.fail(pending, refusal, executed=False)


def lost(pool: Pool, pending: Pending, begun: bool) -> None:
    """It was sent, and its connection has ended. `begun`: in the middle of its reply."""
    plane = pool.plane
    if pending.slots is not None:
        plane.lose(pending.slots)
    session = pending.session
    if session is None:
        return
    if pending.effect in (ASK, COPY):
        pending.parts = []
    if begun and pending.effect not in (ASK, COPY):
        plane.notice(f"{pool.server.name}: lost in the middle of a reply, of which part has gone out: its client is closed")
        session.close()
        return
    if pending.read and not pending.tries and not order.before_a_write(session, pending):
        plane.retried += pending.left
        plane.tallies.count_of_server(pool.index, RETRIES, pending.left)
        pending.again()
        forward(pending, plane.other_reader(pool, pending.need))
        return
    if not pending.read:
        plane.lost += pending.left
    if pending.effect not in (ASK, COPY) and (blocking.waits(pending) or (not pending.read and closes_lost_writes(session))):
        session.cut()
        return
    error = errors.LEADER_LOST if pool.leads else errors.COMMAND_LOST
    session.fail(pending, errors.READER_LOST if pending.read else error, executed=True)


def refuse_large(upstream: Upstream) -> None:
    """Nobody has logged in on this connection, and the server closes it for large commands, which must not end what others have on it."""
    batch = upstream.batch
    upstream.batch = [pending for pending in batch if may_send(pending.request)]
    for pending in batch:
        if pending not in upstream.batch and pending.session is not None:
            pending.session.fail(pending, errors.NOAUTH, executed=False)


def unsent(pending: Pending) -> None:
    """It was not sent, and can't be within the budget."""
    session = pending.session
    if session is None:
        return
    if blocking.waits(pending):
        session.cut()
    else:
        error = errors.NO_READER if pending.read else pending.head or session.plane.no_leader()
        session.fail(pending, error, executed=False)


def move_reads(upstream: Upstream, latest: float) -> None:
    """Send the reads that wait for a connection (those since `latest` or earlier; 0: all) to another reader, where there is one."""
    pool = upstream.pool

    def move(pending: Pending) -> None:
        other = pool
        if pending.read and (not latest or pending.since <= latest) and not _is_tied(pending):
            other = pool.plane.stand_in(pool, pending)
        if other is pool or (pool.leads and _refuses(other, pending)):
            upstream.batch.append(pending)
        else:
            forward(pending, other)

    batch, upstream.batch = upstream.batch, []  # what is moved may come back to it
    each(pool.plane, batch, move)


def _refuses(pool: Pool, pending: Pending) -> bool:
    """Whether this server has just refused the user or the database: what it is given comes straight back."""
    lane = pool.lanes.get(pending.key) if pending.key is not None else None
    return lane is not None and bool(lane.refusal)


def _is_tied(pending: Pending) -> bool:
    """Whether a read that waits for the leader has to stay where it is, because a write of its session is not answered yet."""
    session = pending.session
    return session is not None and not pending.away and (session.fresh or session.strict) and order.writes(session)


def expire(upstream: Upstream, latest: float) -> None:
    """Answer what waits for the connection since `latest` or before: it has waited for the budget."""
    expired = [pending for pending in upstream.batch if pending.since <= latest]
    if expired:
        if upstream.owner is not None:
            expired, upstream.batch = upstream.batch, []
            upstream.owner.lease_lost(upstream)
            upstream.close()
        upstream.batch = [pending for pending in upstream.batch if pending.since > latest]
        each(upstream.pool.plane, expired, unsent)
    late = [waiter for waiter in upstream.waiters if waiter[0] <= latest]
    upstream.waiters = [waiter for waiter in upstream.waiters if waiter[0] > latest]
    tell(upstream.pool.plane, late)


def forget(upstream: Upstream) -> None:
    """A connection that never was is closed from this side: what waits for it goes elsewhere, or was not executed."""
    pool = upstream.pool
    batch, upstream.batch = upstream.batch, []
    waiters, upstream.waiters = upstream.waiters, []
    if upstream.owner is not None:
        upstream.owner.lease_lost(upstream)

    def settle(pending: Pending) -> None:
        if pending.read and upstream.owner is None and not pool.leads:
            forward(pending, pool.plane.other_reader(pool, pending.need))
        else:
            unsent(pending)

    each(pool.plane, batch, settle)
    tell(pool.plane, waiters)


def move_stale(upstream: Upstream) -> None:
    """A connection is ready, and reads have waited for it: those for which its server's mark does not suffice any more go elsewhere."""
    pool = upstream.pool
    plane = pool.plane
    batch, upstream.batch = upstream.batch, []

    def settle(pending: Pending) -> None:
        if pending.need and not plane.may(pool, pending.need):
            forward(pending, plane.other_reader(pool, pending.need))
        else:
            upstream.batch.append(pending)

    each(plane, batch, settle)


def may_leave(upstream: Upstream) -> bool:
    """Whether there is an elsewhere for what waits on a lane whose server is silent: others that read, or another lane to the leader."""
    pool = upstream.pool
    return upstream in pool.stalled if pool.leads else pool not in pool.plane.readers


def _leaves(pool: Pool, pending: Pending, stays: Session | None) -> bool:
    """Whether this request goes elsewhere. An iteration stays where it was begun, and no read changes the leader's lanes for ever. `stays`: whose does not."""
    session = pending.session
    if session is None or not pending.read or (pending.tries and (pool.leads or isinstance(pending, cursors.Step))):
        return False
    return not pool.leads or _only_reads(session, stays)


def _head_leaves(upstream: Upstream, head: Pending) -> bool:
    """Whether the request at the head goes elsewhere too. It may be what keeps the server busy, so that needs more than silence: the control plane has found
    that the server does not answer. It is a read of whose reply nothing has come, and it is tried once more, not again and again.
    """
    pool = upstream.pool
    plane = pool.plane
    away = plane.leaderless if pool.leads else dict(plane.topology.reasons).get(pool.index) == "failed"
    return away and not head.tries and not upstream.begun() and _leaves(pool, head, None)


def _only_reads(session: Session, stays: Session | None) -> bool:
    """Whether a session can leave a lane of the leader with all that it has there. It does, if so."""
    leaves = stays is not session and all(pending.read for pending in session.fifo)
    if leaves:
        session.untie(session.plane.leader)
    return leaves


def rescue(upstream: Upstream) -> None:
    """The server is silent: its waiting reads go elsewhere, and the one at the head only where the server is known to be away.

    Elsewhere is another lane for those who wait on a lane of the leader that something holds up, and have nothing in flight but reads.
    """
    head, *others = upstream.fifo_now()
    pool = upstream.pool
    fifo: list[Pending] = []
    stays = None
    if _head_leaves(upstream, head):
        others.insert(0, head)
    else:
        fifo.append(head)
        stays = head.session
    if head.read and not pool.leads and fifo:
        rest = head.split()
        if rest is not None and head.session is not None:
            at = head.session.fifo.index(head)
            head.session.fifo.insert(at + 1, rest)
            head.session.away += rest.away
            others.insert(0, rest)
    for pending in others:
        if _leaves(pool, pending, stays):
            fifo.append(Pending(None, pending.left, b"", False))
            pending.again()
            pool.plane.retried += pending.left
            pool.plane.tallies.count_of_server(pool.index, RETRIES, pending.left)
            forward(pending, pool.plane.other_reader(pool, pending.need) if not pool.leads else pool)
        else:
            fifo.append(pending)
    upstream.replace_fifo(fifo)
