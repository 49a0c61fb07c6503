"""Sockets are read past their transports, which have the rest: what ends, what breaks, what is not plain bytes."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from rproxy.dataplane.inlets import Inlets
from rproxy.dataplane.session import Session
from rproxy.dataplane.states import PAUSED
from tests.dataplane.kit import HELLO, End, FakeTransport, World, command

GET, SET = command("GET", "k"), command("SET", "k", "v")


class Loop:
    """What watches the plane's own descriptor: `look` is a loop pass."""

    def __init__(self) -> None:
        self.ready: Callable[[], None] | None = None

    def watch(self, descriptor: int, ready: Callable[[], None]) -> Callable[[], None]:
        os.fstat(descriptor)
        self.ready = ready
        return self._unwatch

    def _unwatch(self) -> None:
        self.ready = None

    def look(self) -> None:
        assert self.ready is not None
        self.ready()


class Client:
    """A client on a real socket: what it sends is read by the inlets, what is written to it goes to its transport's socket."""

    def __init__(self, world: Wired) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.session = Session(world.plane)
        self.transport = FakeTransport(world, self.session)
        world.sockets[self.transport] = self.near.fileno()
        self.session.connection_made(self.transport)
        world.turn()

    def close(self) -> None:
        self.near.close()
        self.far.close()

    def arrived(self) -> bytes:
        try:
            return self.far.recv(1 << 20)
        except BlockingIOError:
            return b""


class Wired(World):
    """A world whose clients have real sockets."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.sockets: dict[FakeTransport, int] = {}
        self.clients: list[Client | Odd | Lane] = []
        outside = {"watch": self.loop.watch, "descriptor": lambda transport: self.sockets.get(transport, -1)}
        super().__init__(replicas=1, consistency="eventual", session_output=300_000, outside=outside)

    def connect(self) -> Client:
        client = Client(self)
        self.clients.append(client)
        return client


@pytest.fixture
def world() -> Iterator[Wired]:
    world = Wired()
    yield world
    world.plane.close()
    for client in world.clients:
        client.close()


def test_what_has_come_is_taken_and_answered_in_one_pass(world: Wired) -> None:
    clients = [world.connect() for _ in range(3)]
    for client in clients:
        client.far.send(GET)
    world.loop.look()
    replica = world.open(1)
    assert replica.take() == GET * 3
    replica.send(b"$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n")
    assert sorted(client.arrived() for client in clients) == [b"$1\r\n1\r\n", b"$1\r\n2\r\n", b"$1\r\n3\r\n"]


def test_more_sockets_than_are_read_at_once_have_their_turn(world: Wired) -> None:
    clients = [world.connect() for _ in range(300)]
    for client in clients:
        client.far.send(GET)
    world.loop.look()
    world.loop.look()
    assert world.open(1).take() == GET * 300


def test_its_transport_does_not_read_meanwhile(world: Wired) -> None:
    assert not world.connect().transport.reading


def test_what_has_ended_is_left_to_its_transport(world: Wired) -> None:
    client = world.connect()
    client.far.send(GET)
    client.far.shutdown(socket.SHUT_WR)
    world.loop.look()
    assert not client.transport.reading
    world.loop.look()
    assert client.transport.reading
    world.loop.look()
    assert world.open(1).take() == GET


def test_what_is_broken_is_left_to_its_transport(world: Wired) -> None:
    client = world.connect()
    client.session.transport.write(b"x" * 100)  # type: ignore[union-attr]
    client.far.close()  # with something unread: a reset
    world.loop.look()
    assert client.transport.reading


class Lane:
    """The leader's end of the connection that is being dialled to it, on a real socket."""

    def __init__(self, world: Wired) -> None:
        ((_, self.upstream),) = world.dialled
        world.dialled.clear()
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.transport = FakeTransport(world, self.upstream)
        world.sockets[self.transport] = self.near.fileno()
        world.clients.append(self)
        self.upstream.connection_made(self.transport)
        world.turn()
        self.answer(b"".join(HELLO if b"HELLO" in part else b"+OK\r\n" for part in self.far.recv(4096).split(b"*")[1:]))
        world.loop.look()

    def answer(self, reply: bytes) -> None:
        self.far.send(reply)

    def close(self) -> None:
        self.near.close()
        self.far.close()


def test_a_write_that_comes_together_with_the_end_of_the_leader_is_not_sent_to_it(world: Wired) -> None:
    client = world.connect()
    client.far.send(SET)
    world.loop.look()
    lane = Lane(world)
    assert lane.far.recv(4096) == SET
    lane.answer(b"+OK\r\n")
    world.loop.look()
    assert client.arrived() == b"+OK\r\n"
    client.far.send(SET)
    lane.far.close()
    world.loop.look()
    assert lane.transport.reading and not lane.transport.written
    lane.upstream.connection_lost(None)
    world.turn()
    assert world.open(0).take() == SET


