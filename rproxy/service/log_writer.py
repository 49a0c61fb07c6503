"""Writes the lines of the log in a thread of its own, so that nobody waits for whoever reads them.

Made by `logs`. A pipe that nobody reads, a terminal that is stopped or a disk that hangs blocks this thread alone. Up to `MOST` lines wait meanwhile; those
above it, and those that can't be written, are counted, and a line says how many they were when it goes on. It must never block or raise in the thread that
logs.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

MOST = 2000
"""Lines that wait."""
PATIENCE = 1.0
"""Seconds that `flush` waits at most."""


class Writer:
    """Writes to `stream`. `told(count)` makes the line that says that so many were lost; `lost` only grows."""

    def __init__(self, stream: TextIO, told: Callable[[int], str]) -> None:
        self.stream = stream
        self.told = told
        self.lost = 0
        self._unsaid = 0
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._writing = self._closed = False
        # Past the stream's own buffer, whose lock another thread that prints would wait for.
        self._descriptor = sys.__stderr__.fileno() if sys.__stderr__ is not None and stream is sys.__stderr__ else -1
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written."""
        with self._changed:
            if len(self._lines) >= MOST:
                self._lose()
            else:
                self._lines.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when all is written, or after a while."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """End when all is written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _lose(self) -> None:
        self.lost += 1
        self._unsaid += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                line, self._writing = self._lines.popleft(), True
            if not self._write(line):
                with self._changed:
                    self._lose()
            elif not self._lines and self._unsaid:
                with self._changed:
                    count, self._unsaid = self._unsaid, 0
                self._write(self.told(count))

    def _write(self, line: str) -> bool:
        try:
            if self._descriptor < 0:
                self.stream.write(line)
                self.stream.flush()
                return True
            data = line.encode(errors="backslashreplace")
            while data:
                data = data[os.write(self._descriptor, data) :]
        except (OSError, ValueError):  # the other end is gone, the disk is full; it is closed
            return False
        return True
