"""What a client has sent while its commands wait.

Owned by a session. It keeps the input in order, and stops reading from the client while it holds too much: that is more while the client does not take
its replies, since many send all of a pipeline before they read. It must never be taken up in more than a small part at once, nor cost more memory or time
than its bytes do, however small the pieces are in which they come, and however often the rest of a part is put back.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rproxy.dataplane.outlet import Outlet
    from rproxy.dataplane.ports import Transport

_MOST = 64 * 1024  # bytes held before reading from the client stops, and bytes up to which pieces are joined
_SMALL = 32 * 1024  # bytes below which a piece is copied behind others


class Backlog:
    """Input that waits; `size` in bytes."""

    __slots__ = ("size", "_parts", "_start", "_paused", "_most")

    def __init__(self) -> None:
        self.size = 0
        self._parts: deque[bytes | bytearray] = deque()  # small pieces are joined in a bytearray
        self._start = 0  # where in the first part that begins which is still to be taken
        self._paused = False
        self._most = _MOST

    def keep(self, data: bytes, transport: Outlet | Transport | None) -> None:
        """Put a piece behind the others."""
        parts = self._parts
        last = parts[-1] if parts else b""
        if isinstance(last, bytearray) and len(last) + len(data) <= _MOST:
            last += data
        else:
            parts.append(bytearray(data) if len(data) < _SMALL else data)
        self.size += len(data)
        if self.size > self._most and not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()

    def bear(self, most: int, transport: Outlet | Transport | None) -> None:
        """Hold up to so many bytes until input is taken up again."""
        self._most = max(most, _MOST)
        self.relax(transport)

    def put_back(self, data: bytes, start: int) -> None:
        """Put what could not be taken, `data` from `start` on, before all else."""
        if self._start:
            self._parts[0] = self._parts[0][self._start :]
        self._parts.appendleft(data)
        self._start = start
        self.size += len(data) - start

    def take(self) -> tuple[bytes, int]:
        """The first part of what waits, and where in it that begins; it is the caller's from now on."""
        parts, start = self._parts, self._start
        self._most = _MOST
        if not parts:
            return b"", 0
        first = parts.popleft()
        length = len(first) - start
        if parts and length + len(parts[0]) <= _MOST:
            joined = bytearray(first[start:] if start else first)
            while parts and len(joined) + len(parts[0]) <= _MOST:
                joined += parts.popleft()
            first, start, length = joined, 0, len(joined)
        self._start = 0
        self.size -= length
        return bytes(first), start

    def relax(self, transport: Outlet | Transport | None) -> None:
        """Read from the client again if little enough is held."""
        if self._paused and self.size <= self._most and transport is not None:
            self._paused = False
            transport.resume_reading()

    def clear(self) -> None:
        """Hold nothing."""
        self._parts.clear()
        self._start = self.size = 0
