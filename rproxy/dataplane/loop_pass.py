"""What is done at the end of a loop pass: answers to clients first, then what lanes have collected.

Owned by `plane`. Sessions and lanes enter themselves while bytes are handled; `inlets`, or the event loop, ends the pass. It must never leave anything behind
that was entered, whatever becomes of one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy.dataplane import lists
from rproxy.dataplane.states import OVER

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

# C integers when compiled (loop_pass.pxd).
_MUCH = 16 * 1024  # bytes of replies that don't wait for others
_OVER = OVER


class LoopPass:
    """Between `begin` and `end`, or from the first that enters itself until the event loop calls `end`, which `soon` asks it to."""

    __slots__ = ("_plane", "_soon", "_sessions", "_lanes", "_ending")

    def __init__(self, plane: Plane, soon: Callable[[Callable[[], None]], object]) -> None:
        self._plane = plane
        self._soon = soon
        self._sessions: list[Session] = []
        self._lanes: list[Upstream] = []
        self._ending = False

    def wake(self, session: Session) -> None:
        """Flush this session before the pass ends."""
        self._sessions.append(session)
        self.end_soon()

    def collect(self, lane: Upstream) -> None:
        """Write this connection's batch when the pass ends."""
        self._lanes.append(lane)
        self.end_soon()

    def end_soon(self) -> None:
        """Let the event loop end the pass, where nobody else will."""
        if not self._ending:
            self._ending = True
            self._soon(self.end)

    def begin(self) -> None:
        """The caller ends the pass."""
        self._ending = True

    def answer(self) -> None:
        """Flush the sessions that were woken. Those that wait for more may have all with the next look, and one write is enough, unless much is held.

        Who has something on a server of its own, or has ended, is answered when the pass ends: the loop closes connections between passes, and a client that
        is told so may count on it (`QUIT`).
        """
        sessions = self._sessions
        kept = done = 0
        while done < len(sessions):
            session = sessions[done]
            done += 1
            waits = session.held < _MUCH and (session.fifo or not session.shared)
            if waits or session.halted & _OVER:
                sessions[kept] = session
                kept += 1
            else:
                self._flush(session)
        if kept:
            del sessions[kept:]
        else:
            lists.empty(sessions)

    def _flush(self, session: Session) -> None:
        try:
            session.flush()
        except Exception as problem:  # a fault in one session must not keep the others waiting
            self._plane.fault(problem)
            session.close()

    def _write(self) -> None:
        lanes = self._lanes
        done = 0
        while done < len(lanes):
            lane = lanes[done]
            done += 1
            try:
                lane.flush()
            except Exception as problem:
                self._plane.fault(problem)
                lane.close()
        lists.empty(lanes)

    def end(self) -> None:
        """Flush everything that has entered itself, and what comes of it."""
        sessions = self._sessions
        while sessions or self._lanes:
            done = 0
            while done < len(sessions):
                self._flush(sessions[done])
                done += 1
            lists.empty(sessions)
            self._write()
        self._ending = False
        self._plane.pass_ended()
