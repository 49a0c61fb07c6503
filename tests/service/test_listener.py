"""Binding, and giving the port and the path back."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path

import pytest

from rproxy.service.listener import Listeners, bind, listen, release
from tests.dataplane.kit import World


def test_port_0_takes_a_free_one_and_clients_become_sessions() -> None:
    async def scenario() -> None:
        listeners = Listeners()
        plane = World().plane
        listeners.bind(("tcp://127.0.0.1:0",))
        listeners.serve(plane)
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
    path = tmp_path / "a socket"
    listeners = Listeners()
    listeners.bind((f"unix://{tmp_path}/a%20socket",))
    assert path.is_socket()
    listeners.close()
    assert not path.exists()


def test_a_socket_that_an_ended_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    listeners = Listeners()
    listeners.bind((f"unix://{path}",))
    listeners.close()


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
    with pytest.raises(OSError):
        Listeners().bind((f"unix://{path}",))
    assert path.read_text() == "precious"


def test_when_one_listener_cannot_be_had_none_stays_bound(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = tmp_path / "s"
        with pytest.raises(OSError):
            Listeners().bind((f"unix://{path}", f"tcp://127.0.0.1:{taken.getsockname()[1]}"))
        assert not path.exists()


def test_nobody_can_connect_before_it_serves() -> None:
    async def scenario() -> None:
        listeners = Listeners()
        listeners.bind(("tcp://127.0.0.1:0",))
        place = listeners.sockets[0].getsockname()
        with socket.socket() as client:
            assert client.connect_ex(place) == errno.ECONNREFUSED
        listeners.serve(World().plane)
        with socket.socket() as client:
            assert client.connect_ex(place) == 0
        listeners.close()

    asyncio.run(scenario())


def test_an_address_that_another_process_has_taken_meanwhile_is_an_error_when_it_is_to_listen() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        bound = bind((f"tcp://127.0.0.1:{other.getsockname()[1]}",), listens=False)
        other.listen()
        with pytest.raises(OSError, match="in use"):
            listen(bound)
        release(bound)
