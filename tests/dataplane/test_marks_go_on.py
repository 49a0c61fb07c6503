"""Nothing that a client leaves behind keeps marks from going on."""

from __future__ import annotations

import pytest

from rproxy.dataplane.freshness import Freshness
from rproxy.dataplane.tallies import size
from tests.dataplane.kit import World, begun, command

MULTI, SET, EXEC = command("MULTI"), command("SET", "k", "v"), command("EXEC")


@pytest.mark.parametrize("commands", [SET, MULTI + SET + EXEC, command("WATCH", "k") + SET, command("BLPOP", "k", "0")])
@pytest.mark.parametrize("connected", [False, True])
def test_a_client_that_vanishes_leaves_no_unanswered_write(commands: bytes, connected: bool) -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(commands)
    leader = world.open(0) if connected else None
    client.lose()
    if leader is not None:
        leader.send(b"+OK\r\n" * 3)
    world.wait(world.plane.options.budget + 0.2)
    assert world.plane.oldest_write() == 0
    assert world.plane.freshness.need(1) < 1 << 63


def test_a_write_on_its_way_is_the_oldest_until_its_reply() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    sent = world.plane.oldest_write()
    assert 0 < sent <= int(world.now * 1e9)
    world.now += 1
    client.send(SET)
    assert world.plane.oldest_write() == sent
    leader.send(b"+OK\r\n")
    assert world.plane.oldest_write() == int(world.now * 1e9)
    leader.send(b"+OK\r\n")
    assert world.plane.oldest_write() == 0


def test_a_transaction_counts_from_its_exec_on() -> None:
    world = World(consistency="fresh")
    client, lease = begun(world, MULTI)
    client.send(SET)
    assert world.plane.oldest_write() == 0
    client.send(EXEC)
    assert world.plane.oldest_write() > 0
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert world.plane.oldest_write() == 0


def two_workers() -> tuple[World, Freshness]:
    """One of two workers, and what the process of the freshness clock sees."""
    memory = bytearray(size(2))
    world = World(consistency="fresh", memory=memory, worker=0, workers=2)
    world.wait(0.1)
    return world, Freshness(memory, 2, 2)


def test_another_process_sees_a_write_before_it_is_sent_and_until_it_is_answered() -> None:
    world, clock = two_workers()
    assert clock.oldest() == 0
    client = world.client()
    client.send(SET)
    sent = clock.oldest()
    assert sent == int(world.now * 1e9)
    leader = world.open(0)
    world.wait(0.1)
    client.send(SET)
    assert clock.oldest() == sent
    leader.send(b"+OK\r\n")
    world.wait(0.1)
    assert sent < clock.oldest() < int(world.now * 1e9)
    leader.send(b"+OK\r\n")
    world.wait(0.1)
    assert clock.oldest() == 0


def test_another_process_finds_no_time_between_the_clock_and_the_stamp() -> None:
    """Whoever takes the clock in between must not take it for one before which all is answered."""
    world, clock = two_workers()
    seen: list[int] = []
    look = world.plane.clock_ns

    def clock_ns() -> int:
        seen.append(clock.oldest())
        return look()

    world.plane.clock_ns = clock_ns
    world.client().send(SET)
    assert seen[0] == 1
