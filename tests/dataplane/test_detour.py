"""A lane that is held up: who has something in flight there stays, the others go on by another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.detour import LONG_REPLY, MOST_STALLED
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.upstream import WrongConnection
from tests.dataplane.kit import HELLO, End, World, command

SET = command("SET", "k", "v")
SLOW = command("DEBUG", "SLEEP", "1")
SCRIPT = command("EVAL", "return 1", "0")
GET = command("GET", "k")


def held_up() -> tuple[World, End, End]:
    """A client whose command has held up its lane."""
    world = World(replicas=0)
    client = world.client()
    client.send(SLOW)
    lane = world.open(0)
    assert lane.take() == SLOW
    world.wait(Plane.TICK * 3)
    return world, client, lane


def test_others_go_on_by_another_lane() -> None:
    world, _, _ = held_up()
    other = world.client()
    other.send(SET)
    world.open(0).send(b"+OK\r\n")
    assert other.take() == b"+OK\r\n"


def test_who_waits_there_stays_there_until_it_is_answered() -> None:
    world, client, lane = held_up()
    client.send(SET)
    assert lane.take() == SET
    lane.send(b":1\r\n+OK\r\n")
    assert client.take() == b":1\r\n+OK\r\n"
    client.send(SET)
    assert lane.take() == b""
    assert world.open(0).take() == SET


def test_it_is_the_usual_one_again_when_nothing_waits_there_any_more() -> None:
    world, client, lane = held_up()
    lane.send(b":1\r\n")
    world.wait(Plane.TICK * 3)
    assert client.protocol.ties is None and not world.plane.leader.stalled
    client.send(SET)
    assert lane.take() == SET


def test_it_is_closed_then_if_another_has_become_the_usual_one() -> None:
    world, _, lane = held_up()
    world.client().send(SET)
    other = world.open(0)
    lane.send(b":1\r\n")
    world.wait(Plane.TICK * 3)
    assert not lane.open and other.open
    assert not world.suspects


def test_a_write_that_is_held_up_is_still_the_oldest() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(SET)
    world.open(0)
    sent = world.plane.oldest_write()
    world.wait(Plane.TICK * 3)
    world.client().send(SET)
    assert world.plane.oldest_write() == sent


def test_so_many_lanes_and_no_more() -> None:
    world, _, _ = held_up()
    for _ in range(MOST_STALLED):
        world.client().send(SLOW)
        world.open(0)
        world.wait(Plane.TICK * 3)
    world.client().send(SLOW)
    assert not world.dialled


def test_a_busy_server_that_selects_no_database_says_so_and_is_asked_again_at_once() -> None:
    world = World(replicas=0)
    client = world.client()
    client.protocol.use(world.plane.keys.first(9))
    client.send(SET)
    lane = world.accept(0)
    lane.send(b"%1\r\n$2\r\nid\r\n:7\r\n-BUSY a script\r\n")
    assert client.take() == b"-BUSY a script\r\n"
    world.wait(Plane.TICK)
    client.send(SET)
    world.open(0).send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"


def test_nobody_waits_behind_anothers_script() -> None:
    world = World(replicas=0)
    busy, other = world.client(), world.client()
    busy.send(SCRIPT)
    scripts = world.open(0)
    assert scripts.take() == SCRIPT
    other.send(SET)
    world.open(0).send(b"+OK\r\n")
    assert other.take() == b"+OK\r\n"


def test_ones_own_commands_stay_behind_ones_script_and_a_script_behind_them() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(SCRIPT + SET)
    scripts = world.open(0)
    assert scripts.take() == SCRIPT + SET
    scripts.send(b":1\r\n+OK\r\n")
    client.send(SET + SCRIPT)
    lane = world.open(0)
    assert (lane.take(), scripts.take()) == (SET, b"")
    lane.send(b"+OK\r\n")
    assert scripts.take() == SCRIPT


def test_scripts_share_their_lane() -> None:
    world = World(replicas=0)
    clients = [world.client(), world.client()]
    for client in clients:
        client.send(SCRIPT)
    scripts = world.open(0)
    assert scripts.take() == SCRIPT * 2
    scripts.send(b":1\r\n:2\r\n")
    assert [client.take() for client in clients] == [b":1\r\n", b":2\r\n"]
    assert [client.protocol.ties for client in clients] == [None, None]


def long_reply_begins(*pieces: bytes) -> tuple[World, End, End]:
    """A client whose reply begins with these pieces, which are not all of it, and the lane on which it comes."""
    world = World(replicas=1)
    client = world.client()
    client.send(GET)
    lane = world.open(1)
    assert lane.take() == GET
    lane.send(*pieces)
    return world, client, lane


def test_nobody_waits_behind_anothers_long_reply() -> None:
    world, client, lane = long_reply_begins(b"$%d\r\nfirst" % LONG_REPLY)
    other = world.client()
    other.send(GET)
    assert lane.take() == b""
    world.open(1).send(b"$5\r\nshort\r\n")
    assert other.take() == b"$5\r\nshort\r\n"
    lane.send(bytes(LONG_REPLY - 5) + b"\r\n")
    assert len(client.take()) == LONG_REPLY + len(b"$%d\r\n\r\n" % LONG_REPLY)


def test_ones_own_commands_stay_behind_ones_long_reply() -> None:
    world, client, lane = long_reply_begins(b"$%d\r\nfirst" % LONG_REPLY)
    client.send(GET)
    assert lane.take() == GET
    assert not world.dialled


def test_what_is_about_to_leave_there_keeps_its_place_before_what_follows() -> None:
    world = World(replicas=0)
    client, other = world.client(), world.client()
    client.send(GET)
    lane = world.open(0)
    lane.take()
    other.protocol.data_received(SET)
    lane.protocol.data_received(b"$%d\r\nfirst" % LONG_REPLY)
    world.turn()
    other.send(SET)
    assert lane.take() == SET + SET
    assert not world.dialled


def test_a_reply_of_many_values_is_long_when_so_much_of_it_has_come() -> None:
    value = b"$1000\r\n" + bytes(1000) + b"\r\n"
    half = LONG_REPLY // len(value) // 2 + 1
    world, _, lane = long_reply_begins(b"*100000\r\n" + value * half)
    world.client().send(GET)
    assert lane.take() == GET
    lane.send(value * half)
    world.client().send(GET)
    assert lane.take() == b"" and world.dialled


def test_replies_that_are_long_only_together_hold_nobody_up() -> None:
    world, client, lane = long_reply_begins(b"$100000\r\nfirst")
    for _ in range(LONG_REPLY // 100000 + 1):
        client.send(GET)
        lane.send(bytes(100000 - 5) + b"\r\n$100000\r\nfirst")
    lane.take()
    world.client().send(GET)
    assert lane.take() == GET


def test_many_long_replies_one_after_the_other_take_one_lane() -> None:
    world, client, lane = long_reply_begins(b"$%d\r\nfirst" % LONG_REPLY)
    for _ in range(3):
        lane.send(bytes(LONG_REPLY - 5) + b"\r\n")
        world.wait(Plane.TICK * 3)
        client.send(GET)
        lane.send(b"$%d\r\nfirst" % LONG_REPLY)
    assert lane.open and not world.dialled


AUTH = command("AUTH", "bob", "x")
SELECTED = {
    "another database": command("SELECT", "1"),
    "another user": AUTH,
    "another version of the protocol": command("HELLO", "3"),
}


def answer_all(world: World, end: End) -> bytes:
    """Say yes to all that this connection was sent; what that was."""
    sent = end.take()
    end.send(b"".join(HELLO if b"HELLO" in part else b"+OK\r\n" for part in sent.split(b"*")[1:]))
    return sent


@pytest.mark.parametrize("change", SELECTED.values(), ids=SELECTED.keys())
def test_what_a_client_sends_as_somebody_else_does_not_follow_its_script(change: bytes) -> None:
    world = World()
    client = world.client()
    client.send(SCRIPT + change + GET + SET)
    scripts = world.open(0)
    assert scripts.take() == SCRIPT
    scripts.send(b":1\r\n")
    ends: list[End] = []
    sent = b""
    while SET not in sent:
        ends += [world.accept(server.index) for server, _ in list(world.dialled)]
        now = b"".join(answer_all(world, end) for end in ends)
        assert now or world.dialled, sent
        assert scripts.take() == b""
        sent += now


@given(st.integers(0, 2), st.integers(0, 2))
def test_no_connection_takes_a_request_of_another_key(mine: int, other: int) -> None:
    world = World(replicas=0)
    client = world.client()
    client.protocol.use(world.plane.keys.first(mine))
    lane = world.plane.leader.lane(world.plane.keys.first(other))
    request = Pending(client.protocol, 1, SET, False)
    if mine == other:
        lane.send(request)
        assert lane.batch == [request]
    else:
        with pytest.raises(WrongConnection):
            lane.send(request)
        assert lane.batch == []
