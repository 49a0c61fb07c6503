"""The PROXY protocol, versions 1 and 2: a load balancer announces the client for which it connects, before the client's first byte.

Called by `acceptor` for listeners with `?proxy=required`. It reads the header and not a byte more, and must never believe one from an address that the
listener does not trust. Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

SHORTEST = len(b"PROXY UNKNOWN\r\n")
"""Bytes of the shortest header of either version."""
LONGEST_LINE = 107
"""Bytes of the longest line of version 1, CR LF included."""
MOST = 4096
"""Bytes behind the first 16 of version 2, addresses and TLVs, above which a header is refused."""
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESSES = {0x11: ("!4s4sHH", socket.AF_INET), 0x21: ("!16s16sHH", socket.AF_INET6)}
"""By address family and protocol, TCP alone: source, destination and their ports."""


class BadHeader(OSError):
    """What came is no header of the PROXY protocol, or comes from an address that may not send one."""


class Announced(NamedTuple):
    """The client for which a load balancer has connected, and where that client connected to: host and port each."""

    source: tuple[str, int]
    destination: tuple[str, int]


def is_trusted(host: str, networks: Sequence[str]) -> bool:
    """Whether a header from this address is believed. IPv4 addresses that a socket for both versions shows as IPv6 are IPv4 addresses."""
    address = ipaddress.ip_address(host.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(network) for network in networks)


async def read_header(connection: socket.socket) -> Announced | None:
    """Who is announced; None where the load balancer says that it connects for itself, as health checks do, or that it does not know. Raises BadHeader."""
    head = await _exactly(connection, SHORTEST)
    if head.startswith(b"PROXY "):
        return _line(await _to_line_end(connection, head))
    if not head.startswith(SIGNATURE):
        raise BadHeader("it does not begin with a header of the PROXY protocol")
    head += await _exactly(connection, 16 - SHORTEST)
    command, family, size = struct.unpack_from("!BBH", head, len(SIGNATURE))
    if command not in (_LOCAL, _PROXY) or size > MOST:
        raise BadHeader("its header of the PROXY protocol is malformed")
    rest = await _exactly(connection, size)
    return _binary(family, rest) if command == _PROXY else None


def _line(line: bytes) -> Announced | None:
    """Version 1: words with one space between them."""
    words = line.decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return None
    try:
        _, family, source, destination, *ports = words
        version = {"TCP4": 4, "TCP6": 6}[family]
        hosts = [ipaddress.ip_address(host) for host in (source, destination)]
        there, here = [_port(port) for port in ports]
    except (ValueError, KeyError):
        raise BadHeader("its header of the PROXY protocol is malformed") from None
    if any(host.version != version for host in hosts):
        raise BadHeader("its header of the PROXY protocol is malformed")
    return Announced((str(hosts[0]), there), (str(hosts[1]), here))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ValueError(text)
    return int(text)


def _binary(family: int, rest: bytes) -> Announced | None:
    """Version 2: addresses of fixed size, then TLVs, which are passed over. Of other families than TCP over IP nothing is known."""
    if family not in _ADDRESSES:
        return None
    layout, kind = _ADDRESSES[family]
    if len(rest) < struct.calcsize(layout):
        raise BadHeader("its header of the PROXY protocol is malformed")
    source, destination, there, here = struct.unpack_from(layout, rest)
    return Announced((socket.inet_ntop(kind, source), there), (socket.inet_ntop(kind, destination), here))


async def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes, and not one more."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        piece = await loop.sock_recv(connection, size - len(data))
        if not piece:
            raise BadHeader("it hung up in its header of the PROXY protocol")
        data += piece
    return data


async def _to_line_end(connection: socket.socket, line: bytes) -> bytes:
    """The line without its end, of which `line` has come. Byte by byte: what is behind it is the client's."""
    while not line.endswith(b"\r\n"):
        if len(line) >= LONGEST_LINE:
            raise BadHeader("its header of the PROXY protocol is malformed")
        line += await _exactly(connection, 1)
    return line[:-2]
