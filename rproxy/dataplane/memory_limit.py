"""The memory that one worker holds for its clients, and who is closed when that is more than its share of `limits.memory`.

Owned by `clients`. Sessions that hold more than a little enter themselves, and at each of the plane's ticks what they hold is added up: replies that the client
has not taken, in rproxy and in its transport; commands that wait or have come in part; requests under way. It must never close a client that holds next
to nothing, nor do anything for each command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.tallies import CLOSED_MEMORY, HELD_BYTES

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

LITTLE = 16 * 1024
"""Bytes up to which nobody asks who holds them."""
ENOUGH = 0.9
"""The part of the limit that is left when clients have been closed for it."""


def held_for(session: Session) -> int:
    """Bytes that are held for this client."""
    size: int = session.held + session.backlog.size + len(session.tail) + session.inflight_bytes
    if session.attachment is not None:
        size += session.attachment.gathered
    if session.transport is not None:
        size += session.transport.transport.get_write_buffer_size()
    return size


class MemoryLimit:
    """`total` bytes were held at the last look."""

    def __init__(self) -> None:
        self.total = 0
        self._sessions: set[Session] = set()

    def note(self, session: Session) -> None:
        """This session holds more than a little, or soon will."""
        self._sessions.add(session)

    def look(self, plane: Plane) -> None:
        """Add up what is held, and close clients where that is too much."""
        if not self._sessions and not self.total:
            return
        sizes = {session: held_for(session) for session in self._sessions if session.transport is not None}
        self._sessions = {session for session, size in sizes.items() if size > LITTLE or session.choked}
        self.total = sum(sizes.values())
        most = plane.options.client_memory // plane.options.workers
        if most and self.total > most:
            self._free(plane, sizes, most)
        plane.tallies.put(HELD_BYTES, self.total)

    def _free(self, plane: Plane, sizes: dict[Session, int], most: int) -> None:
        """Close those that have not authenticated though they have to, the largest first, then whoever else holds most, until enough is free."""
        before, closed = self.total, 0
        for session in sorted(sizes, key=lambda session: (not session.is_stranger(), -sizes[session])):
            if self.total <= most * ENOUGH or sizes[session] <= LITTLE:
                break
            self.total -= sizes[session]
            self._sessions.discard(session)
            session.close()
            plane.tallies.count(CLOSED_MEMORY)
            closed += 1
        if closed:
            plane.notice(
                f"limits.memory: {before} bytes were held for clients in this process, {most} may be; {closed} of them closed"
            )
