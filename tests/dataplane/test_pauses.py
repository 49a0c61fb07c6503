"""CLIENT PAUSE: what the leader may hold back waits on connections of its own until the pause is over."""

from __future__ import annotations

from tests.dataplane.kit import End, World, begun, command

SET, GET = command("SET", "k", "v"), command("GET", "k")


def paused(milliseconds: str = "1000") -> tuple[World, End, End]:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "PAUSE", milliseconds, "WRITE"))
    urgent = world.open(0)
    urgent.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    return world, client, urgent


def test_each_clients_write_waits_on_a_lease_and_reads_go_on() -> None:
    world, client, _ = paused()
    others = [world.client(), world.client()]
    for other in others:
        other.send(SET)
    leases = [world.open(0), world.open(0)]
    client.send(GET)
    world.open(1).send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n"
    for lease in leases:
        lease.send(b"+OK\r\n")
    assert [other.take() for other in others] == [b"+OK\r\n"] * 2


def test_it_ends_when_it_is_ended() -> None:
    world, client, urgent = paused()
    client.send(command("CLIENT", "UNPAUSE"))
    urgent.send(b"+OK\r\n")
    client.send(SET)
    assert client.protocol.shared
    assert world.plane.leader.lanes[client.protocol.key]


def test_it_ends_by_itself() -> None:
    world, client, _ = paused("100")
    world.wait(0.2)
    client.send(SET)
    assert client.protocol.shared


def test_a_second_pause_that_is_longer_counts() -> None:
    world, client, urgent = paused("100")
    client.send(command("CLIENT", "PAUSE", "1000", "WRITE"))
    urgent.send(b"+OK\r\n")
    world.wait(0.2)
    client.send(SET)
    assert not client.protocol.shared


def test_a_pause_that_the_leader_refuses_is_none() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "PAUSE", "x"))
    world.open(0).send(b"-ERR timeout is not an integer or out of range\r\n")
    client.send(SET)
    assert client.protocol.shared


def test_a_pause_in_a_transaction_begins_with_exec() -> None:
    world = World()
    client, lease = begun(world, command("MULTI"))
    client.send(command("CLIENT", "PAUSE", "1000", "WRITE") + command("EXEC"))
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    client.send(SET)
    assert not client.protocol.shared
