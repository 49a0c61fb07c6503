"""Order between connections: what came first, and travels on a connection of its own, is at the leader before what came later and could overtake it.

Owned by `plane`. A server runs commands in the order in which they reach it, whoever sends them, and programs rely on that without waiting for replies: one of
their connections subscribes, another one publishes; a worker that waits in BLPOP ends, another client pushes. Here the SUBSCRIBE needs a connection of its
own, and the end of a worker is the end of one, while what comes later travels on a shared connection that is there. So a barrier stands from the moment in
which the first came until the leader has confirmed it, and commands that came later and that it concerns wait. It must never stand longer than the budget.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from rproxy.dataplane import redirect, resp
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.handshake import URGENT
from rproxy.dataplane.states import BARRIER

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

_PUBLISH = (b"PUBLISH", b"SPUBLISH")


class Concern(IntEnum):
    """Whom a barrier keeps waiting."""

    PUBLISHERS = 0  # somebody subscribes: commands that publish, or may
    WRITERS = 1  # somebody who waits for an element has gone, or subscribes to what happens to keys: all that may write


class Barriers:
    """Those that stand, by number, oldest first; and the sessions that wait, each with the number of the newest barrier that was there when it came."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._last = 0
        self._standing: dict[int, tuple[Session | None, Concern]] = {}
        self._waiting: dict[Session, int] = {}

    def subscribes(self, session: Session, words: list[bytes]) -> None:
        """A SUBSCRIBE of this session has been sent, on its own connection."""
        about_keys = any(word.startswith(b"__key") for word in words[1:])
        self._begin(session, Concern.WRITERS if about_keys else Concern.PUBLISHERS)

    def leaves(self, session: Session) -> None:
        """The client has gone. Where it waited for an element, the leader is told by the fastest way, so that it gives none to it from now on: it is to close
        the connection, on which the command may not even have arrived, or to unblock it where the user may not ask for that.
        """
        lease = session.lease
        head = lease.head() if lease is not None and lease.ready else None
        if lease is None or head is None or head.session is not session or head.effect != Effect.BLOCKING:
            return
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
                self._plane.broadcasts.send(pool, key, unblock, lambda _: self._end(number))
            else:
                self._end(number)

        self._plane.broadcasts.send(pool, key, kill, answered)

    def confirmed(self, session: Session | None) -> None:
        """Everything that this session has subscribed to is confirmed, or will never be."""
        for number in [number for number, (owner, _) in self._standing.items() if owner is session]:
            self._end(number)

    def stops(self, session: Session, command: Command) -> bool:
        """Whether this command has to wait behind a barrier; the session takes no more until that has gone."""
        newest = self._waiting.pop(session, self._last)
        for number, (owner, concern) in self._standing.items():
            if number <= newest and owner is not session and _concerns(concern, command):
                self._waiting[session] = newest
                session.halt(BARRIER)
                return True
        return False

    def forget(self, session: Session) -> None:
        """The session has ended."""
        self._waiting.pop(session, None)
        self.confirmed(session)

    def _begin(self, session: Session | None, concern: Concern) -> int:
        plane = self._plane
        self._last = number = self._last + 1
        self._standing[number] = session, concern
        plane.barred = True
        plane.later(plane.options.budget, lambda: self._end(number))
        return number

    def _end(self, number: int) -> None:
        """Let those go on that no older barrier keeps."""
        if self._standing.pop(number, None) is None:
            return
        waiting = list(self._waiting)
        if not self._standing:
            self._plane.barred = False
            self._waiting.clear()
        for session in waiting:
            session.release(BARRIER)


def _concerns(concern: Concern, command: Command) -> bool:
    """Whether a barrier keeps this command: of one that is not known, or runs a script, nobody knows what it does."""
    if concern == Concern.WRITERS:
        return command.kind not in (Kind.READ, Kind.LOCAL, Kind.DENIED) and command.effect != Effect.ATTACH
    return command.name in _PUBLISH or command.script or command.effect == Effect.EXEC or command.alone
