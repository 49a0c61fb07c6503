"""What is not known may change its connection, so it has one of its own."""

from __future__ import annotations

import pytest

from rproxy.dataplane.states import State
from tests.dataplane.kit import World, command

GET = command("GET", "k")
UNKNOWN = {
    "a renamed command": command("clt", "REPLY", "SKIP"),
    "a subcommand that is new": command("CLIENT", "NEWSUB", "x"),
    "a large one": command("clt", "x" * 300_000),
}


@pytest.mark.parametrize("unknown", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_command_runs_on_a_connection_that_is_closed_behind_it(unknown: bytes) -> None:
    world = World()
    client, other = world.client(), world.client()
    client.send(command("SET", "k", "v"))
    lane = world.open(0)
    lane.take()
    lane.send(b"+OK\r\n")
    client.take()
    client.send(unknown)
    alone = world.open(0)
    world.turn()
    assert (alone.take(), lane.take()) == (unknown, b"")
    other.send(command("SET", "k", "w"))
    assert lane.take() == command("SET", "k", "w")
    alone.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert (alone.open, client.protocol.state) == (False, State.SHARED)


def test_an_unknown_command_in_a_line_runs_alone_too() -> None:
    world = World()
    client = world.client()
    client.send(b"clt REPLY SKIP\r\n")
    alone = world.open(0)
    assert alone.take() == command("clt", "REPLY", "SKIP")
    alone.send(b"+OK\r\n")
    assert not alone.open


def test_a_command_that_the_server_does_not_know_leaves_its_connection_to_others() -> None:
    world = World()
    client = world.client()
    client.send(command("nosuch"))
    alone = world.open(0)
    alone.send(b"-ERR unknown command 'nosuch', with args beginning with: \r\n")
    client.take()
    client.send(command("nosuch", "again"))
    assert (alone.open, world.dialled) == (True, [])


def test_an_unknown_command_inside_a_transaction_ends_with_its_lease() -> None:
    world = World()
    client = world.client()
    transaction = command("MULTI") + command("clt", "x") + command("EXEC")
    client.send(transaction)
    lease = world.open(0)
    assert lease.take() == transaction
    lease.send(b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
    assert not lease.open


def test_while_an_unknown_command_is_under_way_no_replica_is_read() -> None:
    world = World(consistency="fresh")
    world.prove()
    client, reader = world.client(), world.client()
    client.send(command("nosuch", "k"))
    world.open(0)
    reader.send(GET)
    assert world.open(0).take() == GET


def test_subcommands_of_info_are_sections_and_no_commands() -> None:
    world = World()
    client = world.client()
    client.send(command("INFO", "server") + command("INFO", "replication"))
    assert world.open(0).take() == command("INFO", "server") + command("INFO", "replication")
