"""Failed logins of clients: counted, and told to the log with the client's address, at most a line a second.

Owned by `plane`, called where a client is told what the leader has said of its AUTH or HELLO. It must never tell a user's name or a password: clients send
one in place of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.clients import peer_of
from rproxy.dataplane.tallies import FAILED_LOGINS

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

QUIET = 1.0
"""Seconds after a line in which there is no other."""


class FailedLogins:
    """The first is told at once, and of those of the second after it how many they were."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._more = 0
        self._quiet = False

    def look(self, session: Session, reply: bytes) -> None:
        """The leader has answered a login of this session's client."""
        if not reply.startswith(b"-WRONGPASS"):
            return
        self._plane.tallies.count(FAILED_LOGINS)
        if self._quiet:
            self._more += 1
            return
        address = peer_of(session).address
        self._quiet = True
        self._plane.notice(f"a client at {address.decode(errors='replace')} has failed to log in")
        self._plane.later(QUIET, self._tell)

    def _tell(self) -> None:
        more, self._more, self._quiet = self._more, 0, False
        if more:
            self._plane.notice(f"{more} more logins of clients failed within a second")
