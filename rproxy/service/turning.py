"""How late the event loop turns, and how many files this process has open: measured now and then, beside the clients and never by them.

Started by every process of rproxy that has an event loop; the metrics tell the worst of all. While commands come, the data plane's ticks tell how late they
are, twenty times a second; what runs while nobody asks is looked at here. It must never keep the loop busy itself.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.tallies import FILES, LOOP_LAG

PERIOD = 1.0
"""Seconds between two looks. Measured: ten a second are a third of all CPU that rproxy takes while nobody asks."""
SPAN = 60.0
"""Seconds for which the longest delay is told: who looks once a minute misses none."""
_PART = 10
"""Looks of which the longest delay is kept together."""
_PARTS = round(SPAN / PERIOD / _PART) + 1
_FILES = "/proc/self/fd"


class Turning:
    """Looks by itself, from `start` until `stop`. The loop's clock is asked, what ticks were late, and nothing else."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self._delays = deque([0.0], _PARTS)
        self._looks = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on."""
        self._count_files()
        self._wait()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._due = self._loop.time() + PERIOD
        self._timer = self._loop.call_later(PERIOD, self._look)

    def _look(self) -> None:
        self._looks += 1
        if self._looks % _PART == 0:
            self._delays.append(0.0)
            self._count_files()
        self._delays[-1] = max(self._delays[-1], self._loop.time() - self._due, self._plane.lateness)
        self._plane.lateness = 0.0
        self._plane.tallies.put(LOOP_LAG, round(max(self._delays) * 1e6))
        self._wait()

    def _count_files(self) -> None:
        with suppress(OSError):  # there is no /proc
            self._plane.tallies.put(FILES, os.stat(_FILES).st_size or len(os.listdir(_FILES)))  # before Linux 6.2 it has no size
