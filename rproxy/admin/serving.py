"""uvicorn as rproxy needs it: no signal handlers, no log of its own, no turns of the loop while nothing is asked.

Made by `door`, which imports this when rproxy serves its clients already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from rproxy.admin.app import application
from rproxy.admin.desk import Desk

MOST_REQUESTS = 100
"""At once; more get 503."""
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
    """For the app of this desk."""
    return Server(
        uvicorn.Config(
            application(desk),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=MOST_REQUESTS,
            timeout_graceful_shutdown=GRACE,
        )
    )
