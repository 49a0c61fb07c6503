"""What a session does with a lease: transactions, blocking commands, commands too large for a lane, and what attaches a client to a server.

Called by `dispatch` for each command that needs a lease or stands in a transaction, and by `session` when a lease is lost. Entering and leaving
wait until everything in flight for the session is answered, so that its two connections can't overtake each other. It must never let a command
of a broken transaction out, nor give back a lease in any state but its first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import attached, blocking, broadcasts, cursors, dispatch, local, queued, resp, scripts, waits
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.freshness import KEYSPACE
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import LEASE, MOST_BYTES, OWN, QUIET, SCRIPT, SELECT, UPLOAD, State
from rproxy.dataplane.touched import slots_of_head, slots_of_words

if TYPE_CHECKING:
    from rproxy.dataplane.handshake import LaneKey
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

_OK = b"+OK\r\n"
_MOST_QUEUED = 4096  # slots of a transaction above which it is taken to write all keys
_IDENTITY = (b"AUTH", b"HELLO")
_UNBLOCKED_ALONE = (
    b"-UNBLOCKED client unblocked",
    b"-UNBLOCKED the stream key",
)  # not because the server leads no more (networking.c, blocked.c)
_NOT_QUEUED = (b"CLIENT|KILL", b"CLIENT|UNBLOCK")  # they would name the server's clients


def fits(command: Command, words: list[bytes]) -> bool:
    """Whether the number of arguments is right; with a wrong one the server answers an error and does nothing."""
    return len(words) == command.arity if command.arity > 0 else len(words) >= -command.arity


def quiet(session: Session) -> bool:
    """Whether nothing of the session is in flight; if something is, the input waits."""
    if session.fifo:
        session.halt(QUIET)
    return not session.fifo


def send(session: Session, frame: bytes, effect: int = 0, slots: list[int] | None = None) -> Pending:
    """Send one command on the lease, which writes `slots` when it runs."""
    pending = Pending(session, 1, frame, False, effect)
    pending.queued = session.multi
    session.profile.queued = session.profile.queued + 1 if session.multi else 0
    lease = session.lease
    assert lease is not None
    if slots:
        pending.slots = slots
        pending.sent = session.plane.stamp(slots)
        lease.pool.writing.add(lease)
    session.track(pending)
    if session.attachment is not None and session.attachment.silent:
        session.attachment.silenced.add(pending)
    lease.pool.writes += 1
    lease.send(pending)
    return pending


def written(session: Session, command: Command, words: list[bytes], frame: bytes) -> list[int]:
    """The slots that a command in a transaction writes; in MULTI they are kept for EXEC, which writes them."""
    if not session.plane.stamping or command.kind == Kind.READ:
        return []
    slots = slots_of_words(command, words if len(words) > 1 else resp.split(frame))
    if not session.multi:
        return slots
    session.queued = [KEYSPACE] if len(session.queued) + len(slots) > _MOST_QUEUED else session.queued + slots
    return []


def hold(session: Session, slots: list[int]) -> None:
    """The lease may write these slots at any time from now on: nobody reads them from replicas until `let_go`."""
    if session.plane.stamping:
        session.holding = session.holding + slots
        session.plane.freshness.hold(slots)


def let_go(session: Session, lost: bool) -> None:
    """What the lease might have written is written, or `lost`: nobody knows."""
    slots, session.holding = session.holding, []
    if slots:
        session.plane.let_go(slots, lost)


def begin(session: Session, command: Command, frame: bytes) -> bool:
    """WATCH or MULTI outside a transaction."""
    if not quiet(session):
        session.plane.barriers.waits(session, command.name, [])
        return False
    session.lease = session.plane.leader.lease(session, session.key)
    session.enter(State.TRANSACTION)
    send(session, frame, command.effect)
    session.multi = command.effect == Effect.MULTI
    session.watching = command.effect == Effect.WATCH
    session.plane.barriers.sent(session, session.lease, command.name, [])
    return True


def block(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """A blocking command outside a transaction: the session waits, as on a server."""
    if not quiet(session):
        session.plane.barriers.waits(session, command.name, words)
        return False
    session.lease = session.plane.leader.lease(session, session.key)
    session.lease.spoiled = command.alone
    session.enter(State.BLOCKED)
    _block(session, command, words, frame)
    session.plane.barriers.sent(session, session.lease, command.name, words)
    return True


def _block(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    if command.kind != Kind.READ:
        hold(session, slots_of_words(command, words))
    blocking.begin(session, command, send(session, frame, Effect.BLOCKING))
    session.halt(QUIET)
    return True


def take_in_transaction(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    effect = command.effect
    name = command.name
    ends = name in (b"QUIT", b"RESET") and fits(command, words)  # malformed, it aborts the transaction, as the server decides
    if ends or (command.kind == Kind.LOCAL and not session.multi and name not in (b"SELECT", *_IDENTITY)):
        return local.take(session, command, words)
    if (effect == Effect.ATTACH or name in _IDENTITY) and not session.multi and fits(command, words):
        return attached.attach(session, command, words, frame)
    return take_on_lease(session, command, words, frame)


def take_on_lease(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """One command of a transaction, or of an attached client: it may begin or end a transaction, or block."""
    effect = command.effect
    name = command.name
    if session.multi and queued.looks_at(command) and fits(command, words):
        return queued.take(session, command, words, frame)
    if command.kind == Kind.BROADCAST and not session.multi:
        return quiet(session) and broadcasts.take(session, command, words, frame)
    elsewhere = cursors.is_ours(command, words)
    leaves = (effect == Effect.ATTACH or name in _NOT_QUEUED) and fits(command, words)  # malformed, it is the server's to refuse
    if command.kind == Kind.DENIED or leaves or elsewhere:
        refusal = command.refusal if command.kind == Kind.DENIED else errors.NOT_IN_TRANSACTION
        if elsewhere:
            refusal = errors.CURSOR_ELSEWHERE
        if session.multi:
            return queued.refuse(session, errors.NO_MULTI if "no_multi" in command.flags else refusal)
        session.answer(refusal)
        return True
    if name == b"SELECT":
        return _select(session, words, frame)
    if (command.kind == Kind.LOCAL or command.alone) and session.lease is not None:
        session.lease.spoiled = True
    ends = effect in (Effect.EXEC, Effect.DISCARD) or (effect == Effect.UNWATCH and not session.multi)
    if ends:  # malformed, too: whether the transaction has ended, the server's reply says
        send(session, frame, effect, session.queued if effect == Effect.EXEC else None)
        queued.executing(session)
        session.halt(QUIET)
        return True
    opens = effect in (Effect.MULTI, Effect.WATCH) and not session.multi and fits(command, words)
    if effect == Effect.WAIT and not session.multi and fits(command, words):
        return waits.take(session, command, frame)
    if effect == Effect.BLOCKING and not session.multi and command.may_block(words):
        return _block(session, command, words, frame)
    pending = send(session, frame, effect if opens else 0, written(session, command, words, frame))
    pending.vouched = not command.relays
    if effect in (Effect.MULTI, Effect.WATCH) and session.multi:
        session.profile.queued -= 1  # refused, and the transaction goes on
    if opens:
        session.multi = effect == Effect.MULTI
        session.watching = session.watching or effect == Effect.WATCH
    return True


def _select(session: Session, words: list[bytes], frame: bytes) -> bool:
    """SELECT in a transaction: the database changes at once while watching, and with EXEC in MULTI, if there is such a database."""
    if len(words) != 2 or not local.is_integer(words[1]):
        send(session, frame)
        return True
    if not session.multi:
        if not quiet(session):
            return False
        session.selecting = int(words[1])
        send(session, frame, SELECT)
        session.halt(QUIET)
        return True
    key = session.key
    lane = session.plane.leader.lane(session.plane.keys.in_database(key, int(words[1])))
    if not lane.ready and not lane.refusal:
        local.await_lane(session, lane, lambda: _doubt(session, lane.key))
        return False
    if lane.ready:
        session.selecting = int(words[1])
    send(session, frame)
    return True


def _doubt(session: Session, key: LaneKey) -> None:
    """Where nobody can say whether there is such a database, the transaction can't go on."""
    lane = session.plane.leader.lane(key)
    if not lane.ready and not lane.refusal and session.lease is not None:
        _break_off(session)


