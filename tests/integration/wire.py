"""A raw RESP client for tests: it sends bytes and gives back each reply as the very bytes that arrived.

Used by the integration, fault and compatibility tests wherever bytes matter, and to talk to a server
directly. It has its own small frame splitter, so that a mistake in rproxy's cannot hide itself. It must never
import rproxy.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import hiredis

Address = tuple[str, int] | str
Word = bytes | str | int
AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
BULKS = (b"$", b"=", b"!")


def pack(*words: Word) -> bytes:
    """One command as an array of bulk strings."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)])


def frame_end(data: bytes | bytearray, start: int) -> int:
    """Where the reply that begins at `start` ends, or -1 when it isn't complete. An attribute belongs to the
    reply after it.
    """
    left, position = 1, start
    while left:
        line = data.find(b"\r\n", position)
        if line < 0:
            return -1
        mark, size = bytes(data[position : position + 1]), 0
        if mark in BULKS or mark in AGGREGATES:
            size = int(data[position + 1 : line])
        position = line + 2
        if mark in BULKS and size >= 0:
            position += size + 2
            if position > len(data):
                return -1
        left -= 0 if mark == b"|" else 1
        left += max(size, 0) * AGGREGATES.get(mark, 0)
    return position


def value_of(frame: bytes) -> Any:
    """The Python value of one reply; an error becomes a hiredis.ReplyError (returned, not raised)."""
    reader = hiredis.Reader()
    reader.feed(frame)
    return reader.gets()


class Wire:
    """One connection, to a host and port or to the path of a unix socket.

    Every wait has a deadline of `timeout` seconds and raises TimeoutError after it.
    """

    def __init__(self, address: Address, timeout: float = 15.0) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            try:
                self.socket.connect(address)
            except OSError:
                self.socket.close()
                raise
        else:
            self.socket = socket.create_connection(address, timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def abort(self) -> None:
        """Close with a reset: what a client that crashed looks like."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frame(self) -> bytes:
        """The bytes of the next reply. Raises EOFError with what had arrived when the other side closes
        first.
        """
        needed = 0
        while True:
            if len(self.buffer) >= needed and (end := frame_end(self.buffer, 0)) > 0:
                frame = bytes(memoryview(self.buffer)[:end])
                del self.buffer[:end]
                return frame
            needed = self._needed()
            chunk = self.socket.recv(1 << 20)
            if not chunk:
                raise EOFError(bytes(self.buffer))
            self.buffer += chunk

    def _needed(self) -> int:
        """How many bytes to have before it is worth to look again: a large bulk is not searched anew with
        every chunk.
        """
        if self.buffer[:1] in BULKS and (line := self.buffer.find(b"\r\n")) > 0:
            return line + 4 + int(self.buffer[1:line])
        return len(self.buffer) + 1

    def frames(self, count: int) -> list[bytes]:
        """The next replies. Splits in place, so that thousands of replies in one chunk cost no quadratic
        copying.
        """
        frames: list[bytes] = []
        while len(frames) < count:
            position = 0
            while len(frames) < count and (end := frame_end(self.buffer, position)) > 0:
                frames.append(bytes(self.buffer[position:end]))
                position = end
            del self.buffer[:position]
            if len(frames) < count:
                frames.append(self.frame())
        return frames

    def ask(self, *words: Word) -> bytes:
        """Send one command and give the bytes of its reply."""
        self.send(pack(*words))
        return self.frame()

    def call(self, *words: Word) -> Any:
        """Send one command and give its value (an error is returned, not raised)."""
        return value_of(self.ask(*words))

    def until_closed(
        self, stop: Callable[[bytearray], bool] = lambda seen: False, quiet: float | None = None
    ) -> tuple[bytes, bool]:
        """Everything that arrives until the other side closes (True), or `stop` says enough or nothing came
        for `quiet` seconds (False).
        """
        seen, self.buffer = self.buffer, bytearray()
        before = self.socket.gettimeout()
        self.socket.settimeout(quiet if quiet is not None else before)
        try:
            while not stop(seen):
                chunk = self.socket.recv(1 << 20)
                if not chunk:
                    return bytes(seen), True
                seen += chunk
        except ConnectionError:
            return bytes(seen), True
        except TimeoutError:
            if quiet is None:
                raise
        finally:
            self.socket.settimeout(before)
        return bytes(seen), False


def eventually(holds: Callable[[], Any], what: str, within: float = 10.0, pause: float = 0.02) -> Any:
    """Poll until `holds()` is true, and give what it returned; fail with `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        if result := holds():
            return result
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(pause)
