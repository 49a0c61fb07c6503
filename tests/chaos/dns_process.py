"""The process of `tests.chaos.rig.Rig.start_dns`: a DNS server on 127.0.0.1:53, in a network of its own.

It takes a mode a line: `ok`, `slow MS`, `hole` (says nothing), `servfail`, `nx`; it answers each line with one. Every name is 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from typing import cast

CODES = {"servfail": 2, "nx": 3}
TYPE_A = 1


class Resolver(asyncio.DatagramProtocol):
    """Answers questions as its mode says."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.delay = 0.0
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is no subclass of it

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if self.mode != "hole":
            asyncio.get_running_loop().call_later(
                self.delay, self.transport.sendto, answer(data, CODES.get(self.mode, 0)), address
            )


def answer(question: bytes, code: int) -> bytes:
    """The answer to a question: the address for A, nothing for another type, or an error."""
    at = 12
    while question[at]:
        at += question[at] + 1
    (kind,) = struct.unpack(">H", question[at + 1 : at + 3])
    found = kind == TYPE_A and not code
    head = struct.pack(">HHHHHH", struct.unpack(">H", question[:2])[0], 0x8180 | code, 1, int(found), 0, 0)
    address = b"\xc0\x0c" + struct.pack(">HHIH", TYPE_A, 1, 0, 4) + bytes([127, 0, 0, 1])
    return head + question[12 : at + 5] + (address if found else b"")


async def main() -> None:
    loop = asyncio.get_running_loop()
    _, resolver = await loop.create_datagram_endpoint(Resolver, ("127.0.0.1", 53))
    print("ready", flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        words = line.decode().split()
        resolver.mode, resolver.delay = words[0], float(words[1]) / 1000 if len(words) > 1 else 0.0
        print("done", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(main())
