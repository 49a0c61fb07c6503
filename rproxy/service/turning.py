"""How late the event loop turns, how many files this process has open, how many lines of its log were lost: measured now and then, never by a client.

Started by every process of rproxy that has an event loop; the metrics tell the worst of all. It must never keep the loop busy itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from contextlib import suppress

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.tallies import FILES, LOG_LINES_LOST, LOOP_LAG
from rproxy.service import logs

OFTEN = 0.1
"""Seconds between two looks while clients are served: a longer delay is seen, but for its first tenth of a second."""
SELDOM = 1.0
"""Seconds between two looks while nobody is. Measured: ten a second were two fifths of all CPU that rproxy took while nobody asked."""
SPAN = 60.0
"""Seconds for which the longest delay is told."""
_PART = 10.0
"""Seconds of which the longest delay is kept together."""
_PARTS = round(SPAN / _PART) + 1
_FILES = "/proc/self/fd"


class Turning:
    """Looks by itself, from `start` until `stop`. Asked is what time it is, how much has passed the plane, and nothing else.

    Both loops count CLOCK_MONOTONIC; uvloop's own time is in whole milliseconds, and that of the pass's beginning, so that most of what is late shows as 0.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self._delays = deque([0.0], _PARTS)
        self._since = self._loop.time()
        self._passed = self._lost = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on."""
        self._count()
        self._wait(self._loop.time())

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, now: float) -> None:
        passed = self._plane.traffic.from_clients + self._plane.traffic.from_servers
        self._due = now + (SELDOM if passed == self._passed else OFTEN)
        self._passed = passed
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._since >= _PART:
            self._since = now
            self._delays.append(0.0)
            self._count()
        self._delays[-1] = max(self._delays[-1], time.monotonic() - self._due)
        self._plane.tallies.put(LOOP_LAG, round(max(self._delays) * 1e6))
        self._wait(now)

    def _count(self) -> None:
        lost = logs.lost()
        self._plane.tallies.count(LOG_LINES_LOST, max(0, lost - self._lost))
        self._lost = lost
        with suppress(OSError):  # there is no /proc
            self._plane.tallies.put(FILES, os.stat(_FILES).st_size or len(os.listdir(_FILES)))  # before Linux 6.2 it has no size
