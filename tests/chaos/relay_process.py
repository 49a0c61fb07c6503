"""The process of `tests.chaos.rig.Links`: TCP relays that spoil what goes through them.

Its arguments are links as NAME:PORT, each a target; it answers with one line of JSON that says where each listens. Then it takes orders as lines of JSON,
`{"link": "p0", "mode": "hold"}` or `{"link": "p0", "act": "reset"}` (a link `*` is all of them), answers each, and ends with its input.

Modes: pass; hold (both ways), hold_up (to the server), hold_down (to the client); delay (`ms`, `jitter`); trickle (`rate`, down); corrupt and cut_late (`p`
for each chunk, down). Acts: reset (`p` for each connection), half_open (the server's side is closed, the client's stays open and silent).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
from typing import Any

HIDING = ("hold", "hold_up", "hold_down")
"""Modes in which the network hides the end of a connection too."""


def abort(transport: asyncio.Transport | None) -> None:
    """Close with RST."""
    if transport is None or transport.is_closing():
        return
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Half(asyncio.Protocol):
    """One side of a connection; `queue` is what came from it and waits to go to the other side."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.transport: asyncio.Transport | None = None
        self.queue: list[bytes] = []
        self.last = 0.0
        self.trickling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pair.made(self)

    def data_received(self, data: bytes) -> None:
        self.pair.came(self, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.pair.lost(self)

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)


class Pair:
    """One connection through a link: `up` is the client's side, `down` the server's."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.up, self.down = Half(self), Half(self)
        self.mute = False
        link.pairs.add(self)

    def made(self, half: Half) -> None:
        if half is self.up:
            self.link.start(self._dial())
        else:
            self.pump(self.up)

    async def _dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.down, "127.0.0.1", self.link.target)
        except OSError:
            abort(self.up.transport)
            self.link.pairs.discard(self)

    def other(self, half: Half) -> Half:
        return self.down if half is self.up else self.up

    def came(self, half: Half, data: bytes) -> None:
        link = self.link
        if self.mute:
            return
        if half is self.down and link.mode in ("corrupt", "cut_late") and random.random() < link.value("p", 0.01):
            at = random.randrange(len(data))
            if link.mode == "cut_late":
                self.up.write(data[:at])
                if self.up.transport is not None:
                    self.up.transport.close()
                abort(self.down.transport)
                return
            data = data[:at] + random.randbytes(1) + data[at + 1 :]
        half.queue.append(data)
        self.pump(half)

    def held(self, half: Half) -> bool:
        mode = self.link.mode
        return mode == "hold" or (mode == "hold_up" and half is self.up) or (mode == "hold_down" and half is self.down)

    def pump(self, half: Half) -> None:
        """Pass on what waits, now or later."""
        other, link = self.other(half), self.link
        if other.transport is None or self.held(half) or not half.queue or half.trickling is not None:
            return
        if link.mode == "trickle" and half is self.down:
            half.trickling = link.start(self._trickle(half, other))
            return
        data = b"".join(half.queue)
        half.queue.clear()
        loop = asyncio.get_running_loop()
        wait = (link.value("ms", 50) + random.random() * link.value("jitter", 0)) / 1000 if link.mode == "delay" else 0.0
        due = max(loop.time() + wait, half.last + 1e-5)  # never two at the same time: timers keep no order among equals
        if link.mode == "delay" or half.last > loop.time():
            half.last = due
            loop.call_at(due, self._late, half, other, data)
        else:
            other.write(data)

    def _late(self, half: Half, other: Half, data: bytes) -> None:
        if self.held(half):
            half.queue.insert(0, data)
        else:
            other.write(data)

    async def _trickle(self, half: Half, other: Half) -> None:
        while half.queue and self.link.mode == "trickle":
            data = half.queue.pop(0)
            other.write(data[:1])
            if data[1:]:
                half.queue.insert(0, data[1:])
            await asyncio.sleep(1 / self.link.value("rate", 1000))
        half.trickling = None
        self.pump(half)

    def lost(self, half: Half) -> None:
        other = self.other(half)
        if self.mute and half is self.down:
            return
        self.link.pairs.discard(self)
        if self.link.mode in HIDING:
            self.link.hidden.append(other)
        elif other.transport is not None and not other.transport.is_closing():
            other.transport.close()


class Link:
    """A listener with its target, and how it spoils what goes through it."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode = "pass"
        self.values: dict[str, float] = {}
        self.pairs: set[Pair] = set()
        self.hidden: list[Half] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def value(self, name: str, default: float) -> float:
        return self.values.get(name, default)

    def start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def listen(self) -> int:
        server = await asyncio.get_running_loop().create_server(lambda: Pair(self).up, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def obey(self, mode: str = "", act: str = "", **values: float) -> None:
        if mode:
            self.mode, self.values = mode, values
            if mode not in HIDING:
                for half in self.hidden:
                    if half.transport is not None:
                        half.transport.close()
                self.hidden.clear()
            for pair in list(self.pairs):
                pair.pump(pair.up)
                pair.pump(pair.down)
        for pair in list(self.pairs) if act else ():
            if act == "half_open":
                pair.mute = True
                abort(pair.down.transport)
            elif random.random() < values.get("p", 1.0):
                self.pairs.discard(pair)
                abort(pair.up.transport)
                abort(pair.down.transport)


async def main(words: list[str]) -> None:
    links = {name: Link(int(port)) for name, port in (word.split(":") for word in words)}
    print(json.dumps({name: await link.listen() for name, link in links.items()}), flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        order = json.loads(line)
        name = order.pop("link")
        for link in links.values() if name == "*" else [links[name]]:
            link.obey(**order)
        print("done", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(main(sys.argv[1:]))
