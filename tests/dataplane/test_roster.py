"""CLIENT LIST, INFO, KILL and UNBLOCK are about rproxy's own clients; the leader says who may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rproxy import errors
from rproxy.dataplane import roster
from rproxy.dataplane.clients import Peer, peer_of
from rproxy.dataplane.redirect import NOBODY
from rproxy.dataplane.session import Session
from tests.dataplane.kit import End, World, command

LIST = command("CLIENT", "LIST")
ALLOWED = b"$0\r\n\r\n"


def known(transport: Any) -> Session:
    session: Session = transport.protocol
    return session


def world_of(count: int) -> tuple[World, list[End], End]:
    """A world with clients, and the leader's urgent connection, which has been used."""
    world = World()
    world.plane.ports = replace(
        world.plane.ports, peer=lambda transport: Peer(b"1.2.3.4:%d" % (5000 + known(transport).id), b"1.1.1.1:6379", 9, 2.5)
    )
    clients = [world.client() for _ in range(count)]
    clients[0].send(command("FUNCTION", "STATS"))
    urgent = world.open(0)
    urgent.send(b"+OK\r\n")
    clients[0].take()
    urgent.take()
    return world, clients, urgent


def lines(reply: bytes) -> list[dict[str, str]]:
    body = reply.split(b"\r\n", 1)[1].removeprefix(b"txt:").decode()
    return [dict(field.split("=", 1) for field in line.split(" ")) for line in body.strip().split("\n")]


def test_every_client_is_listed_with_its_own_address_and_state() -> None:
    world, (client, other), urgent = world_of(2)
    other.send(command("CLIENT", "SETNAME", "bob") + command("CLIENT", "SETINFO", "LIB-NAME", "x") + command("MULTI"))
    client.send(LIST)
    assert urgent.take() == command("CLIENT", "LIST", "ID", str(NOBODY))
    urgent.send(ALLOWED)
    first, second = lines(client.take())
    assert (first["id"], first["addr"], first["laddr"], first["fd"], first["idle"]) == (
        "1",
        "1.2.3.4:5001",
        "1.1.1.1:6379",
        "9",
        "2",
    )
    assert (first["cmd"], first["qbuf"], first["multi"], first["flags"]) == ("client|list", "26", "-1", "N")
    assert (second["name"], second["lib-name"], second["multi"], second["flags"], second["user"]) == (
        "bob",
        "x",
        "0",
        "x",
        "default",
    )


def test_the_last_command_is_told() -> None:
    _, (client, other), urgent = world_of(2)
    other.send(command("GET", "k"))
    client.send(LIST)
    urgent.send(ALLOWED)
    assert [line["cmd"] for line in lines(client.take())] == ["client|list", "get"]


def test_in_resp3_the_list_is_text() -> None:
    world, (client,), urgent = world_of(1)
    client.send(command("HELLO", "3"))
    world.open(0)
    client.take()
    client.send(command("CLIENT", "INFO"))
    world.open(0).send(b"=7\r\ntxt:x=y\r\n")
    reply = client.take()
    assert reply.startswith(b"=")
    assert lines(reply)[0]["resp"] == "3"


def test_whom_the_leader_refuses_is_told_so() -> None:
    _, (client,), urgent = world_of(1)
    for words in (("CLIENT", "LIST"), ("CLIENT", "INFO"), ("CLIENT", "KILL", "ID", "1"), ("CLIENT", "KILL", "a:1")):
        client.send(command(*words))
        urgent.send(b"-NOPERM no\r\n")
        assert client.take() == b"-NOPERM no\r\n"
    assert client.open


