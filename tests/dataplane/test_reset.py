"""RESET of a client for which a server keeps something: the server ends it first, and what comes meanwhile still counts."""

from __future__ import annotations

from rproxy.dataplane.states import State
from tests.dataplane.kit import End, World, command


def subscribed() -> tuple[World, End, End]:
    """A client that is subscribed in RESP2, and its lease."""
    world = World()
    client = world.client()
    client.send(command("SUBSCRIBE", "c"))
    lease = world.open(0)
    lease.send(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    client.take()
    return world, client, lease


def test_a_message_that_comes_before_the_answer_to_reset_is_still_for_the_client() -> None:
    _, client, lease = subscribed()
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
    client.send(command("RESET"))
    lease.send(message + b"+RESET\r\n")
    assert client.take() == message + b"+RESET\r\n"


def test_reset_is_answered_also_where_the_server_goes_meanwhile() -> None:
    world, client, lease = subscribed()
    client.send(command("RESET"))
    lease.lose()
    assert (client.take(), client.open, client.protocol.state) == (b"+RESET\r\n", True, State.SHARED)
    assert world.suspects == [world.servers[0]]


def test_a_client_that_goes_before_its_reset_is_answered_takes_the_lease_with_it() -> None:
    _, client, lease = subscribed()
    client.send(command("RESET"))
    client.lose()
    assert not lease.open


def test_it_waits_for_what_is_under_way_without_an_answer_for_the_client() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "OFF") + command("SET", "k", "v"))
    client.send(command("RESET"))
    lease = world.open(0)
    lease.take()
    lease.send(b"+OK\r\n")
    assert lease.take() == command("RESET")
    lease.send(b"+RESET\r\n")
    assert client.take() == b"+RESET\r\n"
