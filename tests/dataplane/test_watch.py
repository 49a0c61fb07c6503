"""An attached client's writes are held back from replicas until they are answered, and its bytes are left alone."""

from __future__ import annotations

import pytest

from rproxy.dataplane.freshness import HELD, KEYSPACE, slot_of
from tests.dataplane.kit import End, World, command

TRACKING = command("CLIENT", "TRACKING", "ON")
SLOT = slot_of(b"k", 0, 1)


def attached(first: bytes = TRACKING, reply: bytes = b"+OK\r\n") -> tuple[World, End, End]:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    client.send(first)
    lease = world.open(0)
    assert lease.take() == first
    lease.send(reply)
    assert client.take() == reply
    return world, client, lease


def held(world: World, slot: int = SLOT) -> bool:
    return world.plane.freshness.need(slot) == HELD


def test_a_write_holds_its_slot_until_its_reply() -> None:
    world, client, lease = attached()
    client.send(command("SET", "k", "v"))
    assert lease.take() == command("SET", "k", "v")
    assert held(world)
    lease.send(b"+OK\r\n")
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9)


def test_a_command_cut_anywhere_holds_its_slot_before_its_last_byte_leaves() -> None:
    for cut in range(1, len(command("SET", "k", "v"))):
        world, client, lease = attached()
        client.send(command("SET", "k", "v")[:cut])
        client.send(command("SET", "k", "v")[cut:])
        assert lease.take() == command("SET", "k", "v")
        assert held(world), cut


def test_an_inline_write_holds_its_slot() -> None:
    world, client, _ = attached()
    client.send(b"set k v\r\n")
    assert held(world)


def test_a_read_holds_nothing() -> None:
    world, client, _ = attached()
    client.send(command("GET", "k"))
    assert not held(world)


def test_pushes_are_no_replies() -> None:
    world, client, lease = attached()
    client.send(command("SET", "k", "v"))
    lease.send(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n")
    assert held(world)


def test_what_is_queued_is_held_until_exec_is_answered() -> None:
    world, client, lease = attached()
    client.send(command("MULTI") + command("SET", "k", "v"))
    lease.send(b"+OK\r\n+QUEUED\r\n")
    assert held(world)
    client.send(command("EXEC"))
    lease.send(b"*1\r\n+OK\r\n")
    assert not held(world)


@pytest.mark.parametrize("first", [command("SUBSCRIBE", "c"), command("MONITOR"), command("CLIENT", "REPLY", "OFF")])
def test_where_replies_cannot_be_counted_slots_are_held_until_the_client_leaves(first: bytes) -> None:
    world, client, lease = attached(first)
    client.send(command("SET", "k", "v"))
    lease.send(b"+OK\r\n")
    assert held(world)
    client.lose()
    assert not held(world)


def test_a_large_write_holds_its_key_alone() -> None:
    world, client, lease = attached()
    large = command("SET", "k", "v" * 300_000)
    client.send(large[:270_000])
    client.send(large[270_000:])
    assert lease.take() == large
    assert held(world) and not held(world, slot_of(b"other", 0, 5))
    lease.send(b"+OK\r\n")
    assert not held(world)


def test_many_keys_count_as_all() -> None:
    world, client, lease = attached()
    client.send(b"".join(command("SET", f"k{number}", "v") for number in range(1100)))
    assert held(world, slot_of(b"other", 0, 5))
    lease.send(b"+OK\r\n" * 1100)
    assert not held(world, slot_of(b"other", 0, 5))


def test_bytes_that_cannot_be_understood_go_on_and_count_as_writing_everything() -> None:
    world, client, lease = attached()
    client.send(b"*1\r\n!oops\r\n")
    assert lease.take() == b"*1\r\n!oops\r\n"
    assert held(world, slot_of(b"other", 0, 5))


def test_reads_of_all_keys_go_to_the_leader_while_any_slot_is_held() -> None:
    world, client, lease = attached()
    client.send(command("SET", "k", "v"))
    assert held(world, KEYSPACE)
    lease.send(b"+OK\r\n")
    assert not held(world, KEYSPACE)
