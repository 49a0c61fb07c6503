"""uvicorn as rproxy needs it: no signal handlers, no log of its own, no turns of the loop while nothing is asked.

Made by `door`, which imports this when rproxy serves its clients already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from rproxy.admin.app import application, probes
from rproxy.admin.connection import HEAD, Connection
from rproxy.admin.desk import Desk

GRACE = 1
"""Seconds that a request has for its end when rproxy ends."""


class Server(uvicorn.Server):
    """Serves until `leave`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._left = asyncio.Event()

    def leave(self) -> None:
        """Serve no more."""
        self._left.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the lifecycle's."""
        yield

    async def main_loop(self) -> None:
        """In place of looking ten times a second whether to end."""
        await self.on_tick(0)
        await self._left.wait()


def server(desk: Desk) -> Server:
    """For administrators."""
    return _server(application(desk))


def probe_server(desk: Desk) -> Server:
    """For probes alone."""
    return _server(probes(desk))


def _server(app: Starlette) -> Server:
    return Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            headers=[("X-Content-Type-Options", "nosniff")],
            timeout_keep_alive=int(HEAD),
            timeout_graceful_shutdown=GRACE,
        )
    )
