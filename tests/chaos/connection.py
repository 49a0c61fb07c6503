"""An asyncio client that pairs replies with commands in order, and counts what nobody asked for."""

from __future__ import annotations

import asyncio
import collections
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Self

import hiredis

from tests.integration.wire import Word, pack

Words = Sequence[Word]
REFUSAL = "ERR max number of clients reached"
"""What a server says, and rproxy, to a client that it closes before it was asked anything."""


class Closed(ConnectionError):
    """The connection was closed before the reply came. `sent` says whether the command had left."""

    def __init__(self, text: str, sent: bool = True) -> None:
        super().__init__(text)
        self.sent = sent


class Connection(asyncio.Protocol):
    """One connection. With `push` set, all that arrives goes there."""

    _unasked = 0

    def __init__(self) -> None:
        self.reader = hiredis.Reader()
        self.waiting: collections.deque[asyncio.Future[Any]] = collections.deque()
        self.transport: asyncio.Transport
        self.push: Callable[[Any], None] | None = None
        self.lost = False

    @classmethod
    async def open(cls, port: int, timeout: float = 5.0) -> Self:
        """Raises OSError or TimeoutError."""
        async with asyncio.timeout(timeout):
            _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @classmethod
    def take_unasked(cls) -> int:
        """How many replies that belong to no command have come, over all connections, since this was asked last."""
        count, Connection._unasked = Connection._unasked, 0
        return count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        try:
            while (reply := self.reader.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError as problem:
            self.transport.abort()
            self._fail(Closed(f"protocol error: {problem}"))

    def _take(self, reply: Any) -> None:
        if self.push is not None:
            self.push(reply)
        elif self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(reply)
        elif not str(reply).startswith(REFUSAL):
            Connection._unasked += 1

    def _fail(self, problem: Closed) -> None:
        self.lost = True
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_exception(problem)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(Closed(f"closed ({type(error).__name__})" if error else "closed"))

    def call(self, *words: Word) -> asyncio.Future[Any]:
        """The reply to one command; an error reply is the result, no exception. Raises Closed."""
        return self.calls([words])[0]

    def calls(self, commands: Sequence[Words]) -> list[asyncio.Future[Any]]:
        """The replies to several commands that are sent at once."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
        if self.lost:
            for future in futures:
                future.set_exception(Closed("closed before it was sent", sent=False))
            return futures
        self.waiting.extend(futures)
        self.transport.write(b"".join(pack(*words) for words in commands))
        return futures

    def forget(self, *words: Word) -> None:
        """Send a command whose reply nobody waits for."""
        self.call(*words).add_done_callback(lambda future: future.cancelled() or future.exception())

    def close(self) -> None:
        """Close at once."""
        self.lost = True
        self.transport.abort()

    def reset(self) -> None:
        """Close with RST."""
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()