def _move(session: Session) -> None:
    """The server has carried out what SELECT asked for."""
    key = session.key
    if session.selecting >= 0:
        session.use(session.plane.keys.in_database(key, session.selecting))
    session.selecting = -1


def _break_off(session: Session) -> None:
    """Give the transaction up from this side: the server forgets it with the connection, and EXEC will say so."""
    if session.state is State.ATTACHED:
        session.close()  # what it is attached to would be lost unseen
        return
    lease = session.lease
    assert lease is not None
    lease.owner = None
    session.lease = None
    session.enter(State.BROKEN)
    lease.close()


def take_unwatched(session: Session, command: Command) -> bool:
    """A command about transactions of a client whose WATCH was lost with its connection. No transaction that relies on it runs; the client is told once, and
    then all is as before.
    """
    session.watch_lost = False
    if command.effect == Effect.MULTI:
        session.enter(State.TRANSACTION)
        session.enter(State.BROKEN)
        session.multi = True
        session.begun = True
    answers = {Effect.EXEC: errors.EXEC_LOST, Effect.DISCARD: _OK, Effect.UNWATCH: _OK}
    session.answer(answers.get(Effect(command.effect), errors.TRANSACTION_LOST))
    return True


def settle_broken(session: Session) -> None:
    """All that was under way when the lease was lost is answered. A transaction that the server had begun, or of which the client has sent more than its
    beginning, is refused until the client ends it; what had not begun is no more.
    """
    if session.multi and (session.begun or session.profile.queued or session.backlog.size or session.tail):
        return
    watched = session.watched and not session.multi
    _over(session)
    session.watch_lost = watched


