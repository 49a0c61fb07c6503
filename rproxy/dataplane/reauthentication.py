"""Re-authentication: connections on which rproxy is logged in by itself get its new password, before the server closes them for the last one.

Owned by `plane`, which is told when a login has changed. Who has logged in as a client keeps that login. It must never put an AUTH between the commands of a
client that has a connection for itself: what is lent stays as it is, and is not lent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.handshake import OwnLogin
from rproxy.dataplane.pending import InternalRequest
from rproxy.dataplane.resp import encode

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream


class Reauthentication:
    """For the connections of one worker. `owner` is a session without a client, to which its requests belong."""

    def __init__(self, plane: Plane, owner: Session) -> None:
        self._plane = plane
        self._owner = owner

    def begin(self) -> None:
        """A login has changed at some server."""
        for pool in self._plane.all_pools():
            if pool.server.has_changing_password:
                self._renew(pool)

    def _renew(self, pool: Pool) -> None:
        lanes = [*pool.lanes.values(), *pool.stalled]
        for upstream in pool.connections():
            if not upstream.ready or not isinstance(upstream.key.login, OwnLogin):
                continue
            if upstream in lanes:
                self._authenticate(pool, upstream)
            else:
                pool.lend_no_more(upstream)

    def _authenticate(self, pool: Pool, lane: Upstream) -> None:
        def answered(reply: bytes) -> None:
            if reply.startswith((b"-WRONGPASS", b"-NOAUTH", b"-ERR AUTH")):
                self._plane.notice(f"{pool.server.name} does not take the new password: its connections keep the last one")
                lane.key.login.refused(pool.server)

        for words in lane.key.login.commands(pool.server):
            lane.send(InternalRequest(self._owner, lane.base, encode(words), answered))
