"""Clients that wait for something to happen on a server that is lost, or leads no more."""

from __future__ import annotations

import pytest

from rproxy.dataplane.blocking import shortened
from rproxy.dataplane.states import State
from tests.dataplane.kit import World, command

FORCED = b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n"
READONLY = b"-READONLY You can't write against a read only replica.\r\n"
GOT = b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"
GET, SET = command("GET", "k"), command("SET", "k", "v")

WAITING = [
    command("BLPOP", "l", "0"),
    command("BLMOVE", "a", "b", "LEFT", "LEFT", "0"),
    command("BZPOPMIN", "z", "9"),
    command("XREAD", "BLOCK", "0", "STREAMS", "x", "$"),
    command("XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "x", ">"),
]


def change(world: World) -> None:
    """The first replica leads now."""
    leader, one, two = world.servers
    world.follow(leader=one, replicas=(leader, two), readers=(two,), settled=True)


@pytest.mark.parametrize("words", WAITING, ids=lambda words: words.split(b"\r\n")[2].decode())
def test_a_client_whose_server_is_lost_is_closed_as_the_server_would_close_it(words: bytes) -> None:
    world = World()
    client = world.client()
    client.send(words)
    world.open(0).lose()
    assert (client.take(), client.open) == (b"", False)


def test_the_replies_before_it_come_first() -> None:
    world = World()
    client = world.client()
    client.send(SET)
    client.send(command("BLPOP", "l", "0"))
    world.open(0).send(b"+OK\r\n")
    world.open(0).lose()
    assert (client.take(), client.open) == (b"+OK\r\n", False)


def test_a_client_for_whom_no_leader_comes_in_time_is_closed() -> None:
    world = World()
    client = world.client()
    world.follow(settled=False)
    client.send(command("BLPOP", "l", "0"))
    world.wait(world.plane.options.budget + 0.1)
    assert (client.take(), client.open) == (b"", False)


def test_a_command_that_nobody_knows_is_answered_with_an_error_when_it_is_lost() -> None:
    world = World()
    client = world.client()
    client.send(command("UNHEARD.OF", "k"))
    world.open(0).lose()
    assert b"may or may not have been executed" in client.take() and client.open


@pytest.mark.parametrize("end", [FORCED, READONLY])
def test_what_a_leader_has_not_run_that_leads_no_more_is_asked_of_the_next(end: bytes) -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "10") + GET)
    old = world.open(0)
    old.take()
    world.wait(4)
    old.send(end)
    assert world.demotions and client.take() == b""
    change(world)
    world.wait(0.5)
    new = world.open(1)
    assert new.take() == command("BLPOP", "l", "6.000")
    assert not old.open
    new.send(GOT)
    assert client.take() == GOT
    assert world.open(2).take() == GET


def test_an_error_that_comes_in_pieces_is_understood_too() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    old = world.open(0)
    for byte in FORCED:
        old.send(bytes([byte]))
    assert client.take() == b""
    change(world)
    world.wait(0.5)
    assert world.open(1).take() == command("BLPOP", "l", "0")


def test_one_that_was_asked_anew_a_moment_ago_shows_the_error() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    world.open(0).send(FORCED)
    world.open(0).send(READONLY)
    assert client.take() == READONLY
    assert client.protocol.state is State.SHARED


def test_one_that_has_waited_since_is_asked_anew_once_more() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    world.open(0).send(FORCED)
    again = world.open(0)
    world.wait(2)
    again.send(FORCED)
    assert client.take() == b""
    assert world.open(0).take() == command("BLPOP", "l", "0")


@pytest.mark.parametrize("before", [command("WATCH", "k"), command("CLIENT", "NO-EVICT", "ON")], ids=["WATCH", "attached"])
def test_a_client_with_more_on_its_server_than_this_command_gets_the_error(before: bytes) -> None:
    world = World()
    client = world.client()
    client.send(before)
    lease = world.open(0)
    lease.send(b"+OK\r\n")
    client.send(command("BLPOP", "l", "0"))
    lease.send(FORCED)
    assert client.take() == b"+OK\r\n" + FORCED


def test_wait_asks_about_writes_of_the_last_leader_and_of_no_other() -> None:
    world = World()
    client = world.client()
    client.send(command("WAIT", "1", "0"))
    lease = world.open(0)
    lease.send(b":0\r\n")
    lease.send(FORCED)
    assert client.take() == FORCED


def test_a_client_that_leaves_before_it_is_asked_anew_waits_no_more() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    world.open(0).send(FORCED)
    client.lose()
    change(world)
    world.wait(0.5)
    assert all(server is not world.servers[1] for server, _ in world.dialled)


@pytest.mark.parametrize(
    ("words", "waited", "then"),
    [
        (("BRPOP", "a", "b", "5"), 1.5, ("BRPOP", "a", "b", "3.500")),
        (("BLPOP", "l", "0"), 9.0, ("BLPOP", "l", "0")),
        (("BLPOP", "l", "0.5"), 9.0, ("BLPOP", "l", "0.001")),
        (("BLPOP", "l", "x"), 9.0, ("BLPOP", "l", "x")),
        (("blmpop", "5", "1", "l", "LEFT"), 1.0, ("blmpop", "4.000", "1", "l", "LEFT")),
        (("BZMPOP", "5", "1", "z", "MIN"), 1.0, ("BZMPOP", "4.000", "1", "z", "MIN")),
        (("XREAD", "COUNT", "2", "block", "5000", "STREAMS", "BLOCK", "$"), 1.0, ("XREAD", "COUNT", "2", "block", "4000", "STREAMS", "BLOCK", "$")),
        (("XREADGROUP", "GROUP", "g", "c", "BLOCK", "5", "STREAMS", "x", ">"), 1.0, ("XREADGROUP", "GROUP", "g", "c", "BLOCK", "1", "STREAMS", "x", ">")),
        (("XREAD", "STREAMS", "x", "0"), 1.0, ("XREAD", "STREAMS", "x", "0")),
    ],
)  # fmt: skip
def test_what_is_asked_anew_waits_for_what_is_left_of_its_time_out(
    words: tuple[str, ...], waited: float, then: tuple[str, ...]
) -> None:
    assert shortened(command(*words), waited) == command(*then)


def test_a_lost_write_is_an_error_or_the_end_of_the_connection_as_the_settings_say() -> None:
    for how, expected in (("error", True), ("close", False)):
        world = World(lost_writes=how)
        client = world.client()
        client.send(SET + SET)
        world.open(0).lose()
        assert (b"may or may not have been executed" in client.take(), client.open) == (expected, expected)


def test_a_transaction_whose_end_was_on_its_way_is_a_lost_write() -> None:
    world = World(lost_writes="close")
    client = world.client()
    client.send(command("MULTI"))
    lease = world.open(0)
    lease.send(b"+OK\r\n")
    client.send(SET + command("EXEC"))
    lease.send(b"+QUEUED\r\n")
    lease.lose()
    assert (client.take(), client.open) == (b"+OK\r\n+QUEUED\r\n", False)


def test_a_write_that_was_not_sent_is_answered_with_an_error_in_any_case() -> None:
    world = World(lost_writes="close")
    client = world.client()
    world.follow(settled=False)
    client.send(SET)
    world.wait(world.plane.options.budget + 0.1)
    assert b"not executed" in client.take() and client.open


def test_a_read_is_answered_elsewhere_in_any_case() -> None:
    world = World(lost_writes="close")
    client = world.client()
    client.send(GET)
    world.open(1).lose()
    assert client.open and world.open(2).take() == GET
