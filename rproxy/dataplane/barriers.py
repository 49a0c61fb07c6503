"""Order between connections: what came first, and travels on a connection of its own, is at the leader before what came later and could overtake it.

Owned by `plane`. A server runs commands in the order in which they reach it, whoever sends them, and programs rely on that without waiting for replies: one of
their connections subscribes, another one publishes; a worker that waits in BLPOP ends, another client pushes; a client writes, gives up and closes, and writes
anew over another connection. Here the SUBSCRIBE needs a connection of its own, the end of a worker is the end of one, and a large value, or a write that waits
for a leader, has a connection that is yet to be made, while what comes later travels on one that is there. So a barrier stands from the moment in which the
first came, or its client left, until the leader has confirmed it, and commands that came later and that it concerns wait. It must never stand longer than the
budget.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from rproxy.dataplane import blocking, redirect, resp
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.handshake import URGENT
from rproxy.dataplane.states import BARRIER, OWN, State

if TYPE_CHECKING:
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

_PUBLISH = (b"PUBLISH", b"SPUBLISH")


class Concern(IntEnum):
    """Whom a barrier keeps waiting."""

    PUBLISHERS = 0  # somebody subscribes: commands that publish, or may
    WRITERS = 1  # somebody who waits for an element, or has written, has gone, or subscribes to what happens to keys: all that may write


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

    def subscribes(self, session: Session, words: list[bytes]) -> None:
        """A SUBSCRIBE of this session has been sent, on its own connection."""
        concern = Concern.WRITERS if any(word.startswith(b"__key") for word in words[1:]) else Concern.PUBLISHERS
        self._keep_back(session, concern)

    def uploads(self, session: Session) -> None:
        """A large write of this session, which waits for the leader as all do, or whose client has gone, keeps its place before what others write then."""
        self._keep_back(session, Concern.WRITERS)

    def leaves(self, session: Session) -> None:
        """The client has gone. Where it waits for an element, nobody gives it one from now on; what it has written and the leader has not seen comes before
        what others write from now on.
        """
        lease = session.lease
        head = lease.head() if lease is not None and lease.ready else None
        if lease is not None and head is not None and head.session is session and blocking.waits(head):
            self._stop_waiting(session, lease, head)
        elif session not in self._own and self._is_under_way(session):
            self._keep_back(session, Concern.WRITERS)

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
        number = self._begin(None, Concern.WRITERS)
        pool, key = lease.pool, self._plane.keys.beside(session.key, URGENT)
        kill, unblock = (resp.encode([b"CLIENT", *words, b"%d" % server_id]) for words in ((b"KILL", b"ID"), (b"UNBLOCK",)))

        def answered(reply: bytes) -> None:
            if reply.startswith(b"-"):
                self._plane.broadcasts.send(pool, key, unblock, lambda _: self._end(Concern.WRITERS, number))
            else:
                self._end(Concern.WRITERS, number)

        self._plane.broadcasts.send(pool, key, kill, answered)

    def confirmed(self, session: Session | None) -> None:
        """Everything that this session has subscribed to is confirmed, or will never be."""
        for concern, number in self._own.pop(session, ()) if session is not None else ():
            self._end(concern, number)

    def stops(self, session: Session, command: Command) -> bool:
        """Whether this command has to wait behind a barrier; the session takes no more until that has gone."""
        newest = self._passing.pop(session, self._last)
        for concern in Concern:
            if _concerns(concern, command) and self._stands(concern, newest, session):
                self._waiting[concern][session] = newest
                session.halt(BARRIER)
                return True
        return False

    def forget(self, session: Session) -> None:
        """The session has ended."""
        self._passing.pop(session, None)
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

    def _keep_back(self, session: Session, concern: Concern) -> None:
        """Let those wait whom this concerns, for this session."""
        self._own.setdefault(session, []).append((concern, self._begin(session, concern)))

    def _begin(self, session: Session | None, concern: Concern) -> int:
        plane = self._plane
        self._last = number = self._last + 1
        self._standing[concern][number] = session
        plane.barred = True
        plane.later(plane.options.budget, lambda: self._end(concern, number))
        return number

    def _end(self, concern: Concern, number: int) -> None:
        """Let those go on that no older barrier keeps."""
        standing, waiting = self._standing[concern], self._waiting[concern]
        if number not in standing:
            return
        del standing[number]
        oldest = next(iter(standing), self._last + 1)
        while waiting and next(iter(waiting.values())) < oldest:
            session = next(iter(waiting))
            self._passing[session] = waiting.pop(session)
            session.release(BARRIER)
        if not any(self._standing.values()):
            self._plane.barred = False
            self._passing.clear()


def _may_write(pending: Pending) -> bool:
    return not pending.read and pending.effect != OWN and (pending.command is None or pending.command.kind != Kind.READ)


def _concerns(concern: Concern, command: Command) -> bool:
    """Whether a barrier keeps this command: of one that is not known, or runs a script, nobody knows what it does."""
    if concern == Concern.WRITERS:
        return command.kind not in (Kind.READ, Kind.LOCAL, Kind.DENIED) and command.effect != Effect.ATTACH
    return command.name in _PUBLISH or command.script or command.effect == Effect.EXEC or command.alone
