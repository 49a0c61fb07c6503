"""The directory of sessions."""

from __future__ import annotations

from rproxy.dataplane.clients import Clients
from rproxy.dataplane.tallies import Tallies, size
from tests.dataplane.kit import World


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
