"""Unordered reads of one key stay on one server for a while, for each server has an order of its own."""

from __future__ import annotations

import pytest

from rproxy.dataplane.affinity import CLOSE, KEPT, MOST_KEYS
from tests.dataplane.kit import World, command

HKEYS, HVALS = command("HKEYS", "h"), command("HVALS", "h")


def test_two_unordered_reads_of_a_key_go_to_one_server_however_the_dice_fall() -> None:
    world = World()
    client = world.client()
    client.send(HKEYS)
    replica = world.open(1)
    world.dice = 0.9
    client.send(HVALS)
    assert replica.take() == HKEYS + HVALS
    client.send(command("hgetall", "h"))
    assert replica.take() == command("hgetall", "h")


def test_an_ordered_read_of_the_key_goes_wherever_the_dice_fall() -> None:
    world = World()
    client = world.client()
    client.send(HKEYS)
    world.open(1)
    world.dice = 0.9
    client.send(command("HGET", "h", "f"))
    assert world.open(2).take() == command("HGET", "h", "f")


def test_after_a_while_the_dice_fall_anew() -> None:
    world = World()
    client = world.client()
    client.send(HKEYS)
    world.open(1)
    world.dice = 0.9
    world.now += KEPT
    client.send(HVALS)
    assert world.open(2).take() == HVALS


def test_where_the_replica_is_not_fresh_any_more_the_leader_answers_and_goes_on_to() -> None:
    world = World(consistency="fresh")
    world.prove()
    client, writer = world.client(), world.client()
    client.send(HKEYS)
    world.open(1).send(b"*0\r\n")
    writer.send(command("HSET", "h", "f", "v"))
    leader = world.open(0)
    leader.send(b":1\r\n")
    leader.take()
    client.send(HKEYS)
    assert leader.take() == HKEYS
    leader.send(b"*0\r\n")
    world.prove()
    client.send(HVALS)
    assert leader.take() == HVALS


@pytest.mark.parametrize("pause", [CLOSE, KEPT])
def test_the_leader_is_relieved_when_reads_do_not_follow_each_other_closely(pause: float) -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(HKEYS)
    world.open(0).send(b"*0\r\n")
    world.prove()
    world.now += pause
    client.send(HVALS)
    assert world.open(1).take() == HVALS


def test_what_is_remembered_of_a_session_is_bounded() -> None:
    world = World()
    client = world.client()
    for number in range(MOST_KEYS + 10):
        client.send(command("SMEMBERS", f"s{number}"))
    assert len(client.protocol.affinity._servers) == MOST_KEYS