def take_broken(session: Session, command: Command, words: list[bytes]) -> bool:
    """Nothing of a broken transaction runs. It ends as the client ends it."""
    effect = command.effect
    if command.name in (b"QUIT", b"RESET"):
        return local.take(session, command, words)
    if effect in (Effect.EXEC, Effect.DISCARD) or (effect == Effect.UNWATCH and not session.multi):
        session.answer(errors.EXEC_LOST if effect == Effect.EXEC else _OK)
        _over(session)
        return True
    if effect == Effect.MULTI:
        session.multi = True
    session.answer(errors.TRANSACTION_LOST)
    return True


def forget_transaction(session: Session) -> None:
    """There is no transaction, and nothing is watched."""
    session.multi = session.watching = session.begun = session.watched = False
    session.selecting = -1
    session.queued = []


def end(session: Session) -> None:
    """The session needs its lease no more."""
    forget_transaction(session)
    lease, session.lease = session.lease, None
    session.enter(State.SHARED)
    session.plane.intermission.meet(session)
    if lease is not None:
        lease.attachment = None
        if not lease.spoiled:
            lease.pool.give_back(lease)
        else:
            lease.owner = None
            lease.close()


def _over(session: Session) -> None:
    """The transaction has ended, or what blocked; an attached client keeps its lease."""
    if session.state is State.ATTACHED:
        forget_transaction(session)
    else:
        end(session)


def settle(session: Session, pending: Pending) -> None:
    """The reply to a command that changes the session's state has come (or an error in its place): change it by what the reply proves."""
    effect = pending.effect
    if effect == OWN:
        session.inflight -= 1
    elif effect == SCRIPT:
        assert isinstance(pending, scripts.ScriptRequest)
        pending.settle(session.plane)
    elif effect in (Effect.BLOCKING, UPLOAD):
        _settle_blocking(session, pending)
    elif effect == SELECT:
        if pending.head.startswith(b"-"):
            session.selecting = -1
        _move(session)
    elif session.state is State.BROKEN:
        if effect in (Effect.EXEC, Effect.DISCARD) or (effect == Effect.UNWATCH and not session.multi):
            _over(session)
    elif session.state in (State.TRANSACTION, State.ATTACHED):
        _settle_transaction(session, effect, pending.head)
        if not session.multi and not session.watching and not session.fifo:
            _over(session)


def _settle_blocking(session: Session, pending: Pending) -> None:
    """A blocking command, one that runs alone, or one that was streamed, is answered."""
    head = pending.head
    lease = session.lease
    if lease is not None and session.state is State.BLOCKED and session.run.command is session.table.unknown:
        lease.spoiled = not head.startswith(b"-ERR unknown ")  # a server that has no such command has run nothing
    let_go(session, lost=head.startswith(b"-ERR rproxy"))
    unblocked = head.startswith(b"-UNBLOCKED") and not head.startswith(_UNBLOCKED_ALONE)
    if unblocked and pending.effect == Effect.BLOCKING and pending.vouched:
        session.plane.ports.demoted(session.plane.topology.leader, "it unblocked a client: its role may have changed")
    if session.uploading and lease is not None:
        lease.spoiled = True
    if session.state in (State.BLOCKED, State.STREAMING):
        _over(session)


def _settle_transaction(session: Session, effect: int, head: bytes) -> None:
    """A command that begins or ends a transaction is answered, on a lease that is there."""
    refused = head.startswith(b"-")
    if effect == Effect.MULTI and not refused:
        session.begun = True
    elif effect == Effect.WATCH and not refused:
        session.watched = True
    elif effect in (Effect.EXEC, Effect.DISCARD):
        if effect == Effect.EXEC and head.startswith(b"*") and not head.startswith(b"*-1"):
            _move(session)
        if not refused or head.startswith(b"-EXECABORT"):
            session.multi = session.watching = session.begun = session.watched = False
        elif b" without MULTI" in head:
            session.multi = session.begun = False
    elif effect == Effect.UNWATCH and not refused:
        session.watching = session.watched = False
    elif effect == Effect.WATCH and not session.fifo:
        session.watching = session.watched
    elif effect == Effect.MULTI:
        session.multi = False  # what was sent behind it is run as it comes
        if session.queued:
            session.plane.lose(session.queued)
            session.queued = []


