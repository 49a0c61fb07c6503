"""Connections that are given up before they were connected: nobody who waits for them is forgotten."""

from __future__ import annotations

import pytest

from rproxy.dataplane.freshness import KEYSPACE
from tests.dataplane.kit import World, command

GET, SET = command("GET", "k"), command("SET", "k", "v")
LARGE = command("SET", "k", "x" * 300_000)


def changed(world: World) -> None:
    """The control plane finds that the first replica leads."""
    leader, one, *others = world.servers
    world.follow(leader=one, replicas=(leader, *others), readers=tuple(others), settled=True)


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize(
    "words",
    [["MULTI"], ["WATCH", "k"], ["BLPOP", "k", "0"], ["SUBSCRIBE", "c"], ["AUTH", "secret"], ["AUTH", "u", "p"]],
)
def test_what_waits_for_a_lease_of_a_leader_that_is_gone_goes_to_the_next_one(words: list[str], refused: bool) -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(command(*words))
    if refused:
        world.refuse(0)
    changed(world)
    assert world.open(1).take() == command(*words)
    assert client.take() == b""


def test_a_large_command_for_a_leader_that_is_gone_goes_to_the_next_one() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(LARGE[:280_000])
    changed(world)
    leader = world.open(1)
    client.send(LARGE[280_000:])
    assert leader.take() == LARGE
    leader.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert world.plane.freshness.need(KEYSPACE) < 1 << 63


def test_what_waits_for_a_lease_is_told_within_the_budget_when_nobody_leads() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(command("BLPOP", "k", "0"))
    world.follow(settled=False)
    world.wait(world.plane.options.budget + 0.1)
    assert not client.open
    assert world.plane.freshness.need(KEYSPACE) < 1 << 63


def test_reads_that_wait_for_a_server_that_leaves_are_read_elsewhere() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    leader, one, two = world.servers
    world.follow(replicas=(two,), readers=(two,))
    assert world.open(2).take() == GET


def test_a_select_that_waits_for_a_server_that_leaves_is_answered() -> None:
    world = World()
    world.follow(leader_up=False)
    client = world.client()
    client.send(command("SELECT", "1"))
    leader, one, two = world.servers
    world.follow(replicas=(two,), readers=(two,))
    world.wait(world.plane.options.budget + 0.1)
    assert client.take()


def test_a_server_that_has_left_is_not_dialled_again() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    world.accept(1)
    leader, one, two = world.servers
    world.follow(replicas=(two,), readers=(two,))
    world.wait(1)
    assert {server for server, _ in world.dialled} == {two}
