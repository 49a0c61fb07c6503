"""How many connections for single sessions a server is given, and what becomes of those that it can't have."""

from __future__ import annotations

import pytest

from rproxy.dataplane import places
from rproxy.dataplane.barriers import MOMENT
from rproxy.dataplane.tallies import size
from rproxy.errors import TOO_MANY_CLIENTS
from tests.dataplane.kit import World, begun, command

BLPOP = command("BLPOP", "q", "0")
MULTI = command("MULTI")
EXEC = command("EXEC")
TWO = ((0, 8),)
"""A server that takes eight clients has two leases."""


@pytest.mark.parametrize(("maxclients", "leases"), [(10000, 9936), (100, 36), (80, 20), (8, 2), (0, 0)])
def test_64_places_are_kept_for_lanes_or_most_of_the_places_where_there_are_few(maxclients: int, leases: int) -> None:
    assert places.most(maxclients) == leases


def test_who_finds_no_place_is_told_in_the_servers_words_and_goes_on() -> None:
    world = World()
    world.follow(maxclients=TWO)
    clients = [world.client() for _ in range(3)]
    for client in clients:
        client.send(BLPOP)
    world.wait(MOMENT)
    assert len(world.dialled) == 2
    world.wait(0.1)
    assert [client.take() for client in clients] == [b"", b"", TOO_MANY_CLIENTS]
    clients[0].lose()
    clients[2].send(BLPOP)
    world.wait(0.2)
    assert len(world.dialled) == 2 and clients[2].take() == b""


def test_a_transaction_without_a_place_ends_as_one_whose_leader_is_lost() -> None:
    world = World()
    world.follow(maxclients=((0, 4),))
    world.client().send(BLPOP)
    client = world.client()
    client.send(MULTI + command("SET", "k", "v") + EXEC)
    world.wait(0.2)
    replies = client.take().splitlines()
    assert [reply.split()[0] for reply in replies] == [b"-ERR", b"-ERR", b"-EXECABORT"]
    assert replies[0] + b"\r\n" == TOO_MANY_CLIENTS


def test_a_spare_lease_gives_way_to_another_users_or_databases() -> None:
    world = World()
    world.follow(maxclients=((0, 4),))
    client, lease = begun(world, MULTI)
    client.send(EXEC)
    lease.send(b"*0\r\n")
    client.send(command("HELLO", "3"))
    world.open(0)
    client.send(MULTI)
    assert not lease.open
    assert world.open(0).take() == MULTI


def test_without_word_of_the_servers_limit_there_is_none() -> None:
    world = World()
    for _ in range(300):
        world.client().send(BLPOP)
    world.wait(MOMENT)
    assert len(world.dialled) == 300


def test_all_workers_count_together() -> None:
    memory = bytearray(size(2))
    one, other = (World(memory=memory, worker=number, workers=2) for number in range(2))
    for world in (one, other):
        world.follow(maxclients=TWO)
        world.client().send(BLPOP)
    late = one.client()
    late.send(BLPOP)
    one.wait(0.2)
    assert late.take() == TOO_MANY_CLIENTS


def test_what_waits_for_a_leader_is_counted_when_it_is_known() -> None:
    world = World()
    world.follow(maxclients=TWO, settled=False)
    clients = [world.client() for _ in range(3)]
    for client in clients:
        client.send(BLPOP)
    world.follow(settled=True)
    world.wait(0.2)
    assert len(world.dialled) == 2
    assert sorted(client.take() for client in clients) == [b"", b"", TOO_MANY_CLIENTS]


def test_a_server_that_says_itself_that_it_is_full_is_not_suspected() -> None:
    world = World()
    client = world.client()
    client.send(BLPOP)
    server = world.accept(0)
    server.send(TOO_MANY_CLIENTS)
    server.lose()
    assert client.take() == TOO_MANY_CLIENTS
    client.send(command("SET", "k", "v"))
    lane = world.accept(0)
    lane.send(TOO_MANY_CLIENTS)
    lane.lose()
    assert client.take() == TOO_MANY_CLIENTS
    client.send(command("SET", "k", "v"))
    assert world.open(0).take() == command("SET", "k", "v")
    assert not world.suspects
