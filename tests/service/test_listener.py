"""Binding, and giving the port and the path back."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from rproxy.service.listener import Listeners, bind
from tests.dataplane.kit import World


def test_port_0_takes_a_free_one_and_clients_become_sessions() -> None:
    async def scenario() -> None:
        listeners = Listeners()
        plane = World().plane
        await listeners.open(("tcp://127.0.0.1:0",), plane)
        (address,) = listeners.addresses
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(b"CLIENT ID\r\n")
        while not len(plane.clients):
            await asyncio.sleep(0)
        assert address.startswith("tcp://127.0.0.1:") and not address.endswith(":0")
        writer.close()
        await writer.wait_closed()
        while len(plane.clients):
            for session in plane.clients:
                session.close()
            await asyncio.sleep(0)
        listeners.close()

    asyncio.run(scenario())


def test_a_unix_socket_is_made_and_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "a socket"
        listeners = Listeners()
        await listeners.open((f"unix://{tmp_path}/a%20socket",), World().plane)
        assert path.is_socket()
        listeners.close()
        assert not path.exists()

    asyncio.run(scenario())


def test_a_socket_that_an_ended_process_left_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "s"
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(path))
        left.close()
        listeners = Listeners()
        await listeners.open((f"unix://{path}",), World().plane)
        listeners.close()

    asyncio.run(scenario())


def test_a_socket_at_which_somebody_listens_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(OSError, match="in use"):
            bind((f"unix://{path}",))
        assert Path(path).is_socket()


def test_a_file_in_the_way_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")

    async def scenario() -> None:
        await Listeners().open((f"unix://{path}",), World().plane)

    with pytest.raises(OSError):
        asyncio.run(scenario())
    assert path.read_text() == "precious"


def test_when_one_listener_cannot_be_had_none_stays_bound(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            path = tmp_path / "s"
            with pytest.raises(OSError):
                await Listeners().open((f"unix://{path}", f"tcp://127.0.0.1:{taken.getsockname()[1]}"), World().plane)
            assert not path.exists()

    asyncio.run(scenario())
