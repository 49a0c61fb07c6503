"""Time-outs of clients: closes those that are idle, that do not say who they are, or that keep a transaction open.

Owned by `plane`, started when a client comes. Nothing is noted per command: one timer looks at all sessions now and then, some at a time, and whoever has sent
nothing since the last look has been quiet since that look, so a client is closed a little late and never early. It must never close a client that waits for
something: a reply, a message, or the end of a pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import policies
from rproxy.dataplane.states import State
from rproxy.dataplane.tallies import TIMED_OUT_IDLE, TIMED_OUT_LOGIN, TIMED_OUT_TRANSACTION

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

PARTS = 10
"""Looks within the shortest time-out."""
SELDOM = 10.0
"""Seconds between two looks at most."""
AT_ONCE = 500
"""Sessions that are looked at without a break."""
BREAK = 0.01


class ClientTimeouts:
    """The time-outs are those of the plane's options, which may change."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._ticking = False
        self._ahead: list[Session] = []

    def start(self) -> None:
        """A client has come, or the settings have changed."""
        pause = self._pause()
        if pause and not self._ticking:
            self._ticking = True
            self._plane.later(pause, self._look)

    def _pause(self) -> float:
        """Seconds until the next look, 0 where none is needed."""
        options = self._plane.options
        shortest = min(filter(None, (options.idle, options.login, options.transaction)), default=0.0)
        return min(SELDOM, shortest / PARTS) if len(self._plane.clients) else 0.0

    def _look(self) -> None:
        if not self._ahead:
            self._ahead = list(self._plane.clients)
        now, some = self._plane.clock(), self._ahead[-AT_ONCE:]
        del self._ahead[-AT_ONCE:]
        for session in some:
            timed_out = self._judge(session, now)
            if timed_out:
                self._plane.tallies.count(timed_out)
                session.close()
        self._ticking = False
        if self._ahead:
            self._ticking = True
            self._plane.later(BREAK, self._look)
        else:
            self.start()

    def _judge(self, session: Session, now: float) -> int:
        """What is counted where this session's time is over, else 0."""
        options, profile = self._plane.options, session.profile
        if session.state is State.CLOSING:
            return 0
        if options.login and policies.locked(session):
            return TIMED_OUT_LOGIN if now - profile.since >= options.login else 0
        if session.chunks != profile.chunks or _waits(session):
            profile.chunks, profile.quiet_since = session.chunks, now
            return 0
        quiet = now - profile.quiet_since
        if options.transaction and session.state is State.TRANSACTION and quiet >= options.transaction:
            return TIMED_OUT_TRANSACTION
        return TIMED_OUT_IDLE if options.idle and quiet >= options.idle else 0


def _waits(session: Session) -> bool:
    """Whether it is not the client's turn to say something (networking.c, clientsCronHandleTimeout)."""
    attachment = session.attachment
    listens = attachment is not None and (attachment.monitor or attachment.subscribed())
    return listens or bool(session.fifo) or session.choked or bool(session.halted)
