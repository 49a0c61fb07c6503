"""rproxy's own password has changed: its connections get the new one, those of clients with logins of their own don't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rproxy.dataplane.topology import Server
from tests.dataplane.kit import End, World, begun, command

GET, SET = command("GET", "k"), command("SET", "k", "v")
AUTH = command("AUTH", "u", "two")


class Changing:
    """A password that the test changes."""

    def __init__(self) -> None:
        self.password = "one"
        self.refusals: list[Server] = []

    def login(self, server: Server) -> tuple[str, str]:
        return "u", self.password

    def refused(self, server: Server) -> None:
        self.refusals.append(server)


def changing(**options: Any) -> tuple[World, Changing]:
    """A world whose servers have passwords that come from a file."""
    logins = Changing()
    world = World(0, outside={"logins": logins}, **options)
    world.servers = [replace(server, password_file="/f") for server in world.servers]
    world.follow(leader=world.servers[0])
    return world, logins


def change(world: World, logins: Changing) -> None:
    logins.password = "two"
    world.plane.reauthentication.begin()
    world.turn()


def written() -> tuple[World, Changing, End, End]:
    """A client that has written, and the lane."""
    world, logins = changing()
    client = world.client()
    client.send(SET)
    lane = world.open(0)
    lane.take()
    lane.send(b"+OK\r\n")
    client.take()
    return world, logins, client, lane


def test_a_connection_is_opened_with_the_password_of_now() -> None:
    world, logins = changing()
    logins.password = "later"
    world.client().send(SET)
    assert world.accept(0).take().startswith(command("AUTH", "u", "later"))


def test_shared_connections_authenticate_anew_and_go_on() -> None:
    world, logins, client, lane = written()
    change(world, logins)
    assert lane.take() == AUTH
    client.send(GET)
    assert lane.take() == GET
    lane.send(b"+OK\r\n$1\r\nv\r\n")
    assert client.take() == b"$1\r\nv\r\n"


def test_a_refusal_is_said_and_the_connection_stays() -> None:
    world, logins, client, lane = written()
    change(world, logins)
    lane.take()
    lane.send(b"-WRONGPASS invalid username-password pair\r\n")
    assert logins.refusals == [world.servers[0]]
    assert any("does not take the new password" in notice for notice in world.notices)
    client.send(GET)
    assert lane.take() == GET


def test_what_is_lent_is_left_alone_and_not_lent_again() -> None:
    world, logins = changing()
    client, lease = begun(world, command("MULTI"))
    change(world, logins)
    assert lease.take() == b""
    client.send(command("EXEC"))
    lease.take()
    lease.send(b"*0\r\n")
    assert not lease.open


def test_what_is_kept_for_later_is_closed() -> None:
    world, logins = changing()
    client, lease = begun(world, command("MULTI"))
    client.send(command("EXEC"))
    lease.send(b"*0\r\n")
    assert lease.open
    change(world, logins)
    assert not lease.open


def test_connections_of_clients_with_logins_of_their_own_are_left_alone() -> None:
    world, logins, client, lane = written()
    client.send(command("AUTH", "alice", "secret"))
    world.open(0).send(b"+OK\r\n")
    client.send(GET)
    own = world.open(0)
    own.take()
    own.send(b"$1\r\nv\r\n")
    change(world, logins)
    assert (lane.take(), own.take()) == (AUTH, b"")


def test_servers_with_a_password_in_the_url_are_left_alone() -> None:
    world = World(0)
    world.client().send(SET)
    lane = world.open(0)
    lane.take()
    world.plane.reauthentication.begin()
    world.turn()
    assert lane.take() == b""


def test_a_login_that_is_refused_where_a_connection_is_opened_is_told() -> None:
    world, logins = changing()
    world.client().send(SET)
    opening = world.accept(0)
    opening.take()
    opening.send(b"-WRONGPASS invalid username-password pair\r\n")
    assert logins.refusals == [world.servers[0]]