def test_the_owner_of_a_lease_hears_of_its_end_before_it_can_send_elsewhere(world: Wired) -> None:
    client = world.connect()
    client.far.send(command("MULTI"))
    world.loop.look()
    lease = Lane(world)
    assert lease.far.recv(4096) == command("MULTI")
    lease.answer(b"+OK\r\n")
    world.loop.look()
    client.far.send(SET)
    lease.far.close()
    world.loop.look()
    lease.upstream.connection_lost(None)
    world.turn()
    client.far.send(command("EXEC"))
    world.loop.look()
    assert not world.dialled
    ok, *refused = client.arrived().split(b"\r\n")[:-1]
    assert ok == b"+OK" and [word[:1] for word in refused] == [b"-", b"-"]


def test_a_paused_socket_is_read_by_nobody_until_it_goes_on(world: Wired) -> None:
    client = world.connect()
    outlet = client.session.transport
    assert outlet is not None
    outlet.pause_reading()
    client.far.send(GET)
    world.loop.look()
    assert not world.dialled and not client.transport.reading
    outlet.resume_reading()
    world.loop.look()
    assert world.open(1).take() == GET


class Odd:
    """A protocol that does what the test says with what is read."""

    def __init__(self, world: Wired, then: Callable[[], object]) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.then = then
        self.seen = b""
        self.transport = FakeTransport(world, self)
        world.sockets[self.transport] = self.near.fileno()
        world.clients.append(self)
        self.outlet = world.plane.outlet(self.transport, self)
        world.turn()

    def data_received(self, data: bytes) -> None:
        self.seen += data
        self.then()

    def connection_lost(self, exc: Exception | None) -> None:
        pass

    def close(self) -> None:
        self.near.close()
        self.far.close()


def test_what_another_has_closed_in_the_same_pass_is_not_read(world: Wired) -> None:
    first = Odd(world, lambda: second.outlet.abort())
    second = Odd(world, lambda: first.outlet.abort())
    for odd in (first, second):
        odd.far.send(b"x")
    world.loop.look()
    assert sorted((first.seen, second.seen)) == [b"", b"x"]


def test_what_was_read_before_another_paused_it_is_not_lost(world: Wired) -> None:
    first = Odd(world, lambda: second.outlet.pause_reading())
    second = Odd(world, lambda: first.outlet.pause_reading())
    for odd in (first, second):
        odd.far.send(b"x")
    world.loop.look()
    assert (first.seen, second.seen) == (b"x", b"x")


def test_what_others_ask_while_some_are_answered_travels_with_what_those_asked(world: Wired) -> None:
    """Each further look comes behind the answers of the one before."""
    client = world.connect()
    odds = [Odd(world, lambda: client.far.send(GET)) for _ in range(2)]
    for odd in odds:
        odd.far.send(b"x")
    world.loop.look()
    assert world.open(1).take() == GET + GET


def test_clients_are_answered_before_there_is_another_look(world: Wired) -> None:
    def reply() -> None:
        client.session.emit(b"+first\r\n")
        second.far.send(b"x")

    answers: list[bytes] = []
    client = world.connect()
    first = Odd(world, reply)
    second = Odd(world, lambda: answers.append(client.arrived()))
    beside = Odd(world, lambda: None)
    first.far.send(b"x")
    beside.far.send(b"x")
    world.loop.look()
    assert answers == [b"+first\r\n"]


def test_a_single_socket_is_worth_no_second_look(world: Wired) -> None:
    odd = Odd(world, lambda: odd.far.send(b"x"))
    odd.far.send(b"x")
    world.loop.look()
    assert odd.seen == b"x"
    world.loop.look()
    assert odd.seen == b"xx"


def test_a_pass_ends_although_more_comes_all_the_time(world: Wired) -> None:
    def again() -> None:
        for odd in odds:
            odd.far.send(b"x")

    odds = [Odd(world, lambda: None), Odd(world, lambda: None)]
    odds[1].then = again
    again()
    world.loop.look()
    assert len(odds[1].seen) == 4


def test_many_sockets_are_enough_for_one_pass(world: Wired) -> None:
    odds = [Odd(world, lambda: None) for _ in range(64)]
    odds[0].then = lambda: odds[0].far.send(b"x")
    for odd in odds:
        odd.far.send(b"x")
    world.loop.look()
    assert odds[0].seen == b"x"


