"""Clients that have not logged in share lanes, and a password that is set later keeps new ones out."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.strangers import INTERVAL, may_send
from tests.dataplane.kit import HELLO, End, World, command

SET, GET = command("SET", "k", "v"), command("GET", "k")
NOAUTH_HELLO = b"-NOAUTH HELLO must be called with the client already authenticated\r\n"


def served(world: World) -> tuple[End, End]:
    """A client without a login, and the lane to the leader that serves it."""
    client = world.client()
    client.send(SET)
    lane = world.open(0)
    lane.take()
    lane.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    return client, lane


def test_a_client_that_comes_soon_after_the_leaders_word_uses_the_lane_of_others() -> None:
    world = World(replicas=0)
    _, lane = served(world)
    world.client().send(SET)
    assert lane.take() == SET and not world.dialled


def test_a_client_that_comes_later_waits_until_the_leader_has_been_asked_anew() -> None:
    world = World(replicas=0)
    _, lane = served(world)
    world.now += INTERVAL
    new = world.client()
    new.send(SET)
    assert lane.take() == b""
    question = world.open(0)
    assert (lane.take(), question.open) == (SET, False)


def test_a_password_that_is_set_later_keeps_new_clients_out_and_those_who_are_there_in() -> None:
    world = World(replicas=0)
    old, lane = served(world)
    world.now += INTERVAL
    new, newer = world.client(), world.client()
    new.send(SET)
    newer.send(GET)
    world.open(0, hello=NOAUTH_HELLO)
    assert lane.take() == b""
    theirs = world.open(0, hello=NOAUTH_HELLO)
    assert theirs.take() == SET + GET
    theirs.send(errors.NOAUTH * 2)
    assert (new.take(), newer.take()) == (errors.NOAUTH, errors.NOAUTH)
    old.send(SET)
    assert lane.take() == SET


def test_where_the_leader_does_not_answer_who_comes_is_judged_by_new_connections() -> None:
    world = World(replicas=0)
    _, lane = served(world)
    world.now += INTERVAL
    new = world.client()
    new.send(SET)
    world.accept(0)
    world.wait(2)
    assert lane.take() == b""


@pytest.mark.parametrize("large", [command("DEL", *"abcdefghij"), command("SET", "k", "v" * 20_000)])
def test_a_large_command_that_waits_for_a_lane_without_a_login_does_not_end_it_for_others(large: bytes) -> None:
    world = World(replicas=0)
    one, other = world.client(), world.client()
    one.send(large)
    other.send(SET)
    lane = world.open(0, hello=NOAUTH_HELLO)
    assert (lane.take(), one.take()) == (SET, errors.NOAUTH)


def test_where_a_password_is_wanted_a_large_command_is_a_protocol_error_as_on_a_server() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(SET)
    lane = world.open(0, hello=NOAUTH_HELLO)
    lane.send(errors.NOAUTH)
    client.take()
    client.send(command("DEL", *"abcdefghij"))
    assert client.take() == b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    assert not client.open and lane.open


def test_who_has_logged_in_may_send_large_commands() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(SET)
    world.open(0, hello=NOAUTH_HELLO).send(errors.NOAUTH)
    client.send(command("AUTH", "bob", "x"))
    world.open(0, hello=NOAUTH_HELLO).send(b"+OK\r\n")
    lane = world.accept(0)
    lane.take()
    lane.send(b"+OK\r\n" + HELLO)
    client.send(command("DEL", *"abcdefghij"))
    assert lane.take() == command("DEL", *"abcdefghij")


def test_a_server_bounds_what_is_sent_before_a_login() -> None:
    assert may_send(SET + command("DEL", *"abcdefghi"))
    assert not may_send(SET + command("DEL", *"abcdefghij"))
    assert not may_send(command("SET", "k", "v" * 16_385))


def test_a_leader_that_is_doubted_while_it_is_asked_leaves_no_connection_behind() -> None:
    world = World(replicas=1)
    _, lane = served(world)
    world.now += INTERVAL
    new = world.client()
    new.send(SET)
    question = world.accept(0)
    world.follow(settled=False)
    assert not question.open
    assert not world.plane.limbo.leases
