"""The process behind `tests.relay`: one listener, one target, and between them bytes that wait, stop, or are lost.

Started by `tests.relay.Relay` with the target's port as its argument, and by nothing else. It takes orders as lines of JSON on its
standard input, answers each with one line, and ends when that input ends, so it never outlives the test. It must never read what it
passes, nor change or reorder it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections import deque
from typing import Any

HOLD = 512 * 2**20
"""Bytes that one line holds at most; then it no longer reads. A delay line must hold what arrives during its delay."""


class Rules:
    """What holds for one direction of every connection: seconds of delay, and whether bytes pass at all."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.stalled = False


class Line:
    """One direction of one connection: a chunk leaves `delay` after it came, whatever came before or after it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rules: Rules) -> None:
        self.loop, self.rules = loop, rules
        self.held: deque[tuple[float, bytes | None]] = deque()  # None: the sender has ended
        self.arrived = self.passed = 0
        self.stalled = self.full = self.over = False
        self.timer: asyncio.TimerHandle | None = None
        self.source: End | None = None
        self.sink: End | None = None

    def take(self, data: bytes | None) -> None:
        self.held.append((self.loop.time(), data))
        self.arrived += len(data or b"")
        if self.arrived - self.passed > HOLD and self.source is not None:
            self.source.transport.pause_reading()
        self.release()

    def release(self) -> None:
        """Pass what is due; come back for the next."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.sink is None:
            return
        while self.held and not (self.stalled or self.rules.stalled or self.full):
            due = self.held[0][0] + self.rules.delay
            if due > self.loop.time():
                self.timer = self.loop.call_at(due, self.release)
                return
            self.sink.give(self.next())
        if self.arrived - self.passed <= HOLD and self.source is not None:
            self.source.transport.resume_reading()

    def next(self) -> bytes | None:
        _, data = self.held.popleft()
        self.passed += len(data or b"")
        self.over = data is None
        return data


class End(asyncio.Protocol):
    """One end of a connection: what it receives goes into `out`; what comes out of `back` is written to it."""

    transport: asyncio.Transport

    def __init__(self, pair: Pair, out: Line, back: Line) -> None:
        self.pair, self.out, self.back = pair, out, back
        self.ended = self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.pair.open.append(self)
        self.out.source = self.back.sink = self
        if self.pair.aborted:
            transport.abort()
        self.back.release()

    def data_received(self, data: bytes) -> None:
        self.out.take(data)

    def eof_received(self) -> bool:
        self.ended = True
        self.out.take(None)
        self.close_if_over()
        return True  # the other direction stays open until it ends too

    def give(self, data: bytes | None) -> None:
        """Write it; with None, end this direction."""
        if self.transport.is_closing():
            return
        if data is not None:
            self.transport.write(data)
        elif self.back.source is None or self.back.source.lost:
            self.transport.close()
        else:
            self.transport.write_eof()
            self.close_if_over()

    def close_if_over(self) -> None:
        if self.ended and self.back.over:
            self.transport.close()

    def pause_writing(self) -> None:
        self.back.full = True

    def resume_writing(self) -> None:
        self.back.full = False
        self.back.release()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is told once it has had what was sent before."""
        self.lost = True
        self.out.take(None)
        self.pair.forget(self)


class Pair:
    """One connection through the relay."""

    def __init__(self, owner: Owner, number: int) -> None:
        self.owner, self.number = owner, number
        self.up, self.down = Line(owner.loop, owner.rules["up"]), Line(owner.loop, owner.rules["down"])
        self.near, self.far = End(self, self.up, self.down), End(self, self.down, self.up)
        self.open: list[End] = []
        self.aborted = False

    async def dial(self, port: int) -> None:
        try:
            await self.owner.loop.create_connection(lambda: self.far, "127.0.0.1", port)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """Reset both ends; what waited is lost."""
        self.aborted = True
        self.up.held.clear()
        self.down.held.clear()
        for end in self.open:
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                end.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end.transport.abort()

    def forget(self, end: End) -> None:
        self.open.remove(end)
        if not self.open:
            self.owner.pairs.pop(self.number, None)

    def facts(self) -> dict[str, int]:
        up, down = self.up, self.down
        counts = {"up_arrived": up.arrived, "up_passed": up.passed, "down_arrived": down.arrived, "down_passed": down.passed}
        return {"id": self.number, **counts}


class Owner:
    """The relay: its listener, its connections, and the orders that it takes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self.loop, self.target = loop, target
        self.rules = {"up": Rules(), "down": Rules()}
        self.pairs: dict[int, Pair] = {}
        self.count = 0
        self.server: asyncio.Server | None = None
        self.dialing: set[asyncio.Task[None]] = set()
        self.place = bound(0)  # keeps the port while nobody listens, so that no stranger takes it
        self.port = self.place.getsockname()[1]

    def accept(self) -> End:
        self.count += 1
        pair = self.pairs[self.count] = Pair(self, self.count)
        task = self.loop.create_task(pair.dial(self.target))
        self.dialing.add(task)
        task.add_done_callback(self.dialing.discard)
        return pair.near

    async def listen(self) -> None:
        if self.server is None:
            self.server = await self.loop.create_server(self.accept, sock=bound(self.port))

    def drop(self) -> None:
        for pair in list(self.pairs.values()):
            pair.abort()
        self.pairs.clear()

    async def obey(self, order: dict[str, Any]) -> Any:
        match order["do"]:
            case "delay":
                for way, seconds in order["ways"].items():
                    self.rules[way].delay = seconds
                self.release()
            case "stall":
                for rules in self.chosen(order):
                    rules.stalled = order["on"]
                self.release()
            case "cut":
                if self.server is not None:
                    self.server.close()
                    self.server = None
                self.drop()
            case "restore":
                await self.listen()
            case "drop":
                self.drop()
            case "connections":
                return [pair.facts() for pair in self.pairs.values()]
        return self.port

    def chosen(self, order: dict[str, Any]) -> list[Rules] | list[Line]:
        """The rules of all connections, or the lines of one, if it is still there."""
        number = order["connection"]
        if number is None:
            return [self.rules[way] for way in order["ways"]]
        return [getattr(self.pairs[number], way) for way in order["ways"]] if number in self.pairs else []

    def release(self) -> None:
        for pair in self.pairs.values():
            for line in (pair.up, pair.down):
                line.release()


def bound(port: int) -> socket.socket:
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", port))
    return place


async def main(target: int) -> None:
    loop = asyncio.get_running_loop()
    owner = Owner(loop, target)
    await owner.listen()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print(json.dumps(owner.port), flush=True)
    while line := await orders.readline():
        print(json.dumps(await owner.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(main(int(sys.argv[1])))