def unread(near: socket.socket) -> int:
    """Bytes that have come and that nobody has read."""
    return int.from_bytes(fcntl.ioctl(near, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_much_is_given_on_before_more_is_read(world: Wired) -> None:
    waiting: list[int] = []
    odds = [Odd(world, lambda: waiting.append(sum(unread(odd.near) for odd in odds))) for _ in range(8)]
    for odd in odds:
        odd.far.send(bytes(100_000))
    world.loop.look()
    assert waiting[0] > 0
    assert [len(odd.seen) for odd in odds] == [100_000] * 8


def test_an_error_in_one_closes_it_alone_and_is_told(world: Wired) -> None:
    def fail() -> None:
        raise ValueError("odd")

    odd, client = Odd(world, fail), world.connect()
    odd.far.send(b"x")
    client.far.send(GET)
    world.loop.look()
    assert not odd.transport.open
    [said] = world.notices
    assert said.startswith("internal error, connection closed: ValueError in fail, line ") and "odd" not in said
    assert world.open(1).take() == GET


def test_a_closed_connection_is_not_read(world: Wired) -> None:
    client = world.connect()
    client.far.send(GET)
    client.session.close()
    world.loop.look()
    assert not world.dialled


def test_one_that_was_closed_before_it_could_be_read_stays_with_its_transport(world: Wired) -> None:
    near, far = socket.socketpair()
    with near, far:
        session = Session(world.plane)
        transport = FakeTransport(world, session)
        world.sockets[transport] = near.fileno()
        session.connection_made(transport)
        session.close()
        world.turn()
        assert transport.reading


def test_without_a_socket_of_its_own_the_transport_reads(world: Wired) -> None:
    end = world.client()
    assert end.transport.reading
    end.send(GET)
    assert world.open(1).take() == GET


def test_after_the_end_nothing_is_read_and_nothing_breaks(world: Wired) -> None:
    client = world.connect()
    outlet = client.session.transport
    assert outlet is not None
    world.plane.close()
    assert world.loop.ready is None
    outlet.pause_reading()
    outlet.resume_reading()
    client.session.close()


def test_where_nothing_watches_all_is_left_to_the_transports() -> None:
    assert not Inlets(World().plane).open


def test_a_fault_at_one_socket_leaves_the_others_to_be_read(world: Wired) -> None:
    """Each is found once only (edge-triggered): what a fault skipped would never be read."""
    faulty, other = world.connect(), world.connect()

    def fail() -> None:
        raise MemoryError

    faulty.transport.resume_reading = fail  # type: ignore[method-assign]
    faulty.far.shutdown(socket.SHUT_WR)
    other.far.send(GET)
    world.loop.look()
    assert not faulty.transport.open and other.transport.open
    assert world.open(1).take() == GET


LARGE_REST = SET * 5000


def blocked(world: Wired, behind: bytes) -> tuple[Client, End]:
    """A client that waits in a BLPOP and has sent so much behind it that it is not read any more, and its lease."""
    client = world.connect()
    client.far.send(command("BLPOP", "l", "0"))
    world.loop.look()
    lease = world.open(0)
    while behind:
        try:
            behind = behind[client.far.send(behind) :]
        except BlockingIOError:
            break
        world.loop.look()
    world.loop.look()
    assert client.session.backlog.size > 64 * 1024
    return client, lease


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_a_blocked_client_that_has_gone_is_noticed_although_it_is_not_read(world: Wired, how: int) -> None:
    client, lease = blocked(world, LARGE_REST * 20)
    client.far.shutdown(how)
    world.loop.look()
    world.turn()
    assert not lease.open and not client.transport.open


def test_a_client_that_goes_before_it_blocks_is_noticed_when_it_does(world: Wired) -> None:
    client = world.connect()
    client.session.halt(PAUSED)
    for _ in range(3):
        client.far.send(command("BLPOP", "l", "0") + LARGE_REST[:50_000])
        world.loop.look()
    client.far.send(GET)
    client.far.shutdown(socket.SHUT_WR)
    world.loop.look()
    world.turn()
    assert client.transport.open
    client.session.release(PAUSED)
    world.turn()
    assert not client.transport.open


def test_what_a_client_sent_before_its_end_is_carried_out_although_it_was_not_read_at_once(world: Wired) -> None:
    client = world.connect()
    client.session.halt(PAUSED)
    count = 0
    while client.session.backlog.size <= 64 * 1024:
        client.far.send(SET * 100)
        count += 100
        world.loop.look()
    client.far.send(SET * 100)
    client.far.shutdown(socket.SHUT_WR)
    world.loop.look()
    client.session.release(PAUSED)
    world.turn()
    leader = world.open(0)
    done = 0
    for _ in range(100):
        done += (asked := leader.take().count(b"SET"))
        leader.send(b"+OK\r\n" * asked)
        world.loop.look()
        world.turn()
    assert done == count + 100


def test_the_end_of_a_client_that_only_its_transport_reads_is_noticed_while_it_is_paused(world: Wired) -> None:
    client = world.connect()
    client.session.connection_lost(None)
    near, far = client.near, client.far
    session = Session(world.plane)
    transport = FakeTransport(world, session)
    world.plane.ports = replace(world.plane.ports, socket=lambda transport: near.fileno())
    session.connection_made(transport)
    world.turn()
    session.data_received(command("BLPOP", "l", "0") + LARGE_REST)
    for _ in range(3):
        session.data_received(LARGE_REST)
    world.turn()
    assert not transport.reading and transport.open
    far.shutdown(socket.SHUT_RDWR)
    world.loop.look()
    world.turn()
    assert not transport.open
