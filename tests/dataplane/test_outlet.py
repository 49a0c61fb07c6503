"""Bytes go straight to the socket, and never overtake those that wait in the transport."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rproxy.dataplane.outlet import Outlet
from tests.dataplane.kit import FakeTransport, World

MORE_THAN_FITS = 4 * 1024 * 1024


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


def outlet(near: socket.socket) -> tuple[Outlet, FakeTransport]:
    transport = FakeTransport(World(), None)
    return Outlet(transport, near.fileno()), transport


def arrived(far: socket.socket) -> bytes:
    """What has come by now."""
    pieces = []
    try:
        while piece := far.recv(1 << 20):
            pieces.append(piece)
    except BlockingIOError:
        pass
    return b"".join(pieces)


def test_what_the_socket_takes_never_sees_the_transport(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    way, transport = outlet(near)
    way.write(b"one")
    way.write(b"two")
    assert (arrived(far), bytes(transport.written)) == (b"onetwo", b"")


def test_what_the_socket_does_not_take_goes_through_the_transport_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    way, transport = outlet(near)
    data = bytes(range(256)) * (MORE_THAN_FITS // 256)
    way.write(data)
    assert 0 < len(transport.written) < len(data)
    transport.buffered = len(transport.written)
    way.write(b"def")
    assert arrived(far) + bytes(transport.written) == data + b"def"


def test_while_the_transport_holds_bytes_all_others_wait_behind_them(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    way, transport = outlet(near)
    way.write(bytes(MORE_THAN_FITS))
    transport.buffered = 2
    first = len(arrived(far))
    way.write(b"d")
    assert arrived(far) == b"" and first + len(transport.written) == MORE_THAN_FITS + 1
    transport.buffered = 0
    way.write(b"e")
    assert arrived(far) == b"e"


def test_a_full_socket_takes_nothing_and_loses_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    with pytest.raises(BlockingIOError):
        while True:
            near.send(bytes(4096))
    way, transport = outlet(near)
    way.write(b"abc")
    assert bytes(transport.written) == b"abc"
    assert not arrived(far).strip(b"\0")


def test_many_pieces_go_through_the_transport_and_later_ones_behind_them(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    way, transport = outlet(near)
    way.writelines([b"a", b"b"])
    transport.buffered = 2
    way.write(b"c")
    assert (arrived(far), bytes(transport.written)) == (b"", b"abc")


def test_a_broken_socket_is_left_to_the_transport(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    far.close()
    way, transport = outlet(near)
    way.write(b"abc")
    assert bytes(transport.written) == b"abc"


def test_without_a_socket_of_its_own_all_goes_through_the_transport() -> None:
    transport = FakeTransport(World(), None)
    Outlet(transport, -1).write(b"abc")
    assert bytes(transport.written) == b"abc"
