"""What is done at the end of a loop pass: answers to clients first, then what lanes have collected.

Owned by `plane`. Sessions and lanes enter themselves while bytes are handled; `inlets`, or the event loop, ends the pass. It must never leave anything behind
that was entered, whatever becomes of one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rproxy.dataplane import lists
from rproxy.dataplane.states import OVER

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

# C integers when compiled (loop_pass.pxd).
_MUCH = 16 * 1024  # bytes of replies that don't wait for others
_OVER = OVER
_ROUNDS = 64  # a session that is answered may ask again, which may be answered at once


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
            self._plane.end_session(session, problem)

    def _write(self) -> None:
        lanes = self._lanes
        count = len(lanes)
        for done in range(count):
            lane = lanes[done]
            try:
                lane.flush()
            except Exception as problem:
                lane.fault(problem)
        self._leave(lanes, count)

    def _leave(self, entered: list[Any], count: int) -> None:
        """The first `count` are done with; those behind them have entered themselves meanwhile, and have their turn in the next round."""
        if count == len(entered):
            lists.empty(entered)
        else:
            del entered[:count]

    def end(self) -> None:
        """Flush everything that has entered itself, and what comes of it; what still comes after many rounds is left to the next pass, for others' sake."""
        sessions = self._sessions
        for _ in range(_ROUNDS):
            count = len(sessions)
            for done in range(count):
                self._flush(sessions[done])
            self._leave(sessions, count)
            self._write()
            if not sessions and not self._lanes:
                break
        self._plane.pass_ended()
        self._ending = bool(sessions or self._lanes)
        if self._ending:
            self._soon(self.end)
