"""Accepts clients in one of several workers, so that each has about as many as the others.

Owned by a worker. All workers accept on the same sockets, which the supervisor has bound: whoever is free takes the next client, but one that has more
than another leaves it to the others for a moment. It must never keep a client waiting longer than that moment (50 ms).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.session import Session
from rproxy.dataplane.tallies import CLIENTS, Tallies
from rproxy.service.listener import Bound

log = logging.getLogger("rproxy")

DEFERENCE = 0.005
"""Seconds between two looks at whether another worker, which has fewer, has taken a client that waits."""
PATIENCE = 10
"""Looks after which the client is taken all the same."""
DEAFNESS = 0.25
"""Seconds for which nothing is left any more to those that let a client wait in vain, unless they take one."""
SLACK = 0.05
"""How much more than the least a worker may have, as a part of it; one client more is always allowed."""
EXHAUSTED = 1.0
"""Seconds without accepting after the process had no descriptor left for a client."""


class Shares:
    """Who ought to take the next client. Workers that let one wait in vain, because they are busy or stand still, don't count for a while. `clock` gives
    seconds.
    """

    def __init__(self, tallies: Tallies, clock: Callable[[], float]) -> None:
        self._tallies = tallies
        self._clock = clock
        self._deaf: dict[int, int] = {}
        self._until = 0.0

    def enough(self, coming: int) -> bool:
        """Whether another worker ought to take it. `coming`: clients of this one that are not counted yet."""
        return bool(self._with_fewer(coming))

    def in_vain(self, coming: int) -> None:
        """Those that ought to have taken it did not."""
        self._deaf |= {worker: self._tallies.given(worker) for worker in self._with_fewer(coming)}
        self._until = self._clock() + DEAFNESS

    def _with_fewer(self, coming: int) -> list[int]:
        tallies = self._tallies
        if self._deaf and self._clock() >= self._until:
            self._deaf.clear()
        own = tallies.of(tallies.worker, CLIENTS) + coming
        others = [worker for worker in range(tallies.workers) if worker != tallies.worker]
        heeding = [worker for worker in others if self._deaf.get(worker) != tallies.given(worker)]
        return [worker for worker in heeding if own > tallies.of(worker, CLIENTS) * (1 + SLACK)]


class Acceptor:
    """Accepts on `bound` for `plane`, one of several workers' planes."""

    def __init__(self, plane: Plane, bound: list[Bound]) -> None:
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self._open: dict[socket.socket, Callable[[], Session]] = {}
        self._coming: set[asyncio.Task[None]] = set()
        self._shares = Shares(plane.tallies, self._loop.time)
        for listening in bound:
            self._open[listening.socket] = partial(Session, plane, listening.consistency)
            self._watch(listening.socket)

    def close(self) -> None:
        """Accept no more. Sessions go on."""
        for listening in self._open:
            self._loop.remove_reader(listening)
            listening.close()
        self._open.clear()

    def _watch(self, listening: socket.socket, looks: int = 0) -> None:
        if listening in self._open:
            self._loop.add_reader(listening, self._ready, listening, looks)

    def _watch_later(self, listening: socket.socket, seconds: float, looks: int = 0) -> None:
        self._loop.remove_reader(listening)
        self._loop.call_later(seconds, self._watch, listening, looks)

    def _ready(self, listening: socket.socket, looks: int) -> None:
        """A client waits. One is taken per call; the loop calls again while there are more. `looks`: how often it has been left to others."""
        if self._shares.enough(len(self._coming)):
            if looks < PATIENCE:
                self._watch_later(listening, DEFERENCE, looks + 1)
                return
            self._shares.in_vain(len(self._coming))
        if looks:
            self._watch(listening)
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as problem:
            log.error("cannot accept a client: %s; again in %g s", problem, EXHAUSTED)
            self._watch_later(listening, EXHAUSTED)
            return
        coming = self._loop.create_task(self._take(connection, self._open[listening]))
        self._coming.add(coming)
        coming.add_done_callback(self._coming.discard)

    async def _take(self, connection: socket.socket, session: Callable[[], Session]) -> None:
        try:
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(session, connection)  # type: ignore[type-var]
        except OSError:
            connection.close()  # the client has gone already
