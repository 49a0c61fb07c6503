"""Whatever ends under a client, it gets an answer; and what it sent behind a command never shows before it."""

from __future__ import annotations

import pytest

from rproxy import errors
from tests.dataplane.kit import End, World, command

GET, SET = command("GET", "k"), command("SET", "k", "v")
READONLY = b"-READONLY You can't write against a read only replica.\r\n"


def change(world: World) -> None:
    leader, one, *others = world.servers
    world.follow(leader=one, replicas=(leader, *others), readers=tuple(others), settled=True)


@pytest.mark.parametrize("how", ["refused", "dialling", "opening"])
@pytest.mark.parametrize(
    "words",
    [
        command("MULTI"), command("WATCH", "a"), command("BLPOP", "k", "0"), command("SET", "k", "x" * 300_000), command("AUTH", "p"),
        command("SUBSCRIBE", "c"), command("SELECT", "1"),
    ],
    ids=lambda words: words.split(b"\r\n")[2].decode(),
)  # fmt: skip
def test_what_needs_a_connection_that_the_last_leader_never_gave_goes_to_the_next_or_is_told(words: bytes, how: str) -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(words)
    if how == "refused":
        world.refuse(0)
    elif how == "opening":
        world.accept(0)
    world.follow(settled=False)
    world.wait(0.2)
    change(world)
    world.wait(3)
    assert client.take() or not client.open or [attempt for attempt in world.dialled if attempt[0] == world.servers[1]]


@pytest.mark.parametrize("connected", [False, True])
def test_a_read_that_waits_for_a_server_that_leaves_goes_elsewhere(connected: bool) -> None:
    world = World()
    world.client().send(GET)
    if connected:
        world.accept(1)
    leader, _, two = world.servers
    world.follow(replicas=(two,), readers=(two,))
    assert world.open(2).take() == GET


def test_a_write_that_waits_for_a_leader_counts_as_unanswered() -> None:
    world = World(consistency="fresh")
    world.follow(settled=False)
    world.client().send(SET)
    assert world.plane.oldest_write() == int(world.now * 1e9)


def test_a_read_that_moves_from_the_leader_to_a_replica_makes_later_writes_of_its_key_wait() -> None:
    world = World(replicas=1, consistency="fresh")
    client = world.client()
    client.send(GET)
    world.prove()
    world.open(0).lose()
    replica = world.open(1)
    assert replica.take() == GET
    client.send(SET)
    assert not [attempt for attempt in world.dialled if attempt[0] == world.servers[0]]
    replica.send(b"$3\r\nold\r\n")
    assert world.open(0).take() == SET


def test_a_read_of_the_leader_that_is_lost_is_not_tried_again_behind_its_sessions_write() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(GET + SET)
    world.open(0).lose()
    assert client.take() == errors.READER_LOST + errors.LEADER_LOST


def test_a_read_that_waits_for_the_leader_stays_before_the_write_behind_it() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(GET + SET)
    world.follow(leader_up=False, offsets=((1, 10),))
    world.refuse(0)
    world.wait(0.3)
    assert world.open(0).take() == GET + SET


def test_a_read_that_the_last_leader_leaves_unanswered_is_not_asked_behind_the_write_that_followed_it() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(GET)
    last = world.open(0)
    world.follow(settled=False)
    client.send(SET)
    change(world)
    world.wait(0.5)
    assert not last.open
    new = world.open(1)
    assert new.take() == SET
    new.send(b"+OK\r\n")
    assert client.take() == errors.READER_LOST + b"+OK\r\n"


def vanished(unheard: float) -> tuple[World, list[End]]:
    """A leader that has sent no byte since a write was sent to it, for longer than the budget; a subscriber, and one who waits for an element."""
    world = World(outside={"unheard": lambda transport: unheard})
    clients = [world.client() for _ in range(3)]
    for client, words, reply in zip(
        clients,
        (command("SUBSCRIBE", "c"), command("BLPOP", "q", "0"), SET),
        (b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", b"", b""),
        strict=True,
    ):
        client.send(words)
        world.open(0).send(reply)
        client.take()
    world.wait(world.plane.options.budget + 2 * world.plane.TICK)
    return world, clients


def test_when_a_servers_host_has_vanished_all_that_wait_on_it_are_told_also_those_who_wait_for_something_to_happen() -> None:
    world, (subscriber, blocked, writer) = vanished(2.0)
    assert writer.take() == errors.LEADER_LOST
    assert not subscriber.open
    assert not blocked.open or blocked.take()
    assert world.suspects


def test_a_server_whose_host_acknowledges_may_take_its_time() -> None:
    world, clients = vanished(0.0)
    assert all(client.open and client.take() == b"" for client in clients)
    assert not world.suspects
