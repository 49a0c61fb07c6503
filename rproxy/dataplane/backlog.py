"""What a client has sent while its commands wait.

Owned by a session. It keeps the pieces in order, and stops reading from the client while it holds too much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rproxy.dataplane.outlet import Outlet
    from rproxy.dataplane.ports import Transport

_MOST = 64 * 1024  # bytes held before reading from the client stops


class Backlog:
    """Pieces of input that wait; `size` in bytes."""

    __slots__ = ("size", "_pieces", "_paused")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._paused = False

    def keep(self, data: bytes, transport: Outlet | Transport | None) -> None:
        """Put a piece behind the others."""
        self._pieces.append(data)
        self.size += len(data)
        if self.size > _MOST and not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()

    def put_back(self, data: bytes) -> None:
        """Put what could not be taken before the others."""
        self._pieces.insert(0, data)
        self.size += len(data)

    def take(self) -> bytes:
        """All that waits, in one piece; it is the caller's from now on."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self.clear()
        return data

    def relax(self, transport: Outlet | Transport | None) -> None:
        """Read from the client again if little enough is held."""
        if self._paused and self.size <= _MOST and transport is not None:
            self._paused = False
            transport.resume_reading()

    def clear(self) -> None:
        """Hold nothing."""
        self._pieces = []
        self.size = 0
