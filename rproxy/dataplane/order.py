"""How a session's commands keep their order where its reads travel to replicas and its writes to the leader.

Called by `session` and `dispatch` for single commands, for what must wait, and when something that was waited for has come. A write of a key that a
replica is still asked for waits, or the read might be answered with what comes after it. It must never let a command overtake another of its session
where one server would have shown the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import detour, resp, scripts
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.freshness import KEYSPACE, bit
from rproxy.dataplane.states import ASKED, FLIGHT, MOST_BYTES, OVER, OWN, QUIET, READS, State
from rproxy.dataplane.touched import slots_of_run, slots_of_words

if TYPE_CHECKING:
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session


def conflict(session: Session, slots: list[int]) -> bool:
    """Whether a replica still has to answer a read of this session that a write of `slots` would change. The session waits then.

    What the reads in flight look at is found when a write first asks that may be one of theirs, and only once for each read.
    """
    bits = 0
    for slot in slots:
        bits |= bit(slot)
    if not bits & session.asked:
        return False
    if not session.looked:
        session.looked_at = set()
    seen = session.looked_at
    for pending in session.fifo[session.looked :]:
        if pending.away:
            seen.update(slots_of_run(session.plane.table.commands, pending.request, pending.count))
    session.looked = len(session.fifo)
    if KEYSPACE not in seen and KEYSPACE not in slots and seen.isdisjoint(slots):
        return False
    session.halt(READS)
    return True


def train(session: Session, pending: Pending) -> list[Pending] | None:
    """What has to be sent again behind this write, if that is: the reads of the leader behind it, which would show that it came later. None where it can't be:
    where there is a later write, or anything else that can be asked only once.
    """
    loose = not session.fresh and not session.strict
    behind = [other for other in _behind(session, pending) if not (other.away or other.effect == OWN or (other.read and loose))]
    return None if any(not other.read or other.effect or other.tries for other in behind) else behind


def before_a_write(session: Session, pending: Pending) -> bool:
    """Whether a write of the session is behind this read, which a replica does not have: sent once more, or elsewhere, the read might show it."""
    if pending.away or not (session.fresh or session.strict):
        return False
    return any(not other.read and other.effect != OWN for other in _behind(session, pending))


def writes(session: Session) -> bool:
    """Whether a write of the session is not answered yet."""
    return any(not pending.read and pending.effect != OWN for pending in session.fifo)


def _behind(session: Session, pending: Pending) -> list[Pending]:
    return session.fifo[session.fifo.index(pending) + 1 :]


def reader(session: Session, need: int) -> Pool:
    """Who answers a read of a fresh session that needs this mark; while the leader is away, nobody else behind an unanswered write of its own."""
    plane = session.plane
    pool = plane.fresh_reader(need)
    if plane.leaderless and pool is not plane.leader and need and not plane.may(pool, need) and writes(session):
        return plane.leader
    return pool


def send_one(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """Send a command that is no part of a run; False when it must wait and be taken again."""
    plane = session.plane
    reads = scripts.only_reads(command, words) if command.script else command.kind == Kind.READ
    pool = plane.leader
    need = 0
    slots: list[int] | None = None
    if plane.stamping and (session.fresh or not reads):
        slots = slots_of_words(command, words if len(words) > 1 else resp.split(frame))
    if not reads:
        if slots and session.away and conflict(session, slots):
            return False
    elif command.unordered:
        need = max(map(plane.freshness.need, slots), default=0) if slots is not None else 0
        slots = slots if slots is not None else slots_of_words(command, words if len(words) > 1 else resp.split(frame))
        pool = session.steady_reader(slots[0] if slots else 0, need)
    elif slots is not None:
        need = max(map(plane.freshness.need, slots), default=0)
        pool = reader(session, need)
    else:
        pool = plane.reader_of(session)
    if reads and command.script and plane.scripts.is_new(plane, command, words):
        pool = plane.leader
    if command.script and pool is plane.leader:
        if session.fifo and (not session.is_tied(pool) or scripts.must_wait(session, command)):
            session.halt(QUIET)
            return False
        _send_script(session, command, words, frame, reads, need, slots)
    else:
        session.send(pool, frame, 0, len(frame), 1, reads, need, None if reads else slots, not command.relays)
    return True


def _send_script(
    session: Session, command: Command, words: list[bytes], frame: bytes, reads: bool, need: int, slots: list[int] | None
) -> None:
    """It may run for long, and only the server's word that it is busy tells others so: they must not wait behind it."""
    pool = session.plane.leader
    pending = scripts.ScriptRequest(session, command, words, frame, reads)
    if reads:
        pending.need = need
        pool.reads += 1
    else:
        pool.writes += 1
        if slots:
            pending.slots = slots
            pending.sent = session.plane.stamp(slots)
    tied = session.is_tied(pool)
    session.track(pending)
    if tied:
        pool.send(pending)
    else:
        lane = detour.send_script(pool, session, pending)
        if not reads:
            session.plane.barriers.sent(session, lane, command.name, words)


def may_wait_for_ever(session: Session) -> bool:
    """Whether nothing that is in flight is sure to be answered: the client is blocked, or attached with all of its commands answered."""
    if session.fifo and session.fifo[0].effect == Effect.BLOCKING:
        return True  # also while it watches keys, or is attached
    return session.state is State.BLOCKED or (session.state is State.ATTACHED and not session.fifo and not session.backlog.size)


def leaving(session: Session) -> bool:
    """Whether rproxy drains and nothing more of this client's is taken: what had come before is carried out, and a transaction or a subscription goes on."""
    return session.plane.draining and session.shared and not session.uploading


def go_on(session: Session) -> None:
    """Take up what waits, where nothing stands in its way any more; close where the client's end, a refusal or the drain asks for it."""
    if session.halted & QUIET and not session.fifo:
        session.halted &= ~QUIET
    if session.halted & READS and not session.away:
        session.halted &= ~READS
    if session.halted & FLIGHT and session.inflight < session.most_inflight and session.inflight_bytes < MOST_BYTES:
        if session.held <= session.most_ahead:
            session.halted &= ~FLIGHT
            session.take_off()
    if not session.halted and (session.backlog.size or not leaving(session)):
        session.resume()
        if session.backlog.size and not session.halted:
            session.plane.later(0, session.wake)
    waits = session.backlog.size > 0
    if (session.eof and (may_wait_for_ever(session) or (session.uploading and not waits))) or (
        session.hung_up and session.halted and may_wait_for_ever(session)
    ):
        session.close(at_once=False)
    if session.fifo or session.out or session.transport is None or session.state is State.CLOSING:
        return
    over = session.halted & OVER or (session.eof and not session.backlog.size and not session.halted)
    if over or (session.plane.draining and session.shared and not session.backlog.size and not session.halted & ASKED):
        session.close(at_once=False)
