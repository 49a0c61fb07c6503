"""Bytes go straight to the socket, and never overtake those that wait in the transport."""

from __future__ import annotations

import pytest

from rproxy.dataplane.outlet import Outlet
from tests.dataplane.kit import FakeTransport, World


class Socket:
    """Takes `room` bytes in all; `broken` raises what a lost connection does."""

    def __init__(self, room: int, broken: bool = False) -> None:
        self.room = room
        self.broken = broken
        self.taken = b""

    def send(self, descriptor: int, data: bytes) -> int:
        assert descriptor == 5
        if self.broken:
            raise ConnectionResetError
        if not self.room:
            raise BlockingIOError
        piece = data[: self.room]
        self.taken += piece
        self.room -= len(piece)
        return len(piece)


def outlet(socket: Socket) -> tuple[Outlet, FakeTransport]:
    transport = FakeTransport(World(), None)
    return Outlet(transport, 5, socket.send), transport


def test_what_the_socket_takes_never_sees_the_transport() -> None:
    socket = Socket(100)
    way, transport = outlet(socket)
    way.write(b"one")
    way.write(b"two")
    assert (socket.taken, bytes(transport.written)) == (b"onetwo", b"")


@pytest.mark.parametrize("room", range(7))
def test_what_the_socket_does_not_take_goes_through_the_transport_in_order(room: int) -> None:
    socket = Socket(room)
    way, transport = outlet(socket)
    way.write(b"abc")
    transport.buffered = max(0, 3 - room)
    way.write(b"def")
    assert socket.taken + bytes(transport.written) == b"abcdef"


def test_while_the_transport_holds_bytes_all_others_wait_behind_them() -> None:
    socket = Socket(1)
    way, transport = outlet(socket)
    way.write(b"abc")
    transport.buffered = 2
    socket.room = 100
    way.write(b"d")
    assert (socket.taken, bytes(transport.written)) == (b"a", b"bcd")
    transport.buffered = 0
    way.write(b"e")
    assert socket.taken == b"ae"


def test_many_pieces_go_through_the_transport_and_later_ones_behind_them() -> None:
    socket = Socket(100)
    way, transport = outlet(socket)
    way.writelines([b"a", b"b"])
    transport.buffered = 2
    way.write(b"c")
    assert (socket.taken, bytes(transport.written)) == (b"", b"abc")


def test_a_broken_socket_is_left_to_the_transport() -> None:
    way, transport = outlet(Socket(0, broken=True))
    way.write(b"abc")
    assert bytes(transport.written) == b"abc"


def test_without_a_descriptor_all_goes_through_the_transport() -> None:
    transport = FakeTransport(World(), None)
    Outlet(transport, -1, Socket(9).send).write(b"abc")
    assert bytes(transport.written) == b"abc"
