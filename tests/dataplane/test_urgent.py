"""What must not wait behind what it is meant to end."""

from __future__ import annotations

import pytest

from rproxy import errors
from tests.dataplane.kit import World, command

SCRIPT = command("EVAL", "while true do end", "0")


@pytest.mark.parametrize("words", [("SCRIPT", "KILL"), ("FUNCTION", "KILL"), ("FUNCTION", "STATS")])
def test_it_goes_to_the_leader_on_another_connection_in_no_database(words: tuple[str, ...]) -> None:
    world = World()
    busy, other = world.client(), world.client()
    for client in (busy, other):
        client.send(command("SELECT", "9"))
    world.open(0)
    busy.send(SCRIPT)
    world.open(0)
    other.take()
    other.send(command(*words))
    urgent = world.accept(0)
    assert urgent.take() == command("HELLO", "2")
    urgent.send(b"%1\r\n$2\r\nid\r\n:7\r\n")
    assert urgent.take() == command(*words)
    urgent.send(b"+OK\r\n")
    assert other.take() == b"+OK\r\n"


def test_the_connection_is_kept_and_is_the_users_own() -> None:
    world = World()
    client = world.client()
    client.send(command("SCRIPT", "KILL"))
    urgent = world.open(0)
    urgent.send(b"-NOTBUSY no\r\n")
    client.send(command("SCRIPT", "KILL"))
    urgent.send(b"-NOTBUSY no\r\n")
    assert client.take() == b"-NOTBUSY no\r\n" * 2
    assert not world.dialled


def test_an_answer_that_is_lost_is_said_to_be() -> None:
    world = World()
    client = world.client()
    client.send(command("SCRIPT", "KILL"))
    world.open(0).lose()
    assert client.take() == errors.LEADER_LOST


def test_an_answer_to_a_client_that_has_gone_is_dropped() -> None:
    world = World()
    client = world.client()
    client.send(command("SCRIPT", "KILL"))
    urgent = world.open(0)
    client.lose()
    urgent.send(b"+OK\r\n")
    assert urgent.open
