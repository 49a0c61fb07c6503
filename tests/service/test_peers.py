"""What the kernel tells of a client's connection."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import cast

from rproxy.dataplane.clients import UNKNOWN_PEER, Peer
from rproxy.dataplane.ports import Transport
from rproxy.service.peers import peer


async def told(path: Path | None) -> tuple[Peer, Peer, object]:
    """The peer while the connection is open, and after it has closed; and the client's own name for its end."""
    arrived: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set_result(writer)

    if path is None:
        server = await asyncio.start_server(met, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    else:
        server = await asyncio.start_unix_server(met, path)
        _, writer = await asyncio.open_unix_connection(path)
    there = await arrived
    own = writer.get_extra_info("sockname")
    writer.write(b"x")
    known = peer(cast(Transport, there.transport))
    for end in (writer, there):
        end.close()
        await end.wait_closed()
    gone = peer(cast(Transport, there.transport))
    server.close()
    await server.wait_closed()
    return known, gone, own


def test_a_client_over_tcp_has_its_address() -> None:
    known, gone, own = asyncio.run(told(None))
    assert isinstance(own, tuple)
    assert known.address == f"127.0.0.1:{own[1]}".encode()
    assert known.local.startswith(b"127.0.0.1:")
    assert known.descriptor > 0 and 0 <= known.idle < 60
    assert gone == UNKNOWN_PEER


def test_a_client_of_a_unix_socket_has_its_path(tmp_path: Path) -> None:
    known, _, _ = asyncio.run(told(tmp_path / "s"))
    assert known.address == known.local == f"{tmp_path}/s:0".encode()


class Reset:
    """A transport as uvloop has it when the reset of its client has come and nobody has read it: there is a socket, and no address."""

    def __init__(self) -> None:
        self.socket = socket.socket()

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.socket if name == "socket" else None


def test_a_client_that_has_just_vanished_is_unknown() -> None:
    transport = Reset()
    with transport.socket:
        assert peer(cast(Transport, transport)) == UNKNOWN_PEER
