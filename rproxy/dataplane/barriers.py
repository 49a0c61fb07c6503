"""Order between connections: what came first, and travels on a connection of its own, is at the leader before what came later and could overtake it.

Owned by `plane`. A server runs commands in the order in which they reach it, whoever sends them, and programs rely on that without waiting for replies: one of
their connections subscribes, another one publishes; a worker that waits in BLPOP ends, another client pushes; a client writes, gives up and closes, and writes
anew over another connection. Here SUBSCRIBE, MULTI and blocking commands need a connection of their own, the end of a worker is the end of one, and a large
value, or a write that waits for a leader, has a connection that is yet to be made, while what comes later travels on one that is there. So a barrier stands
from the moment in which the first came, or its client left, until it is on its way or the leader has confirmed it, and commands that came later and that it
concerns wait. It must never stand longer than the budget, nor than `MOMENT` for the sake of a connection alone.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING

from rproxy.dataplane import blocking, redirect, resp
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.handshake import URGENT
from rproxy.dataplane.overlay import SUBSCRIPTIONS
from rproxy.dataplane.states import BARRIER, OWN, State

if TYPE_CHECKING:
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

MOMENT = 0.02
"""Seconds for which others wait at most for a command that is not on its way yet. A connection within a data centre is made in a millisecond or few; where it
takes longer, one client's transaction must not stop what others write.
"""
_PUBLISH = (b"PUBLISH", b"SPUBLISH")
_SHOWN_WRITES = (b"MONITOR", b"CLIENT|TRACKING")


class Concern(IntEnum):
    """Whom a barrier keeps waiting."""

    PUBLISHERS = 0  # somebody subscribes: commands that publish, or may
    WRITERS = 1  # somebody is about to write, waits for elements, asks for what happens to keys, or has gone who did: commands that may write


class Barriers:
    """Those that stand, oldest first, and the sessions that wait, by whom they concern. A barrier has a number, and a session that waits that of the newest
    which was there when it came: those that came after it do not hold it. Whatever their number, nothing here looks at all of them.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._last = 0
        self._standing: dict[Concern, dict[int, Session | None]] = {concern: {} for concern in Concern}
        self._waiting: dict[Concern, dict[Session, int]] = {concern: {} for concern in Concern}
        self._passing: dict[Session, int] = {}  # who has waited, and has not taken up the command yet that waited
        self._own: dict[Session, list[tuple[Concern, int]]] = {}

    def attaches(self, session: Session, name: bytes, words: list[bytes]) -> None:
        """A command has been sent, on its session's own connection, after which the server shows the client what others do; `confirmed` follows."""
        concern = _concern_of(name, words)
        if concern is not None:
            self._keep_back(session, concern, self._plane.options.budget)

    def waits(self, session: Session, name: bytes, words: list[bytes]) -> None:
        """A command that goes to the leader by another connection than the session's last ones has to wait for their replies; `sent` follows."""
        concern = _concern_of(name, words)
        if concern is not None and session not in self._own:
            self._keep_back(session, concern, MOMENT)

    def sent(self, session: Session, upstream: Upstream, name: bytes, words: list[bytes]) -> None:
        """A command has been given to a connection that is not the one of the session's last ones, and may be yet to be made."""
        if not upstream.ready:
            self.waits(session, name, words)
            upstream.pool.await_ready(upstream, partial(self.confirmed, session))
        elif session in self._own:
            self.confirmed(session)

    def uploads(self, session: Session) -> None:
        """A large write of this session, which waits for the leader as all do, or whose client has gone, keeps its place before what others write then."""
        self._keep_back(session, Concern.WRITERS, self._plane.options.budget)

    def leaves(self, session: Session) -> None:
        """The client has gone. Where it waits for an element, nobody gives it one from now on; what it has written and the leader has not seen comes before
        what others write from now on.
        """
        lease = session.lease
        head = lease.head() if lease is not None and lease.ready else None
        if lease is not None and head is not None and head.session is session and blocking.waits(head):
            self._stop_waiting(session, lease, head)
        elif self._is_under_way(session):
            self._keep_back(session, Concern.WRITERS, self._plane.options.budget)

    def _is_under_way(self, session: Session) -> bool:
        """Whether something of this session goes to the leader by a connection that is yet to be made, or piece by piece."""
        lease = session.lease
        if not any(map(_may_write, session.fifo)):
            return False
        if lease is not None:
            return session.state is State.STREAMING or not lease.ready
        lane = self._plane.leader.lanes.get(session.key)
        return lane is None or not lane.ready

    def _stop_waiting(self, session: Session, lease: Upstream, head: Pending) -> None:
        """Tell the leader by the fastest way, so that it gives the client none: it is to close the connection, on which the command may not even have arrived,
        or to unblock it where the user may not ask for that.
        """
        server_id = redirect.id_on_server(lease)
        if (
            head.command is None
            or head.command.kind == Kind.READ
            or server_id == redirect.NOBODY
            or lease.pool is not self._plane.leader
        ):
            return
        number = self._begin(None, Concern.WRITERS, self._plane.options.budget)
        pool, key = lease.pool, self._plane.keys.beside(session.key, URGENT)
        kill, unblock = (resp.encode([b"CLIENT", *words, b"%d" % server_id]) for words in ((b"KILL", b"ID"), (b"UNBLOCK",)))

        def answered(reply: bytes) -> None:
            if reply.startswith(b"-"):
                self._plane.broadcasts.send(pool, key, unblock, lambda _: self._end(Concern.WRITERS, number))
            else:
                self._end(Concern.WRITERS, number)

        self._plane.broadcasts.send(pool, key, kill, answered)

    def confirmed(self, session: Session | None) -> None:
        """What others wait for, for this session's sake, is confirmed or on its way, or will never be."""
        for concern, number in self._own.pop(session, ()) if session is not None else ():
            self._end(concern, number)

    def stops(self, session: Session, command: Command) -> bool:
        """Whether this command has to wait behind a barrier; the session takes no more until that has gone."""
        newest = self._last
        if session in self._passing:
            newest = self._passing.pop(session)
            self._look()
        for concern in Concern:
            if _concerns(concern, command) and self._stands(concern, newest, session):
                self._waiting[concern][session] = newest
                session.halt(BARRIER)
                return True
        return False

    def forget(self, session: Session) -> None:
        """The session has ended."""
        if self._passing.pop(session, None) is not None:
            self._look()
        for waiting in self._waiting.values():
            waiting.pop(session, None)
        self.confirmed(session)

    def _stands(self, concern: Concern, newest: int, session: Session) -> bool:
        """Whether one stands that is no newer, and not this session's own."""
        for number, owner in self._standing[concern].items():
            if number > newest:
                break
            if owner is not session:
                return True
        return False

    def _keep_back(self, session: Session, concern: Concern, longest: float) -> None:
        """Let those wait whom this concerns, for this session, and no longer than so many seconds."""
        self._own.setdefault(session, []).append((concern, self._begin(session, concern, longest)))

    def _begin(self, session: Session | None, concern: Concern, longest: float) -> int:
        plane = self._plane
        self._last = number = self._last + 1
        self._standing[concern][number] = session
        plane.barred = True
        plane.later(longest, lambda: self._end(concern, number))
        return number

    def _end(self, concern: Concern, number: int) -> None:
        """Let those go on that no older barrier keeps."""
        standing, waiting = self._standing[concern], self._waiting[concern]
        if number not in standing:
            return
        owner = standing.pop(number)
        if owner is not None and owner in self._own:
            self._own[owner].remove((concern, number))
            if not self._own[owner]:
                del self._own[owner]
        oldest = next(iter(standing), self._last + 1)
        while waiting and next(iter(waiting.values())) < oldest:
            session = next(iter(waiting))
            self._passing[session] = waiting.pop(session)
            session.release(BARRIER)
        self._look()

    def _look(self) -> None:
        """Say whether commands have to be shown to `stops`."""
        self._plane.barred = bool(self._passing) or any(self._standing.values())


def _concern_of(name: bytes, words: list[bytes]) -> Concern | None:
    """Whom a barrier for this command concerns; None where nobody could tell that the command has been overtaken."""
    if name in SUBSCRIPTIONS:
        return Concern.WRITERS if any(word.startswith(b"__key") for word in words[1:]) else Concern.PUBLISHERS
    return Concern.WRITERS if name in _SHOWN_WRITES or not name.startswith(b"CLIENT|") else None


def _may_write(pending: Pending) -> bool:
    return not pending.read and pending.effect != OWN and (pending.command is None or pending.command.kind != Kind.READ)


def _concerns(concern: Concern, command: Command) -> bool:
    """Whether a barrier keeps this command: of one that is not known, or runs a script, nobody knows what it does."""
    if concern == Concern.WRITERS:
        return command.kind not in (Kind.READ, Kind.LOCAL, Kind.DENIED) and command.effect != Effect.ATTACH
    return command.name in _PUBLISH or command.script or command.effect == Effect.EXEC or command.alone
