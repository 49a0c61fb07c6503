"""What rproxy tells of itself, and to whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rproxy import errors
from rproxy.dataplane.topology import Server, Topology
from tests.dataplane.kit import End, World, command

STATUS = command("RPROXY", "STATUS")
WANTS_A_PASSWORD = b"-NOAUTH HELLO must be called with the client already authenticated\r\n"


def said(client: End) -> Any:
    """The JSON of the one bulk string that the client got."""
    header, _, body = client.take().partition(b"\r\n")
    assert header.startswith(b"$") and int(header[1:]) == len(body) - 2, header
    return json.loads(body)


def away(world: World) -> None:
    """Every server is gone, and the control plane knows it."""
    world.follow(readers=(), leader_up=False)


def known(world: World) -> None:
    """The leader has a lane for clients without a password, and serves them."""
    world.client().send(command("SET", "k", "v"))
    world.open(0).take()


def status(world: World) -> Any:
    client = world.client()
    client.send(STATUS)
    return said(client)


def test_a_stranger_is_told_when_the_leader_wants_no_password() -> None:
    world = World()
    client = world.client()
    client.send(STATUS)
    assert client.take() == b""
    world.open(0)
    assert said(client)["leader"] == "server:7000"


@pytest.mark.parametrize("words", [("RPROXY", "STATUS"), ("RPROXY", "EXPLAIN", "GET", "k")])
def test_a_stranger_is_told_nothing_when_the_leader_wants_a_password(words: tuple[str, ...]) -> None:
    world = World()
    client = world.client()
    client.send(command(*words) + command("CLIENT", "ID"))
    world.open(0, hello=WANTS_A_PASSWORD)
    assert client.take() == errors.NOAUTH * 2


def test_a_stranger_is_asked_for_the_password_again_when_the_lane_has_gone() -> None:
    world = World()
    client = world.client()
    client.send(STATUS)
    lane = world.open(0, hello=WANTS_A_PASSWORD)
    lane.lose()
    client.take()
    client.send(STATUS)
    world.open(0, hello=WANTS_A_PASSWORD)
    assert client.take() == errors.NOAUTH


def test_while_the_leader_is_away_a_replica_says_whether_it_wants_a_password() -> None:
    world = World()
    world.follow(leader_up=False)
    client = world.client()
    client.send(STATUS)
    world.open(1, hello=WANTS_A_PASSWORD)
    assert client.take() == errors.NOAUTH


def test_when_every_server_is_down_the_status_is_told_at_once() -> None:
    world = World()
    away(world)
    assert status(world)["leader_up"] is False


def test_whom_the_settings_vouch_for_is_told_without_asking_a_server() -> None:
    world = World()
    leader = Server(7, "server", 7007, password="s3cret")
    world.plane.follow(Topology(leader))
    world.wait(1.0)
    assert world.plane.leader.server == leader
    client = world.client()
    client.send(STATUS)
    text = client.take()
    assert text.startswith(b"$") and b"s3cret" not in text


def test_who_has_authenticated_is_told_also_when_every_server_has_gone() -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", "s3cret"))
    question = world.open(0)
    question.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    away(world)
    client.send(STATUS)
    text = client.take()
    assert text.startswith(b"$") and b"s3cret" not in text


def test_the_answer_takes_its_place_among_the_others() -> None:
    world = World()
    known(world)
    client = world.client()
    client.send(command("GET", "k") + STATUS + command("GET", "k"))
    assert client.take() == b""
    world.open(1).send(b"+1\r\n+2\r\n")
    text = client.take()
    assert text.startswith(b"+1\r\n$") and text.endswith(b"\r\n+2\r\n")


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("RPROXY",), errors.wrong_arity(b"RPROXY")),
        (("RPROXY", "STATUS", "x"), errors.wrong_arity(b"RPROXY|STATUS")),
        (("RPROXY", "EXPLAIN"), errors.wrong_arity(b"RPROXY|EXPLAIN")),
        (("RPROXY", "stats"), b"-ERR unknown subcommand 'stats'. Try RPROXY HELP.\r\n"),
        (("RPROXY", "a\r\nb"), b"-ERR unknown subcommand 'a  b'. Try RPROXY HELP.\r\n"),
    ],
)
def test_what_it_does_not_have_is_refused_in_redis_words(words: tuple[str, ...], reply: bytes) -> None:
    client = World().client()
    client.send(command(*words))
    assert client.take() == reply


def test_help_lists_the_subcommands() -> None:
    client = World().client()
    client.send(command("rproxy", "help"))
    lines = client.take().split(b"\r\n")
    assert lines[0] == b"*%d" % (len(lines) - 2)
    assert {b"+STATUS", b"+HELP", b"+EXPLAIN <command> [<argument> ...]"} <= set(lines)


def test_the_settings_can_deny_it() -> None:
    client = World(overrides={"RPROXY": "deny"}).client()
    for word in ("STATUS", "EXPLAIN", "HELP", "other"):
        client.send(command("RPROXY", word, "x"))
        assert b"is refused by rproxy" in client.take()