def test_the_list_can_be_of_some_ids_or_of_one_type() -> None:
    _, (client, _, _), urgent = world_of(3)
    client.send(command("CLIENT", "LIST", "ID", "3", "1"))
    urgent.send(ALLOWED)
    assert [line["id"] for line in lines(client.take())] == ["1", "3"]
    client.send(command("CLIENT", "LIST", "TYPE", "pubsub"))
    urgent.send(ALLOWED)
    assert client.take() == b"$0\r\n\r\n"
    client.send(command("CLIENT", "LIST", "USER", "default", "ID", "2"))
    urgent.send(ALLOWED)
    assert [line["id"] for line in lines(client.take())] == ["2"]
    client.send(command("CLIENT", "LIST", "NOT-COLOUR", "red"))
    urgent.send(ALLOWED)
    assert client.take() == errors.UNKNOWN_FILTER


@pytest.mark.parametrize(
    ("filters", "gone"),
    [
        (("ID", "2"), [2]),
        (("ADDR", "1.2.3.4:5003"), [3]),
        (("LADDR", "1.1.1.1:6379"), [2, 3]),
        (("TYPE", "normal"), [2, 3]),
        (("TYPE", "pubsub"), []),
        (("USER", "default", "SKIPME", "no"), [1, 2, 3]),
        (("USER", "bob"), []),
        (("NAME", "three"), [3]),
        (("MAXAGE", "100"), []),
        (("DB", "0", "ID", "2"), [2]),
        (("ID", "1", "3", "SKIPME", "no"), [1, 3]),
        (("NOT-ID", "1", "3", "SKIPME", "no"), [2]),
        (("NOT-NAME", "three"), [2]),
        (("NOT-TYPE", "normal"), []),
        (("NOT-USER", "bob", "NOT-ADDR", "1.2.3.4:5003"), [2]),
        (("NOT-LADDR", "1.1.1.1:6379"), []),
        (("IP", "1.2.3.4", "NOT-LIB-NAME", "redis-py"), [2, 3]),
        (("NOT-IP", "1.2.3.4"), []),
        (("NOT-DB", "0"), []),
        (("FLAGS", "x"), [3]),
        (("FLAGS", "N"), [2]),
        (("NOT-FLAGS", "x"), [2]),
        (("IDLE", "2"), [2, 3]),
        (("IDLE", "3"), []),
        (("CAPA", "r"), []),
        (("NOT-CAPA", "r"), [2, 3]),
    ],
)
def test_clients_are_killed_by_filters(filters: tuple[str, ...], gone: list[int]) -> None:
    world, clients, urgent = world_of(3)
    clients[2].send(command("CLIENT", "SETNAME", "three") + command("MULTI"))
    clients[0].send(command("CLIENT", "KILL", *filters))
    assert urgent.take() == command("CLIENT", "KILL", *filters, "ADDR", "0:0")
    urgent.send(b":0\r\n")
    assert clients[0].take() == b":%d\r\n" % len(gone)
    assert [number for number, client in enumerate(clients, 1) if not client.open] == gone


def test_the_old_form_kills_by_address() -> None:
    world, (client, other), urgent = world_of(2)
    client.send(command("CLIENT", "KILL", "1.2.3.4:5002"))
    assert urgent.take() == command("CLIENT", "KILL", "0:0")
    urgent.send(b"-ERR No such client\r\n")
    assert (client.take(), other.open) == (b"+OK\r\n", False)
    client.send(command("CLIENT", "KILL", "1.2.3.4:9"))
    urgent.send(b"-ERR No such client\r\n")
    assert client.take() == b"-ERR No such client\r\n"


def test_a_filter_that_rproxy_does_not_know_kills_nobody() -> None:
    _, (client, other), urgent = world_of(2)
    client.send(command("CLIENT", "KILL", "COLOUR", "red"))
    urgent.send(b":0\r\n")
    assert (client.take(), other.open) == (errors.UNKNOWN_FILTER, True)