def lost(session: Session, lease: Upstream) -> None:
    """The lease has ended. What was in flight on it is answered by the pool."""
    session.lease = None
    if session.state is State.ATTACHED:
        attached.unconfirmed(session)
        if session.multi or (lease.hello and not lease.refusal):
            session.close()
        else:
            session.enter(State.SHARED)
    elif session.state is State.TRANSACTION:
        session.enter(State.BROKEN)
        if not session.fifo:
            settle_broken(session)
    session.release(LEASE)


def failure(session: Session, pending: Pending, error: bytes, executed: bool) -> bytes:
    """What a command on a lost lease is answered."""
    if pending.effect == Effect.EXEC:
        return errors.EXEC_UNKNOWN if executed else errors.EXEC_LOST
    if pending.effect in (Effect.DISCARD, Effect.UNWATCH):
        return _OK  # a server forgets both with the connection
    if pending.effect == UPLOAD and session.uploading:
        return errors.UPLOAD_LOST
    if executed and any(later.effect == Effect.EXEC for later in session.fifo):
        return error  # EXEC was on its way behind it
    if pending.queued or (executed and pending.effect in (Effect.MULTI, Effect.WATCH)):
        return errors.TRANSACTION_LOST
    return error


def upload(session: Session, data: bytes, pos: int) -> int:
    """Stream a command that is too large for a lane; the position in `data` after it, or a negative one while it goes on.

    Called with the first bytes of it kept by the session, and then for each piece.
    """
    if not session.uploading:
        if session.shared and not quiet(session):
            command = dispatch.command_under_way(session, bytes(session.tail))
            if command.kind != Kind.READ:
                session.plane.barriers.waits(session, command.name, [])
            return pos
        if not _begin_upload(session, bytes(session.tail)):
            return pos
    lease = session.lease
    if lease is not None and (not lease.ready or lease.choked):
        session.halt(LEASE)
        # While it has no connection, more is read than has to be, to notice the client's end, which stands behind it.
        session.backlog.bear(0 if lease.ready else MOST_BYTES, session.transport)
        return pos
    stop = session.framer.scan(data, pos)
    if stop == resp.BROKEN:
        if lease is not None:
            session.fifo.pop().session = None
        session.refuse(errors.protocol_error(session.framer.problem))
        return -1
    piece = data[pos : len(data) if stop < 0 else stop]
    if piece and lease is not None:
        lease.write(piece)
    if session.plane.barred and session.state is State.STREAMING and not session.hung_up and not session.backlog.size:
        session.plane.barriers.confirmed(session)
    if stop >= 0:
        session.uploading = False
        if session.state in (State.STREAMING, State.BLOCKED):
            session.halt(QUIET)
    return stop


def _begin_upload(session: Session, head: bytes) -> bool:
    """Find the lease for a large command of which `head` has come, and send that; False when it must wait, or the session has to be closed."""
    command = dispatch.command_under_way(session, head)
    if command.kind in (Kind.LOCAL, Kind.DENIED) or command.effect not in (Effect.NONE, Effect.BLOCKING):
        session.refuse(errors.TOO_LARGE)
        return False
    if session.plane.barred and session.plane.barriers.stops(session, command):
        return False
    session.tail.clear()
    session.uploading = True
    if session.state is State.BROKEN:
        session.answer(errors.TRANSACTION_LOST)
        return True
    plane = session.plane
    if session.shared:
        reads = command.kind == Kind.READ and command.effect == Effect.NONE
        pool = plane.leader if not reads or session.fresh else plane.reader_of(session)
        session.lease = pool.lease(session, session.key)
        session.lease.spoiled = command.alone
        session.enter(State.BLOCKED if command.effect == Effect.BLOCKING else State.STREAMING)
    slots = slots_of_head(command, head, session.framer) if plane.stamping and command.kind != Kind.READ else []
    if session.multi:
        session.queued = session.queued + slots
    elif slots:
        hold(session, slots)
    if session.attachment is not None:
        attached.hush(session.attachment)
    send(session, head, UPLOAD).command = command
    if command.kind != Kind.READ and (session.hung_up or not plane.leader.works()):
        plane.barriers.uploads(session)
    elif command.kind != Kind.READ and session.lease is not None and not session.lease.ready:
        plane.barriers.waits(session, command.name, [])
    return True
