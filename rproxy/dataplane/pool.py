"""The lanes and leases of one server: opening, backoff, waiting, idling out, and what becomes of pendings when a connection ends.

Called by `session` (which lane, which lease), by `upstream` (opened, lost) and by `plane` (ticks). It knows the retry rules: a read may be sent once
more, a write never. It must never send again what may have been executed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane.handshake import LaneKey
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import ASK, LEASE, Stage
from rproxy.dataplane.topology import Server
from rproxy.dataplane.upstream import Upstream

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

SILENT_TICKS = 10
"""Ticks without a byte, while something is in flight, after which new reads go to other servers."""
LEADERLESS_WAIT = 0.1
"""Seconds that a read waits for a leader that does not answer, before it goes to a replica."""
FIRST_BACKOFF = 0.02
LONGEST_BACKOFF = 0.5
REFUSAL_KEPT = 1.0
"""Seconds for which a server's refusal of a user or database is believed."""
SPARE_LEASES = 64


class Pool:
    """Connections to `server`. `leads`: it is the leader's. `reads` and `writes` count commands sent; `silent`: it has not answered for a while."""

    __slots__ = (
        "plane", "server", "leads", "reads", "writes", "silent", "lanes", "leases", "_spare", "_unready", "_failures", "__weakref__",
    )  # fmt: skip

    def __init__(self, plane: Plane, server: Server, leads: bool) -> None:
        self.plane = plane
        self.server = server
        self.leads = leads
        self.reads = 0
        self.writes = 0
        self.silent = False
        self.lanes: dict[LaneKey, Upstream] = {}
        self.leases: set[Upstream] = set()
        self._spare: dict[LaneKey, list[Upstream]] = {}
        self._unready: set[Upstream] = set()
        self._failures = 0

    def lane(self, key: LaneKey) -> Upstream:
        """The shared connection for `key`, opened when there is none."""
        lane = self.lanes.get(key)
        if lane is None:
            lane = Upstream(self, key, None)
            self.lanes[key] = lane
            self._start(lane)
        return lane

    def lease(self, owner: Session, key: LaneKey) -> Upstream:
        """A connection for `owner` alone, until `give_back`."""
        spare = self._spare.get(key)
        if spare:
            lease = spare.pop()
            lease.owner = owner
            if not spare:
                del self._spare[key]
        else:
            lease = Upstream(self, key, owner)
            self._start(lease)
        self.leases.add(lease)
        return lease

    def once(self, key: LaneKey) -> Upstream:
        """A connection for one question, which the caller closes."""
        upstream = Upstream(self, key, None)
        self.leases.add(upstream)
        self._start(upstream)
        return upstream

    def give_back(self, lease: Upstream) -> None:
        """The owner has left it in its first state: it may be lent again. With any doubt, the caller closes it instead."""
        lease.owner = None
        self.leases.discard(lease)
        if not lease.ready or lease.fifo or lease.batch or len(self._spare.get(lease.key, ())) >= SPARE_LEASES:
            lease.close()
            return
        self._spare.setdefault(lease.key, []).append(lease)
        self._retire_later(lease)

    def await_ready(self, upstream: Upstream, come: Callable[[], None]) -> None:
        """Call `come` when the connection is ready or refused, or the budget is over."""
        upstream.waiters.append((self.plane.clock(), come))
        self._unready.add(upstream)
        self.plane.start_ticking()

    def close(self) -> None:
        """End every connection."""
        spare = [lease for leases in self._spare.values() for lease in leases]
        for upstream in [*self.lanes.values(), *self.leases, *spare]:
            upstream.close()

    # What connections tell.

    def delay(self, upstream: Upstream, pending: Pending) -> None:
        """A pending waits for a connection that is not ready."""
        if upstream.stage is Stage.REFUSED:
            upstream.batch.remove(pending)
            self._refuse(pending, upstream.refusal)
            return
        if not pending.since:
            pending.since = self.plane.clock()
        self._unready.add(upstream)
        self.plane.start_ticking()

    def opened(self, upstream: Upstream) -> None:
        """The handshake is through: the connection is ready, or the server refuses this user or database."""
        self._failures = 0
        self._unready.discard(upstream)
        waiters, upstream.waiters = upstream.waiters, []
        if upstream.ready:
            upstream.flush()
            if self.lanes.get(upstream.key) is upstream:
                self._retire_later(upstream)
        else:
            batch, upstream.batch = upstream.batch, []
            if upstream.owner is not None:
                upstream.owner.lease_lost(upstream)
            for pending in batch:
                self._refuse(pending, upstream.refusal)
            self.plane.later(REFUSAL_KEPT, upstream.close)
        for _, come in waiters:
            come()
        if upstream.owner is not None:
            upstream.owner.release(LEASE)
            if upstream.owner.choked and upstream.transport is not None:
                upstream.transport.pause_reading()

    def dial_failed(self, upstream: Upstream, reason: str) -> None:
        """No connection could be had. What waits goes elsewhere if it may, or waits for the next attempt."""
        self._failures += 1
        self.plane.suspect(self.server, reason)
        upstream.become(Stage.WAITING)
        if upstream.owner is None:
            self._move_reads(upstream, 0.0)
        if upstream.batch or upstream.waiters:
            self._start(upstream)
        else:
            self._drop(upstream)

    def lost(self, upstream: Upstream, begun: bool) -> None:
        """A connection has ended. `begun`: in the middle of a reply."""
        if upstream.stage is Stage.OPENING and not upstream.ended:
            self.dial_failed(upstream, "closed during the handshake")
            return
        sent = upstream.abandon()
        if not upstream.ended:
            self.plane.suspect(self.server, "connection lost")
        if upstream.owner is not None:
            upstream.owner.lease_lost(upstream)
        for pending in sent:
            self._fail_sent(pending, begun)
            begun = False
        if upstream.batch and self.lanes.get(upstream.key) is upstream:
            now = self.plane.clock()
            for pending in upstream.batch:
                pending.since = pending.since or now
            upstream.become(Stage.WAITING)
            self._unready.add(upstream)
            self._move_reads(upstream, 0.0)
            self._start(upstream)
            return
        if upstream.stage is Stage.CLOSED:
            return
        batch, upstream.batch = upstream.batch, []
        self._drop(upstream)
        for pending in batch:
            self._fail_unsent(pending)

    def closed(self, upstream: Upstream) -> None:
        """A connection that never was, or a refused one, has been closed from this side."""
        self._forget(upstream)

    def distrust(self, upstream: Upstream, reason: str) -> None:
        """A connection is about to be closed because of what came over it."""
        self.plane.notice(f"{self.server.name}: connection closed: {reason}")

    def divert(self, pending: Pending, trouble: bool) -> None:
        """The server has refused a read without running it: another one is asked. `trouble`: it is not fit to be read."""
        self.plane.diverted += pending.left
        if trouble:
            self.plane.suspect(self.server, "refuses reads")
        pending.again()
        other = self.plane.other_reader(self) if trouble and pending.tries == 1 else self.plane.leader
        self._forward(pending, other)

    def tick(self, now: float) -> bool:
        """Look after what waits; True while anything does."""
        for upstream in list(self._unready):
            self._expire(upstream, now)
        silent = False
        busy = bool(self._unready)
        for lane in self.lanes.values():
            if not lane.fifo:
                lane.silent = 0
                continue
            busy = True
            lane.silent = lane.silent + 1 if lane.received == lane.seen else 0
            lane.seen = lane.received
            silent = silent or lane.silent >= SILENT_TICKS
        if silent is not self.silent:
            self.silent = silent
            self.plane.refresh()
        return busy

    # Its own.

    def _start(self, upstream: Upstream) -> None:
        """Dial now, or after the backoff when the last attempts failed."""
        if not self._failures:
            upstream.dial()
            return
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures, 10))
        self.plane.later(longest * (0.5 + 0.5 * self.plane.random()), lambda: self._redial(upstream))

    def _redial(self, upstream: Upstream) -> None:
        if upstream.stage is not Stage.WAITING:
            return
        if upstream.batch or upstream.waiters:
            upstream.dial()
        else:
            self._drop(upstream)

    def _drop(self, upstream: Upstream) -> None:
        upstream.become(Stage.CLOSED)
        self._forget(upstream)

    def _forget(self, upstream: Upstream) -> None:
        self.leases.discard(upstream)
        self._unready.discard(upstream)
        if self.lanes.get(upstream.key) is upstream:
            del self.lanes[upstream.key]
        spare = self._spare.get(upstream.key)
        if spare and upstream in spare:
            spare.remove(upstream)
            if not spare:
                del self._spare[upstream.key]

    def _retire_later(self, upstream: Upstream) -> None:
        """Look after the idle time whether it is still of use. One look is on its way at most."""
        if not upstream.retiring:
            upstream.retiring = True
            received = upstream.received
            self.plane.later(self.plane.options.idle_lane, lambda: self._retire(upstream, received))

    def _retire(self, upstream: Upstream, received: int) -> None:
        """Close a connection over which nothing has come since `received` was counted; else look again later."""
        upstream.retiring = False
        if not upstream.ready or upstream.owner is not None:
            return
        if upstream.received == received and not upstream.fifo and not upstream.batch:
            self._forget(upstream)
            upstream.close()
        else:
            self._retire_later(upstream)

    def _expire(self, upstream: Upstream, now: float) -> None:
        """Answer what has waited for the budget, and send reads elsewhere that have waited for a leader."""
        if upstream.ready or not (upstream.batch or upstream.waiters):
            self._unready.discard(upstream)
            return
        if self.leads and upstream.owner is None and not self.plane.topology.leader_up:
            self._move_reads(upstream, now - LEADERLESS_WAIT)
        latest = now + self.plane.TICK - self.plane.options.budget
        expired = [pending for pending in upstream.batch if pending.since <= latest]
        if expired:
            if upstream.owner is not None:
                expired, upstream.batch = upstream.batch, []
                upstream.owner.lease_lost(upstream)
                upstream.close()
            upstream.batch = [pending for pending in upstream.batch if pending.since > latest]
            for pending in expired:
                self._fail_unsent(pending)
        late = [come for since, come in upstream.waiters if since <= latest]
        upstream.waiters = [waiter for waiter in upstream.waiters if waiter[0] > latest]
        for come in late:
            come()

    def _move_reads(self, upstream: Upstream, latest: float) -> None:
        """Send the waiting reads (those since `latest` or earlier; 0: all) to another reader, where there is one."""
        other = self.plane.other_reader(self)
        if other is self:
            return
        moving = [pending for pending in upstream.batch if pending.read and (not latest or pending.since <= latest)]
        if not moving:
            return
        upstream.batch = [pending for pending in upstream.batch if not (pending.read and (not latest or pending.since <= latest))]
        for pending in moving:
            if self.leads:
                self.plane.leaderless_reads += pending.left
            self._forward(pending, other)

    def _forward(self, pending: Pending, pool: Pool) -> None:
        if pending.session is not None:
            pool.reads += pending.left
            pool.lane(pending.session.key).send(pending)

    def _refuse(self, pending: Pending, refusal: bytes) -> None:
        """The server will not have this session's user or database: its leader is asked for reads, its error is the answer else."""
        if pending.read and not self.leads:
            self._forward(pending, self.plane.leader)
        elif pending.session is not None:
            pending.session.fail(pending, refusal, executed=False)

    def _fail_sent(self, pending: Pending, begun: bool) -> None:
        session = pending.session
        if session is None:
            return
        if pending.effect == ASK:
            pending.parts = []
        if begun and pending.effect != ASK:
            self.plane.notice(
                f"{self.server.name}: lost in the middle of a reply, of which part has gone out: its client is closed"
            )
            session.close()
            return
        if pending.read and not pending.tries:
            self.plane.retried += pending.left
            pending.again()
            self._forward(pending, self.plane.other_reader(self))
            return
        if not pending.read:
            self.plane.lost += pending.left
        error = errors.LEADER_LOST if self.leads else errors.COMMAND_LOST
        session.fail(pending, errors.READER_LOST if pending.read else error, executed=True)

    def _fail_unsent(self, pending: Pending) -> None:
        if pending.session is not None:
            pending.session.fail(pending, errors.NO_READER if pending.read else errors.NO_LEADER, executed=False)
