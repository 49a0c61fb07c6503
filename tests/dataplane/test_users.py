"""A password that is changed and a user that is deleted mean for sessions what they mean for connections on a server."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.users import newest_password
from tests.dataplane.kit import End, World, command

WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
GET = command("GET", "k")


def log_in(world: World, client: End, *words: str) -> None:
    """The leader takes the login of this client, and the lane on which it was asked is closed."""
    client.send(command("AUTH", *words))
    checks = world.open(0)
    checks.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    world.plane.leader.lanes[checks.protocol.key].close()
    world.turn()


def authenticated(world: World, user: str = "bob", password: str = "old") -> tuple[End, End]:
    """A client who has authenticated, and the lane to the leader that was opened for that."""
    client = world.client()
    log_in(world, client, user, password)
    return client, world.open(0)


def dialled(world: World) -> list[int]:
    return [server.index for server, _ in world.dialled]


@pytest.mark.parametrize(
    ("rules", "password"),
    [
        ("on >one ~* +@all", "one"), (">one >two", "two"), (">one resetpass", ""), (">one reset >two", "two"), (">one <one", ""),
        (">one <two", "one"), ("nopass", ""), ("#abc", ""), ("resetpass >new", "new"),
    ],
)  # fmt: skip
def test_the_newest_password_is_the_last_that_stays(rules: str, password: str) -> None:
    assert newest_password(rules.encode().split()) == password.encode()


def test_a_users_lane_is_opened_with_its_first_session_and_kept_as_long_as_there_is_one() -> None:
    world = World()
    client, lane = authenticated(world)
    world.wait(1000)
    assert lane.open
    client.lose()
    world.wait(200)
    assert not lane.open


def test_lanes_of_sessions_without_a_user_idle_out_as_ever() -> None:
    world = World()
    client = world.client()
    client.send(command("SET", "k", "v"))
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    world.wait(200)
    assert not leader.open and client.open


def test_sessions_of_a_user_whom_the_leader_knows_no_more_are_closed() -> None:
    world = World()
    client, lane = authenticated(world)
    other, other_lane = authenticated(world, "alice")
    lane.lose()
    world.accept(0).send(WRONGPASS)
    assert (client.open, other.open, other_lane.open) == (False, True, True)


def test_sessions_stay_when_a_lane_is_lost_and_the_leader_takes_the_user_again() -> None:
    world = World()
    client, lane = authenticated(world)
    lane.lose()
    lane = world.open(0)
    client.send(command("SET", "k", "v"))
    assert client.open and lane.take() == command("SET", "k", "v")


def test_what_is_in_flight_is_answered_before_the_session_ends() -> None:
    world = World()
    client, lane = authenticated(world)
    client.send(GET + command("SET", "k", "v"))
    lane.lose()
    world.accept(0).send(WRONGPASS)
    assert client.open and client.take() == b""
    world.open(1).send(b"+v\r\n")
    assert client.take().startswith(b"+v\r\n-ERR rproxy: connection to the leader lost")
    assert not client.open


def test_a_lane_that_a_replica_closes_is_asked_of_the_leader() -> None:
    world = World()
    client, lane = authenticated(world)
    client.send(GET)
    replica = world.open(1)
    replica.send(b"+v\r\n")
    replica.lose()
    assert dialled(world) == [] and client.open  # the leader's lane stands
    lane.lose()
    assert dialled(world) == [0]


def test_while_the_leader_is_away_nobody_is_closed() -> None:
    world = World()
    client, lane = authenticated(world)
    world.follow(leader_up=False)
    lane.lose()
    world.refuse(0)
    world.wait(3.0)
    assert client.open and dialled(world) == []


def test_a_lease_that_is_refused_closes_nobody_while_the_lane_stands() -> None:
    world = World()
    client, lane = authenticated(world)
    client.send(command("MULTI"))
    world.accept(0).send(WRONGPASS)
    assert client.open and lane.open
    assert client.take() == WRONGPASS


def test_a_user_who_was_refused_and_is_taken_again_waits_for_nothing() -> None:
    world = World()
    client, lane = authenticated(world)
    lane.lose()
    world.accept(0).send(WRONGPASS)
    client, lane = authenticated(world)
    client.send(command("SET", "k", "v"))
    assert lane.take() == command("SET", "k", "v")


def test_a_lane_beside_a_stalled_one_may_be_refused_and_nobody_is_closed() -> None:
    world = World()
    client, lane = authenticated(world)
    other = world.client()
    log_in(world, other, "bob", "old")
    client.send(command("SET", "k", "v"))
    world.wait(0.2)
    other.send(command("SET", "k", "w"))
    world.accept(0).send(WRONGPASS)
    assert other.take() == WRONGPASS
    lane.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n" and client.open and other.open


def test_a_new_password_opens_the_next_connections_of_those_who_had_the_last_one() -> None:
    world = World(replicas=1)
    client, _ = authenticated(world)
    admin, admin_lane = authenticated(world, "admin")
    admin.send(command("ACL", "SETUSER", "bob", "resetpass", ">new"))
    admin_lane.send(b"+OK\r\n")
    assert world.accept(1).take().startswith(command("AUTH", "admin", "old"))
    client.send(command("MULTI"))
    assert world.accept(0).take().startswith(command("AUTH", "bob", "new"))


def test_a_refused_change_changes_nothing() -> None:
    world = World(replicas=0)
    client, _ = authenticated(world)
    admin, admin_lane = authenticated(world, "admin")
    admin.send(command("ACL", "SETUSER", "bob", ">new", "nonsense") + command("ACL", "DELUSER", "bob"))
    admin_lane.send(b"-ERR Error in ACL SETUSER modifier 'nonsense'\r\n")
    admin_lane.send(b"-NOPERM no\r\n")
    client.send(command("MULTI"))
    assert client.open and world.accept(0).take().startswith(command("AUTH", "bob", "old"))


def test_the_next_connections_of_a_default_user_are_opened_as_one_that_needs_no_password_takes_it() -> None:
    world = World()
    client = world.client()
    log_in(world, client, "secret")
    assert world.accept(0).take().startswith(command("AUTH", "default", "secret"))


def test_the_sessions_of_a_deleted_user_are_closed_with_its_connections() -> None:
    world = World(replicas=1)
    bob, bobs_lane = authenticated(world)
    bob.send(GET)
    bobs_replica = world.open(1)
    bobs_replica.send(b"+v\r\n")
    admin, admin_lane = authenticated(world, "admin")
    admin.send(command("ACL", "DELUSER", "bob", "nobody"))
    admin_lane.send(b":1\r\n")
    replica = world.open(1)
    assert replica.take() == command("ACL", "DELUSER", "bob", "nobody")
    replica.send(b":1\r\n")
    assert admin.take() == b":1\r\n" and admin.open
    assert (bob.open, bobs_lane.open, bobs_replica.open) == (False, False, False)
    assert world.suspects == []


def test_who_deletes_himself_has_his_reply_and_is_closed() -> None:
    world = World(replicas=1)
    bob, lane = authenticated(world)
    bob.send(command("ACL", "DELUSER", "bob"))
    lane.send(b":1\r\n")
    lane.lose()
    replica = world.open(1)
    assert replica.take() == command("ACL", "DELUSER", "bob")
    replica.send(b":1\r\n")
    assert bob.take() == b":1\r\n" and not bob.open


@pytest.mark.parametrize("words", [("CLIENT", "ID"), ("CLIENT", "SETNAME", "me"), ("RPROXY", "HELP")])
def test_the_very_first_client_is_answered_when_the_leader_has_said_whether_it_wants_a_password(words: tuple[str, ...]) -> None:
    world = World()
    world.plane.unlocked = False  # as in a fresh rproxy
    client = world.client()
    client.send(command(*words))
    assert client.take() == b""
    world.open(0, hello=b"-NOAUTH HELLO must be called with the client already authenticated\r\n")
    assert client.take() == errors.NOAUTH


def test_where_no_password_is_wanted_only_the_first_client_waits_for_the_leader_to_say_so() -> None:
    world = World()
    world.plane.unlocked = False
    first, second = world.client(), world.client()
    first.send(command("CLIENT", "ID"))
    leader = world.open(0)
    assert first.take() == b":1\r\n"
    leader.lose()
    second.send(command("CLIENT", "ID"))
    assert second.take() == b":2\r\n"
    assert not world.dialled


def test_the_first_client_is_answered_also_where_no_server_is_there_to_ask() -> None:
    world = World(replicas=0)
    world.plane.unlocked = False
    world.follow(leader_up=False)
    client = world.client()
    client.send(command("CLIENT", "ID"))
    assert client.take() == b":1\r\n"
