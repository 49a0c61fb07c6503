"""WAIT asks from a place in the leader's stream that is behind all of the client's writes."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.states import State
from tests.dataplane.kit import HELLO, World, begun, command

SET, WAIT = command("SET", "k", "v"), command("WAIT", "1", "100")
PUBLISH, SWAP = command("SPUBLISH", "rproxy:wait", ""), command("SWAPDB", "0", "0")
NOPERM = b"-NOPERM no\r\n"
OLD = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"


def test_it_is_asked_on_a_lease_that_was_moved_behind_the_writes_once_they_are_answered() -> None:
    world = World()
    client = world.client()
    client.send(SET + WAIT + SET)
    lane = world.open(0)
    assert not world.dialled
    lane.send(b"+OK\r\n")
    lease = world.open(0)
    assert lease.take() == PUBLISH
    lease.send(b":0\r\n")
    assert lease.take() == WAIT
    assert client.take() == b"+OK\r\n"
    lane.take()
    lease.send(b":1\r\n")
    assert client.take() == b":1\r\n"
    assert (lane.take(), lease.open, client.protocol.state) == (SET, True, State.SHARED)


def test_a_user_who_may_not_publish_moves_otherwise() -> None:
    world = World()
    client = world.client()
    client.send(WAIT)
    lease = world.open(0)
    lease.send(NOPERM)
    assert lease.take() == PUBLISH + SWAP
    lease.send(b"+OK\r\n")
    assert lease.take() == WAIT


@pytest.mark.parametrize(("hello", "waits"), [(OLD, True), (HELLO, False), (OLD.replace(b"7.0", b"7.2"), False)])
def test_who_may_do_neither_is_told_unless_any_command_moves(hello: bytes, waits: bool) -> None:
    world = World()
    client = world.client()
    client.send(WAIT)
    lease = world.open(0, hello=hello)
    lease.send(NOPERM)
    lease.send(NOPERM)
    if waits:
        lease.send(b"+PONG\r\n")
        assert lease.take() == PUBLISH + SWAP + command("PING") + WAIT
    else:
        assert client.take() == errors.WAIT_NOPERM
        assert (client.protocol.state, lease.open) == (State.SHARED, True)


@pytest.mark.parametrize("answered", [b"", b":0\r\n"])
def test_where_its_server_is_lost_the_client_is_closed_as_the_server_would_close_it(answered: bytes) -> None:
    world = World()
    client = world.client()
    client.send(WAIT + SET)
    lease = world.open(0)
    lease.send(answered)
    lease.lose()
    assert (client.take(), client.open) == (b"", False)


def test_without_a_leader_the_client_is_closed_in_time() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(WAIT)
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert (client.take(), client.open) == (b"", False)


def test_a_watching_client_waits_on_its_lease_and_in_multi_it_is_queued() -> None:
    world = World()
    client, lease = begun(world, command("WATCH", "k"))
    client.send(WAIT)
    assert lease.take() == PUBLISH
    lease.send(b":0\r\n")
    assert lease.take() == WAIT
    lease.send(b":1\r\n")
    client.send(command("MULTI") + WAIT)
    assert lease.take() == command("MULTI") + WAIT


def test_a_subscriber_in_resp3_can_wait() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "TRACKING", "ON"))
    lease = world.open(0)
    lease.send(b"+OK\r\n")
    client.take()
    client.send(WAIT)
    lease.send(b":0\r\n")
    lease.send(b":2\r\n")
    assert client.take() == b":2\r\n"
