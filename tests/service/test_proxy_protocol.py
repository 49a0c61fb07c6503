"""The PROXY protocol: what the headers say, and what is no header."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from rproxy.service.proxy_protocol import LONGEST_LINE, MOST, SIGNATURE, Announced, BadHeader, is_trusted, read_header

FOUR = Announced(("10.1.2.3", 5555), ("192.0.2.4", 6379))
SIX = Announced(("2001:db8::1", 5555), ("2001:db8::2", 65535))
LINE_4 = b"PROXY TCP4 10.1.2.3 192.0.2.4 5555 6379\r\n"
LINE_6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 5555 65535\r\n"
PING = b"*1\r\n$4\r\nPING\r\n"


def binary(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def addresses(announced: Announced, family: int) -> bytes:
    (source, there), (destination, here) = announced
    return socket.inet_pton(family, source) + socket.inet_pton(family, destination) + struct.pack("!HH", there, here)


BINARY_4 = binary(0x21, 0x11, addresses(FOUR, socket.AF_INET))
BINARY_6 = binary(0x21, 0x21, addresses(SIX, socket.AF_INET6) + b"\x04\x00\x02xy")  # with a TLV behind
LOCAL = binary(0x20, 0x00, b"")


async def read(pieces: list[bytes]) -> tuple[Announced | None, bytes]:
    """What a header says that comes in these pieces, and what of them is left for the client."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        reading = asyncio.create_task(read_header(ours))
        for piece in pieces:
            await asyncio.get_running_loop().sock_sendall(theirs, piece)
            await asyncio.sleep(0)
        theirs.shutdown(socket.SHUT_WR)
        announced = await asyncio.wait_for(reading, 10)
        left = b""
        while piece := await asyncio.get_running_loop().sock_recv(ours, 100):
            left += piece
        return announced, left


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a scenario on each of the event loops."""
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("header", "announced"),
    [
        (LINE_4, FOUR), (LINE_6, SIX), (BINARY_4, FOUR), (BINARY_6, SIX),
        (b"PROXY UNKNOWN\r\n", None), (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (LOCAL, None), (binary(0x20, 0x11, addresses(FOUR, socket.AF_INET)), None),
        (binary(0x21, 0x31, b"x" * 216), None), (binary(0x21, 0x12, addresses(FOUR, socket.AF_INET)), None),
    ],
    ids=["1, IPv4", "1, IPv6", "2, IPv4", "2, IPv6", "1, unknown", "1, unknown with more", "2, local", "2, local with addresses", "2, unix", "2, UDP"],
)  # fmt: skip
def test_a_header_says_whose_client_it_is_and_takes_nothing_of_what_follows(
    run: Callable[..., Any], header: bytes, announced: Announced | None
) -> None:
    assert run(read([header + PING])) == (announced, PING)


@given(st.sampled_from([LINE_4, LINE_6, BINARY_4, BINARY_6, LOCAL]), st.lists(st.integers(0, 80), max_size=6))
def test_it_is_the_same_however_it_is_cut(header: bytes, cuts: list[int]) -> None:
    data = header + PING
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:stop] for start, stop in zip(places, places[1:], strict=False)]
    assert asyncio.run(read(pieces)) == asyncio.run(read([data]))


@pytest.mark.parametrize(
    "header",
    [
        PING + PING, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY ", b"", BINARY_4[:-1], LINE_4[:-1],
        b"PROXY TCP4 10.1.2.3 192.0.2.4 5555\r\n", b"PROXY TCP4 10.1.2.3 192.0.2.4 5555 6379 1\r\n",
        b"PROXY TCP4  10.1.2.3 192.0.2.4 5555 6379\r\n", b"PROXY TCP5 10.1.2.3 192.0.2.4 5555 6379\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", b"PROXY TCP4 10.1.2.3 192.0.2.4 5555 65536\r\n",
        b"PROXY TCP4 10.1.2.3 192.0.2.4 -5 6379\r\n", b"PROXY TCP4 10.1.2 192.0.2.4 5 6379\r\n",
        b"PROXY " + b"x" * LONGEST_LINE + b"\r\n",
        binary(0x21, 0x11, addresses(FOUR, socket.AF_INET)[:-1]), binary(0x22, 0x11, addresses(FOUR, socket.AF_INET)),
        binary(0x31, 0x11, addresses(FOUR, socket.AF_INET)), binary(0x21, 0x11, b"x" * (MOST + 1)),
    ],
)  # fmt: skip
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(BadHeader, match="PROXY protocol"):
        asyncio.run(read([header]))


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_else(data: bytes) -> None:
    for head in (b"", b"PROXY ", SIGNATURE):
        try:
            asyncio.run(read([head + data]))
        except BadHeader:
            pass


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("10.2.3.4", True),
        ("::ffff:10.2.3.4", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fe80::1%eth0", True),
        ("::1", False),
    ],
)
def test_addresses_are_trusted_by_network(host: str, trusted: bool) -> None:
    assert is_trusted(host, ("10.0.0.0/8", "192.0.2.7", "fe80::/10")) is trusted
