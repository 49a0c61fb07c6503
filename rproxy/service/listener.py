"""The sockets on which clients arrive.

Called by `lifecycle`. It binds, and gives each connection a new session; it knows nothing of what is said there.
"""

from __future__ import annotations

import asyncio
import os
import stat
from functools import partial

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.session import Session
from rproxy.urls import parse_listener

BACKLOG = 511
"""As a server's own tcp-backlog (redis.conf)."""


class Listeners:
    """All listeners of one worker; `addresses` are their URLs, with the ports that they got."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []

    async def open(self, urls: tuple[str, ...], plane: Plane) -> None:
        """Bind and accept on every URL (`tcp://host:port`, `unix:///path`). Raises OSError, with nothing left bound, where one can't be had."""
        loop = asyncio.get_running_loop()
        try:
            for url in urls:
                parts = parse_listener(url)
                session = partial(Session, plane, parts.consistency)
                if parts.path:
                    _remove_stale(parts.path)
                    self._servers.append(await loop.create_unix_server(session, parts.path, backlog=BACKLOG))  # type: ignore[arg-type]
                    self._paths.append(parts.path)
                    self.addresses.append(parts.address)
                    continue
                server = await loop.create_server(session, parts.host, parts.port, backlog=BACKLOG)  # type: ignore[arg-type]
                self._servers.append(server)
                for bound in server.sockets:
                    host, port = bound.getsockname()[:2]
                    self.addresses.append(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Accept no more. Sessions go on."""
        for server in self._servers:
            server.close()
        for path in self._paths:
            if os.path.exists(path):
                os.unlink(path)
        self._servers.clear()
        self._paths.clear()


def _remove_stale(path: str) -> None:
    """A socket that an ended process left behind would be in the way."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
