"""CLIENT TRACKING ... REDIRECT: ids as clients know them here, and as the server does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rproxy.dataplane.redirect import NOBODY, anchored
from rproxy.dataplane.states import State
from rproxy.dataplane.tallies import size
from rproxy.errors import REDIRECT_BUSY
from tests.dataplane.kit import End, World, command

SUBSCRIBE = command("SUBSCRIBE", "__redis__:invalidate")
SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"
TO_THE_FIRST = command("CLIENT", "TRACKING", "ON", "REDIRECT", "1")
HELLO_41 = b"%1\r\n$2\r\nid\r\n:41\r\n"
AS_41 = command("CLIENT", "TRACKING", "ON", "REDIRECT", "41")

NO_SUCH = b"-ERR The client ID you want redirect to does not exist\r\n"

Told = tuple[list[bytes], Callable[[list[bytes]], None]]


def permit(world: World) -> None:
    """The leader finds nothing wrong with the command but that there is no such client."""
    question = world.open(0)
    assert question.take() == command("CLIENT", "TRACKING", "ON", "REDIRECT", str(NOBODY))
    question.send(NO_SUCH)


def redirected() -> tuple[World, End, End]:
    """The first client is a subscriber, whose lease is 41 to the server; the second is told through it."""
    world = World()
    told, client = world.client(), world.client()
    told.send(SUBSCRIBE)
    world.open(0, hello=HELLO_41).send(SUBSCRIBED)
    client.send(TO_THE_FIRST)
    lease = world.open(0)
    permit(world)
    assert lease.take() == AS_41
    lease.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    return world, client, lease


def test_the_server_is_given_the_id_of_the_others_lease_and_the_client_that_of_its_session() -> None:
    _, client, lease = redirected()
    client.send(command("CLIENT", "GETREDIR") + command("CLIENT", "TRACKINGINFO"))
    lease.send(b":41\r\n*4\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$8\r\nredirect\r\n:41\r\n")
    assert client.take() == b":1\r\n*4\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$8\r\nredirect\r\n:1\r\n"


def test_a_broken_redirection_is_told_with_the_id_that_clients_know() -> None:
    _, client, lease = redirected()
    lease.send(b">2\r\n$21\r\ntracking-redir-broken\r\n:41\r\n")
    assert client.take() == b">2\r\n$21\r\ntracking-redir-broken\r\n:1\r\n"


def test_a_client_without_a_lease_is_given_one_before_it_is_named() -> None:
    world = World()
    told, client = world.client(), world.client()
    client.send(TO_THE_FIRST)
    lease = world.open(0)
    permit(world)
    assert lease.take() == b""
    world.open(0, hello=HELLO_41)
    assert told.protocol.state is State.ATTACHED
    world.wait(0.05)
    assert lease.take() == AS_41


def test_a_client_that_is_busy_is_waited_for() -> None:
    world = World()
    told, client = world.client(), world.client()
    told.send(command("BLPOP", "l", "0"))
    blocked = world.open(0, hello=HELLO_41)
    client.send(TO_THE_FIRST)
    lease = world.open(0)
    permit(world)
    world.wait(0.1)
    assert lease.take() == b""
    blocked.send(b"*-1\r\n")
    world.wait(0.1)
    assert lease.take() == AS_41


def test_a_client_that_stays_busy_is_said_to_be() -> None:
    world = World()
    told, client = world.client(), world.client()
    told.send(command("BLPOP", "l", "0"))
    world.open(0, hello=HELLO_41)
    client.send(TO_THE_FIRST + command("CLIENT", "ID"))
    lease = world.open(0)
    permit(world)
    world.wait(1.6)
    assert (lease.take(), client.take()) == (b"", REDIRECT_BUSY + b":2\r\n")
    assert client.protocol.state is State.SHARED


def test_a_client_of_another_worker_is_asked_for_there() -> None:
    memory = bytearray(size(2))
    here, there = (World(memory=memory, worker=number, workers=2) for number in range(2))
    told: list[Told] = []
    here.plane.ports = replace(here.plane.ports, others=lambda words, answered: told.append((words, answered)))
    target, client = there.client(), here.client()
    client.send(command("CLIENT", "TRACKING", "ON", "REDIRECT", "2"))
    lease = here.open(0)
    permit(here)
    for _ in range(2):
        (name, own), answered = told.pop()
        assert name == b"REDIRECT"
        answered([b"%d" % anchored(there.plane, int(own))])
        if target.protocol.state is State.SHARED or there.dialled:
            there.open(0, hello=HELLO_41)
        here.wait(0.05)
    assert lease.take() == AS_41
    lease.send(b"+OK\r\n")
    client.send(command("CLIENT", "GETREDIR"))
    lease.send(b":41\r\n")
    assert client.take() == b"+OK\r\n:2\r\n"


def test_nobody_is_nobody_to_the_server_too() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "TRACKING", "ON", "REDIRECT", "99"))
    lease = world.open(0)
    permit(world)
    assert lease.take() == command("CLIENT", "TRACKING", "ON", "REDIRECT", str(NOBODY))


@pytest.mark.parametrize("refusal", [b"-NOPERM no\r\n", b"-ERR syntax error\r\n"])
def test_what_the_leader_refuses_changes_nothing_for_the_other_client(refusal: bytes) -> None:
    world = World()
    told, client = world.client(), world.client()
    client.send(TO_THE_FIRST)
    world.open(0)
    world.open(0).send(refusal)
    assert client.take() == refusal
    assert (told.protocol.state, client.protocol.state) == (State.SHARED, State.SHARED)
    client.send(command("CLIENT", "ID"))
    assert client.take() == b":2\r\n"


def test_what_is_no_id_is_left_to_the_server() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "TRACKING", "ON", "REDIRECT", "x"))
    assert world.open(0).take() == command("CLIENT", "TRACKING", "ON", "REDIRECT", "x")
