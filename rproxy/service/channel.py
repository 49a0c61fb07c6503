"""What the supervisor and a worker tell each other, and how: messages over a pair of connected sockets.

Used by `supervisor` and `worker`. Messages are pickled: both ends are rproxy, of one version, and nobody else holds the sockets. It must never wait for the
other end to read.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from rproxy.dataplane import tallies
from rproxy.dataplane.policies import Policy
from rproxy.dataplane.topology import Server, Topology
from rproxy.settings import Settings

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Follow:
    """To a worker: route by this topology. The supervisor has heard the worker's first `heard` doubts. `leave`, if not 0: end with the last leader and answer
    `Left(leave)`.
    """

    topology: Topology
    heard: int = 0
    leave: int = 0


@dataclass(frozen=True, slots=True)
class Learn:
    """To a worker: these rows of the leader's COMMAND are of commands that rproxy did not know."""

    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Change:
    """To a worker: these settings count from now on."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Begin:
    """To a worker, first of all. `listeners`: descriptor, URL, policy, path; `memory`: the descriptor of what all share; `started`: when rproxy was,
    on the monotonic clock. `layout`: that of the memory, as the supervisor knows it.
    """

    settings: Settings
    worker: int
    workers: int
    listeners: tuple[tuple[int, str, Policy, str], ...]
    memory: int
    started: float
    follow: Follow
    layout: tuple[int, ...] = tallies.LAYOUT


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: accept no more, let what is in flight finish, and end; `at_once`: without that."""

    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it has begun, and may be told what has changed meanwhile, and `Serve`."""


@dataclass(frozen=True, slots=True)
class Serve:
    """To a worker: it has been told all that counts, and accepts clients from now on."""


@dataclass(frozen=True, slots=True)
class Ping:
    """To a worker: say that you turn. From a worker: it does."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """From a worker: its `number`-th doubt. A connection to this server failed, or it refuses writes (`demoted`)."""

    number: int
    server: Server
    reason: str
    demoted: bool


@dataclass(frozen=True, slots=True)
class Left:
    """From a worker: it has ended with the last leader, as `Follow.leave` asked."""

    leave: int


@dataclass(frozen=True, slots=True)
class Stamped:
    """From a worker: something was written while the freshness clock rests."""


@dataclass(frozen=True, slots=True)
class Ask:
    """From a worker: all others are to be asked this. To a worker: it is asked this. `number` is to be given back with the answer."""

    number: int
    words: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """From a worker: what it answers to `Ask.number`."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answers:
    """To a worker: what the others have answered to its own `Ask.number`."""

    number: int
    data: tuple[bytes, ...]


Message = Begin | Change | Follow | Learn | Drain | Ping | Ready | Serve | Doubt | Left | Stamped | Ask | Answer | Answers


def pack(message: Message) -> bytes:
    """The message with its length before it."""
    data = pickle.dumps(message)
    return _LENGTH.pack(len(data)) + data


def receive(connection: socket.socket) -> Message:
    """The next message, waiting for it. Raises EOFError when the other end is closed. For the time before there is a loop."""
    with connection.makefile("rb", buffering=0) as stream:
        length = _LENGTH.unpack(_exactly(stream.read, _LENGTH.size))[0]
        return cast(Message, pickle.loads(_exactly(stream.read, length)))


def _exactly(read: Callable[[int], bytes | None], size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = read(size - len(data))
        if not piece:
            raise EOFError("the other end is closed")
        data += piece
    return data


class Channel(asyncio.Protocol):
    """One end. `heard(message)` is called for each message, `closed()` when the other end has gone."""

    def __init__(self, heard: Callable[[Message], None], closed: Callable[[], None]) -> None:
        self._heard = heard
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()

    async def open(self, connection: socket.socket) -> None:
        """Talk over this socket from now on."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=connection)

    def send(self, message: Message) -> None:
        """Tell the other end; nothing happens where it has gone."""
        if self._transport is not None:
            self._transport.write(pack(message))

    def close(self) -> None:
        """Hear and send no more."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Part of a message, or several."""
        self._data += data
        while len(self._data) >= _LENGTH.size:
            stop = _LENGTH.size + _LENGTH.unpack_from(self._data)[0]
            if len(self._data) < stop:
                return
            message = pickle.loads(self._data[_LENGTH.size : stop])
            del self._data[:stop]
            self._heard(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end has gone."""
        self._transport = None
        self._closed()
