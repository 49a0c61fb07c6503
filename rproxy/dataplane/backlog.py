"""What a client has sent while its commands wait.

Owned by a session. It keeps the pieces in order, and stops reading from the client while it holds too much: that is more while the client does not take
its replies, since many send all of a pipeline before they read. It must never be taken up in more than a small part at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rproxy.dataplane.outlet import Outlet
    from rproxy.dataplane.ports import Transport

_MOST = 64 * 1024  # bytes held before reading from the client stops, and bytes taken up at once


class Backlog:
    """Pieces of input that wait; `size` in bytes."""

    __slots__ = ("size", "_pieces", "_paused", "_most")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._paused = False
        self._most = _MOST

    def keep(self, data: bytes, transport: Outlet | Transport | None) -> None:
        """Put a piece behind the others."""
        self._pieces.append(data)
        self.size += len(data)
        if self.size > self._most and not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()

    def bear(self, most: int, transport: Outlet | Transport | None) -> None:
        """Hold up to so many bytes until input is taken up again."""
        self._most = max(most, _MOST)
        self._go_on(transport)

    def put_back(self, data: bytes) -> None:
        """Put what could not be taken before the others."""
        self._pieces.insert(0, data)
        self.size += len(data)

    def take(self) -> bytes:
        """What waits, or the first part of it, in one piece; it is the caller's from now on."""
        pieces = self._pieces
        count = len(pieces)
        if self.size > _MOST:
            count = length = 0
            while length < _MOST:
                length += len(pieces[count])
                count += 1
        data = pieces[0] if count == 1 else b"".join(pieces[:count])
        del pieces[:count]
        self.size -= len(data)
        return data

    def relax(self, transport: Outlet | Transport | None) -> None:
        """Input was taken up: read from the client again if little enough is held."""
        self._most = _MOST
        self._go_on(transport)

    def _go_on(self, transport: Outlet | Transport | None) -> None:
        if self._paused and self.size <= self._most and transport is not None:
            self._paused = False
            transport.resume_reading()

    def clear(self) -> None:
        """Hold nothing."""
        self._pieces = []
        self.size = 0
