"""The end of a loop pass: clients are answered first, then servers get what was collected for them, and a fault stays where it is."""

from __future__ import annotations

from typing import Any

import pytest

from rproxy.dataplane.session import Session
from rproxy.dataplane.states import OUTPUT
from tests.dataplane.kit import End, World, command

GET, SET = command("GET", "k"), command("SET", "k", "v")


@pytest.fixture
def world() -> World:
    return World(replicas=1)


@pytest.fixture
def client(world: World) -> End:
    return world.client()


@pytest.fixture
def replica(world: World, client: End) -> End:
    client.send(GET)
    replica = world.open(1)
    assert replica.take() == GET
    replica.send(b"+0\r\n")
    client.take()
    return replica


def assert_told(notices: list[str], kind: str) -> None:
    """One fault was told, and where it was."""
    said = notices[0]
    assert said.startswith(f"internal error, connection closed: {kind} in ") and "flush, line " in said


def test_nothing_is_written_before_the_pass_ends(world: World, client: End, replica: End) -> None:
    client.protocol.data_received(GET)
    assert replica.take() == b""
    world.turn()
    assert replica.take() == GET


def test_the_event_loop_is_asked_once_to_end_a_pass(world: World, client: End, replica: End) -> None:
    client.protocol.data_received(GET)
    world.client().protocol.data_received(GET)
    assert len(world.passes) == 1


def test_the_event_loop_is_not_asked_where_somebody_else_ends_the_pass(world: World, client: End, replica: End) -> None:
    world.plane.loop_pass.begin()
    client.protocol.data_received(GET)
    assert not world.passes
    world.plane.loop_pass.end()
    assert replica.take() == GET


def test_clients_can_be_answered_while_servers_wait_for_more(world: World, client: End, replica: End) -> None:
    other = world.client()
    other.send(GET)
    replica.take()
    replica.protocol.data_received(b"+1\r\n")
    client.protocol.data_received(GET)
    world.plane.loop_pass.answer()
    assert (other.take(), replica.take()) == (b"+1\r\n", b"")
    other.protocol.data_received(GET)
    world.turn()
    assert replica.take() == GET + GET


def test_a_client_that_waits_for_more_is_answered_when_the_pass_ends(world: World, client: End, replica: End) -> None:
    client.send(GET + SET)
    world.open(0).take()
    replica.take()
    replica.protocol.data_received(b"+1\r\n")
    world.plane.loop_pass.answer()
    assert client.take() == b""
    world.turn()
    assert client.take() == b"+1\r\n"


def test_a_client_that_quits_is_told_so_when_the_pass_ends(world: World, client: End, replica: End) -> None:
    """Behind that its lease is closed, and whoever is told may count on it."""
    client.send(command("SUBSCRIBE", "c"))
    lease = world.open(0)
    lease.send(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    client.take()
    client.protocol.data_received(command("QUIT"))
    world.plane.loop_pass.answer()
    assert client.take() == b""
    world.turn()
    assert client.take() == b"+OK\r\n" and not lease.open


def test_much_does_not_wait_for_more(world: World, client: End, replica: End) -> None:
    client.send(GET + SET)
    much = b"$20000\r\n" + bytes(20_000) + b"\r\n"
    replica.protocol.data_received(much)
    world.plane.loop_pass.answer()
    assert client.take() == much


def test_a_fault_that_cannot_even_be_told_leaves_the_others_in_the_pass(world: World, client: End, replica: End) -> None:
    def fail(text: str) -> None:
        raise RuntimeError(text)

    faulty = world.client()
    faulty.protocol.out.append(None)
    faulty.protocol.wake()
    client.protocol.emit(b"+1\r\n")
    world.plane.notice = fail
    world.plane.loop_pass.answer()
    assert not faulty.open
    assert client.take() == b"+1\r\n"


def test_what_a_session_sends_when_it_is_flushed_leaves_in_the_same_pass(world: World, client: End, replica: End) -> None:
    client.protocol.halt(OUTPUT)
    client.send(GET)
    client.protocol.release(OUTPUT)
    world.passes.pop()()
    assert not world.passes
    assert replica.take() == GET


def test_a_fault_in_one_session_does_not_keep_the_others_waiting(world: World, client: End, replica: End) -> None:
    faulty = world.client()
    faulty.protocol.out.append(None)
    faulty.protocol.wake()
    client.send(GET)
    replica.send(b"+1\r\n")
    assert client.take() == b"+1\r\n"
    assert not faulty.open
    assert_told(world.notices, "TypeError")


def test_a_fault_in_one_lane_does_not_keep_the_others_waiting(world: World, client: End, replica: End) -> None:
    client.send(SET)
    leader = world.open(0)
    leader.take()
    faulty: Any = world.plane.pools[world.servers[1]].lane(client.protocol.key)
    client.protocol.data_received(GET)
    faulty.batch[0] = object()
    world.client().protocol.data_received(SET)
    world.turn()
    assert leader.take() == SET
    assert not replica.open
    assert_told(world.notices, "AttributeError")


def test_a_batch_that_cannot_be_written_is_answered_and_the_other_lanes_are_written(
    world: World, client: End, replica: End
) -> None:
    other = world.client()
    other.send(SET)
    leader = world.open(0)
    leader.take()
    leader.send(b"+OK\r\n")
    first, second = world.client(), world.client()
    first.protocol.data_received(GET)
    second.protocol.data_received(GET)
    replica.protocol.batch[0].request = None
    other.protocol.data_received(SET)
    world.turn()
    assert not replica.open and leader.take() == SET
    world.wait(2)
    assert b"not executed" in first.take() and b"not executed" in second.take()


class Restless(Session):
    """A session that wants to be flushed again whenever it has been."""

    flushed = 0

    def flush(self) -> None:
        self.flushed += 1
        self.plane.loop_pass.wake(self)


def test_a_session_that_never_comes_to_rest_does_not_hold_the_loop(world: World) -> None:
    restless = Restless(world.plane)
    world.plane.loop_pass.wake(restless)
    world.passes.pop(0)()
    assert 1 < restless.flushed < 1000
    assert len(world.passes) == 1, "the rest is left to the next pass"
