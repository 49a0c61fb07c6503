"""CLIENT PAUSE: what the leader may hold back waits on connections of its own until the pause is over."""

from __future__ import annotations

import pytest

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


def stopped(*words: str) -> tuple[World, End, End]:
    """A pause of everything, the client who asked for it, and its urgent connection."""
    world = World()
    client = world.client()
    client.send(command("CLIENT", "PAUSE", *words))
    urgent = world.open(0)
    assert urgent.take() == command("CLIENT", "PAUSE", words[0], "WRITE"), "the leader must not be silent for rproxy itself"
    urgent.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    return world, client, urgent


@pytest.mark.parametrize("words", [("1000",), ("1000", "all")])
def test_in_a_pause_of_everything_whatever_clients_send_waits_until_it_is_ended(words: tuple[str, ...]) -> None:
    world, client, urgent = stopped(*words)
    before, late = world.client(), world.client()
    before.send(GET + SET + command("PING"))
    late.send(command("HELLO", "3") + command("MULTI"))
    client.send(command("CLIENT", "GETNAME"))
    assert not world.dialled and (before.take(), late.take(), client.take()) == (b"", b"", b"")
    other = world.client()
    other.send(command("CLIENT", "UNPAUSE"))
    urgent.send(b"+OK\r\n")
    assert (other.take(), client.take()) == (b"+OK\r\n", b"$-1\r\n")
    assert world.dialled


def test_who_asked_for_a_pause_of_everything_can_end_it() -> None:
    world, client, urgent = stopped("1000")
    client.send(command("CLIENT", "UNPAUSE") + GET)
    urgent.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert world.open(1).take() == GET


def test_a_pause_of_everything_ends_by_itself_and_not_with_a_shorter_one() -> None:
    world, client, _ = stopped("1000")
    world.plane.pauses.asked([b"CLIENT", b"PAUSE", b"100", b"WRITE"])
    client.send(GET)
    world.wait(0.5)
    assert not world.dialled
    world.wait(1.0)
    assert world.open(1).take() == GET


def test_a_pause_of_everything_does_not_let_go_those_whom_an_administrator_holds() -> None:
    world, client, _ = stopped("100")
    client.send(GET)
    world.plane.intermission.begin(10.0)
    world.wait(1.0)
    assert not world.dialled
    world.wait(10.0)
    assert world.open(1).take() == GET


def test_a_pause_of_everything_in_a_transaction_is_one_of_writes_for_the_leader_too() -> None:
    world = World()
    client, lease = begun(world, command("MULTI"))
    client.send(command("CLIENT", "PAUSE", "1000"))
    assert lease.take() == command("CLIENT", "PAUSE", "1000", "WRITE")
    lease.send(b"+QUEUED\r\n")
    client.send(command("EXEC"))
    lease.send(b"*1\r\n+OK\r\n")
    client.take()
    client.send(GET)
    assert not world.dialled


def test_a_pause_of_everything_ends_with_its_leader() -> None:
    world, client, _ = stopped("1000")
    client.send(GET)
    leader, one, two = world.servers
    world.follow(leader=one, replicas=(leader, two), readers=(two,), settled=True)
    world.wait(0.5)
    assert world.open(2).take() == GET
