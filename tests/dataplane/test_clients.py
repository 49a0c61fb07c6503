"""The directory of sessions."""

from __future__ import annotations

from dataclasses import replace

from rproxy import errors
from rproxy.dataplane.clients import Clients, Peer, peer_of
from rproxy.dataplane.session import Session
from rproxy.dataplane.tallies import REFUSED_ADDRESS, REFUSED_USER, Tallies, size
from tests.dataplane.kit import End, World


def test_ids_are_given_once_and_never_again() -> None:
    world = World()
    world.client().lose()
    assert world.client().protocol.id == 2


def test_no_more_are_admitted_than_there_may_be() -> None:
    session = World().client().protocol
    clients = Clients(1, Tallies())
    assert (clients.admit(session), clients.admit(session)) == (1, 0)
    clients.leave(1)
    assert clients.admit(session) == 2
    assert (clients.accepted, clients.refused, len(clients)) == (2, 1, 1)


def test_the_log_says_of_refused_clients_how_many_they_are_in_a_second() -> None:
    world = World(clients=1)
    for _ in range(4):
        world.client()
    assert world.notices == ["a client is refused: there are as many as limits.clients allows, 1"]
    world.wait(1.1)
    assert world.notices[1:] == ["2 more clients were refused within a second: limits.clients"]
    world.wait(1.1)
    assert len(world.notices) == 2


def test_sessions_may_leave_while_they_are_listed() -> None:
    clients = Clients(2, Tallies())
    for session in (World().client().protocol, World().client().protocol):
        clients.admit(session)
    for number, _ in enumerate(clients, 1):
        clients.leave(number)
    assert len(clients) == 0


def test_clients_of_other_workers_count() -> None:
    memory = bytearray(size(2))
    session = World().client().protocol
    here, there = (Clients(2, Tallies(memory, worker, 2)) for worker in range(2))
    admitted = [here.admit(session), there.admit(session), here.admit(session)]
    assert admitted[2] == 0 and len(set(admitted)) == 3
    there.leave(admitted[1])
    assert here.admit(session)


def from_address(world: World, host: bytes) -> End:
    """A client of this address connects."""
    world.plane.ports = replace(world.plane.ports, peer=lambda transport: Peer(host + b":5000", b"1.1.1.1:6379", 9, 0.0))
    return world.client()


def test_of_one_address_no_more_may_be_connected_than_the_setting_says() -> None:
    world = World(clients_per_address=2)
    first, second = (from_address(world, b"1.2.3.4") for _ in range(2))
    third = from_address(world, b"1.2.3.4")
    assert (third.take(), third.open) == (errors.TOO_MANY_CLIENTS, False)
    assert from_address(world, b"1.2.3.5").open
    first.lose()
    assert from_address(world, b"1.2.3.4").open and second.open
    assert world.plane.tallies.total(REFUSED_ADDRESS) == 1


def test_clients_behind_a_load_balancer_are_counted_by_their_own_addresses() -> None:
    world = World(clients_per_address=1)
    world.plane.ports = replace(world.plane.ports, peer=lambda transport: Peer(b"10.0.0.1:5000", b"10.0.0.2:6379", 9, 0.0))

    def announced(address: bytes) -> End:
        session = Session(world.plane)
        session.profile.announce(address, b"192.0.2.1:6379")
        return End(world, session)

    first = announced(b"1.2.3.4:1")
    assert [end.open for end in (first, announced(b"1.2.3.4:2"), announced(b"[2001:db8::1]:1"))] == [True, False, True]
    assert peer_of(first.protocol) == Peer(b"1.2.3.4:1", b"192.0.2.1:6379", 9, 0.0)


def test_clients_on_a_unix_socket_have_no_address_to_be_counted_by() -> None:
    world = World(clients_per_address=1)
    assert all(from_address(world, b"/run/rproxy.sock").open for _ in range(3))


def test_each_worker_has_its_share_of_an_address_rounded_up() -> None:
    world = World(clients_per_address=3, workers=2)
    assert [from_address(world, b"1.2.3.4").open for _ in range(3)] == [True, True, False]


def test_no_more_clients_become_one_user_than_the_setting_says() -> None:
    world = World(clients_per_user=1)
    first, second = world.client().protocol, world.client().protocol
    first.key = world.plane.keys.logged_in(first.key, b"bob", b"pw", 2)
    assert world.plane.clients.admits_user(first, b"bob")
    assert not world.plane.clients.admits_user(second, b"bob")
    assert world.plane.clients.admits_user(second, b"alice")
    assert world.plane.tallies.total(REFUSED_USER) == 1
