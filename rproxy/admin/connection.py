"""One connection to an admin listener: h11 as uvicorn has it, with a time-out for each state and a bound on how many there are.

Made by uvicorn for the servers of `serving`. Whoever connects and says nothing makes room for others: when there are too many, the one that has waited longest
for a request is closed, so that probes are answered whatever strangers hold open. Those above the bound are for probes alone. It must never close one whose
request is being answered in time.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 100
"""Connections at once."""
FOR_PROBES = 20
"""More of them, which only ask for health, while each of the others has a request under way."""
HEAD = 5.0
"""Seconds for a request to arrive, from the connection or the last response on."""
REQUEST = 30.0
"""Seconds for a request to be answered, and for the answer to be taken."""
CROWDED = "crowded"
"""In the state of a request: only probes are answered."""
_REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
)


class Connection(H11Protocol):
    """`since`: when its state began, by the loop's clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has connected."""
        others = cast("set[Connection]", self.connections)
        idle = [other for other in others if other.is_idle()]
        if len(others) >= MOST and idle:
            min(idle, key=lambda other: other.since).drop()
        super().connection_made(transport)
        self.app_state = {
            **self.app_state,
            "connection": transport.get_extra_info("socket"),
            CROWDED: len(self.connections) > MOST,
        }
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._begin(HEAD)
        if len(self.connections) > MOST + FOR_PROBES:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A request, or part of one."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """A request is answered."""
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        text = msg.encode("ascii", "replace")
        self.transport.write(_REFUSED % (len(text), text))
        self.transport.close()

    def is_idle(self) -> bool:
        """Whether it waits for a request, or for the rest of its head."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def drop(self) -> None:
        """Close at once."""
        self.connections.discard(self)
        self.transport.abort()

    def _look(self) -> None:
        """Whether the state has changed: bytes that drip in do not prolong it."""
        if self._busy is self.is_idle():
            self._busy = not self._busy
            self._begin(REQUEST if self._busy else HEAD)

    def _begin(self, seconds: float) -> None:
        self._stop()
        self.since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self.drop)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