def test_a_blocked_client_is_unblocked_by_its_id_here() -> None:
    world, (client, other), urgent = world_of(2)
    other.send(command("BLPOP", "l", "0"))
    lease = world.open(0, hello=b"%1\r\n$2\r\nid\r\n:55\r\n")
    client.send(command("CLIENT", "UNBLOCK", "2", "ERROR"))
    assert urgent.take() == command("CLIENT", "UNBLOCK", "55", "ERROR")
    urgent.send(b":1\r\n")
    lease.send(b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
    assert client.take() == b":1\r\n"
    assert other.take().startswith(b"-UNBLOCKED")


def blocked(end: bytes) -> World:
    """A client was blocked until its server ended that with these words."""
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    world.open(0).send(end)
    return world


def test_a_leader_that_unblocks_clients_by_itself_is_asked_whether_it_still_leads() -> None:
    force = b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n"
    assert blocked(force).demotions


@pytest.mark.parametrize("words", [b"client unblocked via CLIENT UNBLOCK", b"the stream key no longer exists"])
def test_a_client_that_is_unblocked_for_itself_is_no_reason_to_doubt_the_leader(words: bytes) -> None:
    assert not blocked(b"-UNBLOCKED %b\r\n" % words).demotions


def test_a_client_that_is_not_blocked_is_nobody_to_the_leader() -> None:
    world, (client, _), urgent = world_of(2)
    client.send(command("CLIENT", "UNBLOCK", "2"))
    assert urgent.take() == command("CLIENT", "UNBLOCK", str(NOBODY))


@pytest.mark.parametrize("words", [("UNBLOCK", "9" * 5000), ("UNBLOCK", "x"), ("UNBLOCK", "01")])
def test_what_is_no_id_is_left_to_the_leader(words: tuple[str, ...]) -> None:
    _, (client,), urgent = world_of(1)
    client.send(command("CLIENT", *words))
    assert urgent.take() == command("CLIENT", *words)
    urgent.send(b"-ERR value is not an integer or out of range\r\n")
    assert client.take() == b"-ERR value is not an integer or out of range\r\n"


@pytest.mark.parametrize("words", [("ID", "9" * 5000), ("MAXAGE", "9" * 5000), ("IDLE", "-" + "9" * 5000), ("DB", "9" * 5000)])
def test_numbers_of_any_length_meet_nobody(words: tuple[str, ...]) -> None:
    _, (client, other), urgent = world_of(2)
    client.send(command("CLIENT", "KILL", *words))
    urgent.send(b":0\r\n")
    assert (client.take(), other.open) == (b":0\r\n", True)


def test_a_pause_of_any_length_ends() -> None:
    world, (client,), urgent = world_of(1)
    client.send(command("CLIENT", "PAUSE", str((1 << 63) - 1), "WRITE"))
    urgent.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert max(at for at, _ in world.timers) < world.now + 2 * 365 * 86400


def test_of_filters_that_are_given_again_the_last_counts_and_all_ids() -> None:
    _, (client, _, _), urgent = world_of(3)
    client.send(command("CLIENT", "LIST", "USER", "bob", "ID", "1", "USER", "default", "ID", "3"))
    urgent.send(ALLOWED)
    assert [line["id"] for line in lines(client.take())] == ["1", "3"]


@pytest.mark.parametrize("name", ["ID", "NOT-ID", "ADDR", "NOT-NAME", "MAXAGE", "FLAGS"])
def test_a_client_is_looked_at_as_often_however_many_filters_there_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, clients, urgent = world_of(3)
    looks = 0
    find, peer, flags = type(clients[0].protocol.plane.clients).find, peer_of, roster._flags

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*given: Any) -> Any:
            nonlocal looks
            looks += 1
            return call(*given)

        return looked

    monkeypatch.setattr(roster, "peer_of", counted(peer))
    monkeypatch.setattr(roster, "_flags", counted(flags))
    monkeypatch.setattr(type(clients[0].protocol.plane.clients), "find", counted(find))
    costs = []
    for count in (1, 1000):
        looks = 0
        words = [word for number in range(count) for word in (name, str(number + 10**6))]
        clients[0].send(command("CLIENT", "KILL", *words))
        urgent.send(b":0\r\n")
        costs.append(looks)
    assert costs[1] <= costs[0] + 3
