"""What the kernel knows of a client's connection.

Handed to the data plane as a port, and called for CLIENT LIST and its kin alone: nothing is kept for it as long as nobody asks.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from rproxy.dataplane.clients import UNKNOWN_PEER, Peer
from rproxy.dataplane.ports import Transport

_LAST_DATA_RECEIVED = 52  # tcpi_last_data_recv in struct tcp_info (linux/tcp.h): eight bytes, then the twelfth of 32 bits each


_CREDENTIALS = struct.Struct("iII")  # struct ucred of unix(7): process, user, group


def user_of(connection: socket.socket) -> int | None:
    """The user whose process is at the other end of a unix socket; of one that listens, who made it listen. None where the kernel does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    user: int = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
    return user


def peer(transport: Transport) -> Peer:
    """Where the client at the other end of a transport is."""
    known = cast(asyncio.Transport, transport)
    connection = known.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return UNKNOWN_PEER
    if connection.family == socket.AF_UNIX:
        path = str(known.get_extra_info("sockname") or "").encode()
        return Peer(path + b":0", path + b":0", connection.fileno(), 0.0)
    there, here = known.get_extra_info("peername"), known.get_extra_info("sockname")
    if not there or not here:
        return UNKNOWN_PEER  # it has vanished, and nobody has been told yet
    return Peer(address_of(there), address_of(here), connection.fileno(), _idle(connection))


def address_of(address: tuple[str, int]) -> bytes:
    """A host and a port as CLIENT LIST writes them."""
    host, port = address[:2]
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()


def _idle(connection: socket.socket) -> float:
    """Seconds since the last byte came; 0 where the kernel does not tell."""
    if not hasattr(socket, "TCP_INFO"):
        return 0.0
    facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED + 4)
    if len(facts) < _LAST_DATA_RECEIVED + 4:
        return 0.0
    milliseconds: int = struct.unpack_from("=I", facts, _LAST_DATA_RECEIVED)[0]
    return milliseconds / 1000
