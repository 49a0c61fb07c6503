"""A pause that an administrator has asked for: for a while no command is taken from any client, whoever the leader is, but what ends a transaction.

Owned by `plane`; begun and ended by `answer`, on behalf of `service.steering`. What was taken before goes on and is answered; what comes meanwhile is kept as
other input that waits, in order, and `timeouts.budget` counts from when it is taken. It ends by itself. It must never outlive its time, nor drop a command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.states import PAUSED, State

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session


class Intermission:
    """`until`: when it ends, by the clock of the plane; 0 while there is none."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.until = 0.0

    def begin(self, seconds: float) -> None:
        """Hold all clients for so long from now, whatever was said before."""
        self.until = until = self._plane.clock() + seconds
        for session in self._plane.clients:
            self.meet(session)
        self._plane.later(seconds, lambda: self._over(until))

    def meet(self, session: Session) -> None:
        """A client is there, or its transaction is over: it is held, if there is a pause. A transaction goes on until its end, for it can't move to
        another leader.
        """
        if self.until and session.state is not State.TRANSACTION:
            session.halt(PAUSED)

    def end(self) -> None:
        """Go on, everybody."""
        if self.until:
            self.until = 0.0
            for session in self._plane.clients:
                session.release(PAUSED)

    def turn_away(self) -> None:
        """rproxy ends, or another one takes its place, while there is a pause: what is kept of clients' input is not run, for the pause goes on elsewhere. Who
        waits for nothing else is closed.
        """
        if not self.until:
            return
        self.until = 0.0
        for session in self._plane.clients:
            if session.halted & PAUSED:
                session.backlog.clear()
                session.tail.clear()
                session.release(PAUSED)
                if not session.fifo:
                    session.close()

    def _over(self, until: float) -> None:
        if self.until == until:
            self.end()

    def left(self) -> float:
        """Seconds until it ends; 0 where there is none."""
        return max(0.0, self.until - self._plane.clock()) if self.until else 0.0

    def under_way(self) -> int:
        """Clients of this worker that still wait for an answer, blocked ones aside, or have a transaction open."""
        sessions = [session for session in self._plane.clients if session.state is not State.BLOCKED]
        return sum(bool(session.fifo) or session.state is State.TRANSACTION for session in sessions)


def answer(plane: Plane, words: list[bytes]) -> bytes:
    """What this worker answers to: hold your clients for so many milliseconds (0: no longer); how many are still under way?"""
    if words:
        milliseconds = int(words[0])
        if milliseconds:
            plane.intermission.begin(milliseconds / 1000)
        else:
            plane.intermission.end()
    return b"%d" % plane.intermission.under_way()
