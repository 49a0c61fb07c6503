"""A pipeline behaves as one server would have run it, although its reads and writes travel to different servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dataplane.kit import End, World, command

GET, SET, OTHER = command("GET", "k"), command("SET", "k", "v"), command("SET", "other", "v")


def fresh() -> tuple[World, End, End, End]:
    """A client, its leader and a replica that is fresh for all."""
    world = World(replicas=1, consistency="fresh")
    world.prove()
    client = world.client()
    client.send(GET + command("INFO"))
    replica, leader = world.open(1), world.open(0)
    replica.take(), leader.take()
    replica.send(b"+0\r\n")
    leader.send(b"+0\r\n")
    client.take()
    return world, client, leader, replica


def test_a_write_waits_until_the_replica_has_answered_the_read_of_its_key() -> None:
    _, client, leader, replica = fresh()
    client.send(GET + SET)
    assert (replica.take(), leader.take()) == (GET, b"")
    replica.send(b"+old\r\n")
    assert leader.take() == SET
    leader.send(b"+OK\r\n")
    assert client.take() == b"+old\r\n+OK\r\n"


def test_a_write_of_another_key_does_not_wait() -> None:
    _, client, leader, replica = fresh()
    client.send(GET + OTHER)
    assert (replica.take(), leader.take()) == (GET, OTHER)


def test_a_read_behind_the_write_of_its_key_goes_to_the_leader_on_the_same_connection() -> None:
    _, client, leader, replica = fresh()
    client.send(SET + GET)
    assert (replica.take(), leader.take()) == (b"", SET + GET)


def test_a_read_of_another_key_behind_a_write_goes_to_the_replica() -> None:
    _, client, leader, replica = fresh()
    client.send(OTHER + GET)
    assert (replica.take(), leader.take()) == (GET, OTHER)


@pytest.mark.parametrize(
    ("read", "write"),
    [
        (command("MGET", "a", "b"), command("DEL", "b")),
        (command("KEYS", "*"), command("SET", "a", "1")),
        (command("GET", "a"), command("FLUSHALL")),
        (command("SINTERCARD", "2", "a", "b"), command("SADD", "b", "1")),
        (command("XINFO", "GROUPS", "a"), command("XADD", "a", "*", "f", "v")),
        (command("GET", "a"), command("EVAL", "return 1", "1", "a")),
        (b"get a\r\n", b"set a 1\r\n"),
    ],
)
def test_a_read_and_a_write_that_may_touch_the_same_key_keep_their_order(read: bytes, write: bytes) -> None:
    world, client, leader, replica = fresh()
    client.send(read + write)
    assert replica.take() and not leader.take() and not world.dialled
    replica.send(b"+old\r\n")
    assert leader.take() or world.open(0).take()


def test_what_follows_a_waiting_write_waits_with_it_and_keeps_its_order() -> None:
    _, client, leader, replica = fresh()
    client.send(GET + SET + command("GET", "third"))
    client.send(command("GET", "fourth"))
    assert (replica.take(), leader.take()) == (GET, b"")
    replica.send(b"+old\r\n")
    leader.send(b"+OK\r\n")
    replica.send(b"+3\r\n+4\r\n")
    assert client.take() == b"+old\r\n+OK\r\n+3\r\n+4\r\n"


@given(st.lists(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), min_size=1, max_size=8), max_size=6))
def test_a_write_waits_for_the_reads_of_its_key_in_flight_and_for_no_others(packets: list[list[tuple[bool, str]]]) -> None:
    _, client, leader, replica = fresh()
    asked: set[str] = set()
    written: set[str] = set()
    to_leader, to_replica, waits = b"", b"", False
    for packet in packets:
        client.send(b"".join(command("SET", key, "v") if writes else command("GET", key) for writes, key in packet))
        for writes, key in packet:
            waits = waits or (writes and key in asked)
            if not waits and writes:
                written.add(key)
                to_leader += command("SET", key, "v")
            elif not waits and key in written:
                to_leader += command("GET", key)
            elif not waits:
                asked.add(key)
                to_replica += command("GET", key)
    assert (leader.take(), replica.take()) == (to_leader, to_replica)


def test_another_sessions_write_does_not_wait() -> None:
    world, client, leader, replica = fresh()
    client.send(GET)
    world.client().send(SET)
    assert (replica.take(), leader.take()) == (GET, SET)


def test_a_long_mixed_pipeline_of_different_keys_never_waits() -> None:
    _, client, leader, replica = fresh()
    client.send(b"".join(command("GET", f"r{number}") + command("SET", f"w{number}", "v") for number in range(60)))
    assert (replica.take().count(b"GET"), leader.take().count(b"SET")) == (60, 60)


def test_a_read_that_was_looked_at_and_answered_is_not_waited_for_again() -> None:
    _, client, leader, replica = fresh()
    client.send(GET + command("GET", "x") + OTHER)
    replica.send(b"+1\r\n+2\r\n")
    leader.send(b"+OK\r\n")
    client.take(), leader.take(), replica.take()
    client.send(SET)
    assert leader.take() == SET


def test_the_loss_of_the_replica_does_not_keep_the_write_waiting() -> None:
    _, client, leader, replica = fresh()
    client.send(GET + SET)
    replica.lose()
    assert leader.take() == GET
    leader.send(b"+1\r\n")
    assert leader.take() == SET


def test_with_eventual_consistency_nothing_waits() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(GET + SET)
    assert (world.open(1).take(), world.open(0).take()) == (GET, SET)
