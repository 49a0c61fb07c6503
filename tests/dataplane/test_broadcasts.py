"""What does not replicate reaches every server all the same, and the leader's reply is the client's."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane import broadcasts
from tests.dataplane.kit import End, World, begun, command

LOAD, FLUSH, EXEC = command("SCRIPT", "LOAD", "return 1"), command("SCRIPT", "FLUSH"), command("EXEC")
SHA = b"$3\r\nabc\r\n"


def led(request: bytes = LOAD, reply: bytes = SHA) -> tuple[World, End, End]:
    """A client whose command the leader has answered."""
    world = World()
    client = world.client()
    client.send(request)
    leader = world.open(0)
    assert leader.take() == request
    assert not world.dialled
    leader.send(reply)
    return world, client, leader


@pytest.mark.parametrize("request_", [LOAD, FLUSH, command("script", "load", "x")])
def test_every_server_gets_it_before_the_client_has_the_leaders_reply(request_: bytes) -> None:
    world, client, _ = led(request_)
    for index in (1, 2):
        replica = world.open(index)
        assert (replica.take(), client.take()) == (request_, b"")
        replica.send(b"$5\r\nother\r\n")
    assert client.take() == SHA


def test_what_the_leader_refuses_goes_to_nobody_else() -> None:
    world, client, _ = led(reply=b"-ERR Error compiling script\r\n")
    assert client.take() == b"-ERR Error compiling script\r\n"
    assert not world.dialled


def test_with_one_server_it_is_a_command_like_others() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(LOAD + command("SET", "k", "v"))
    leader = world.open(0)
    assert leader.take() == LOAD + command("SET", "k", "v")
    leader.send(SHA + b"+OK\r\n")
    assert client.take() == SHA + b"+OK\r\n"


@pytest.mark.parametrize("before", [b"", command("GET", "k")])
def test_a_script_that_was_asked_for_before_is_not_found_because_it_is_loaded_behind(before: bytes) -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(before + command("EVALSHA_RO", "abc", "0") + LOAD)
    replica = world.open(1)
    assert not world.dialled
    replica.send(b"$-1\r\n" * bool(before) + b"-NOSCRIPT No matching script.\r\n")
    client.take()
    leader = world.open(0)
    assert leader.take() == command("EVALSHA_RO", "abc", "0")
    leader.send(b"-NOSCRIPT No matching script.\r\n")
    assert client.take() == b"-NOSCRIPT No matching script.\r\n"
    assert leader.take() == LOAD


def test_the_sessions_next_commands_wait_until_every_server_has_it() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(command("GET", "a") + LOAD + command("EVALSHA_RO", "abc", "0"))
    replica = world.open(1)
    leader = world.open(0)
    assert (leader.take(), replica.take()) == (LOAD, command("GET", "a"))
    leader.send(SHA)
    replica.send(b"+a\r\n")
    assert (replica.take(), client.take()) == (LOAD, b"+a\r\n")
    replica.send(SHA)
    assert (replica.take(), client.take()) == (command("EVALSHA_RO", "abc", "0"), SHA)


@pytest.mark.parametrize("state", [command("WATCH", "k"), command("CLIENT", "NO-EVICT", "ON")])
def test_it_reaches_every_server_from_a_connection_that_has_a_lease_too(state: bytes) -> None:
    world = World(replicas=1)
    client, lease = begun(world, state)
    client.send(LOAD)
    world.open(0).send(SHA)
    world.open(1).send(SHA)
    assert (client.take(), lease.take()) == (SHA, b"")
    client.send(command("SET", "k", "v"))
    assert lease.take() == command("SET", "k", "v")


@pytest.mark.parametrize("words", [("ACL", "SETUSER", "bob", "off"), ("SCRIPT", "FLUSH"), ("acl", "deluser", "bob")])
def test_what_exec_has_run_goes_to_the_other_servers(words: tuple[str, ...]) -> None:
    world = World(replicas=1)
    client, lease = begun(world, command("MULTI"))
    client.send(command(*words) + EXEC)
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert client.take() == b"+QUEUED\r\n*1\r\n+OK\r\n"
    assert world.open(1).take() == command(*words)


@pytest.mark.parametrize("reply", [b"*1\r\n-NOPERM no\r\n", b"*-1\r\n", b"-EXECABORT no\r\n"])
def test_what_exec_has_not_run_goes_to_nobody_else(reply: bytes) -> None:
    world = World(replicas=1)
    client, lease = begun(world, command("MULTI"))
    client.send(command("ACL", "SETUSER", "bob", "off") + EXEC)
    lease.send(b"+QUEUED\r\n" + reply)
    assert client.take() == b"+QUEUED\r\n" + reply
    assert not world.dialled


def test_a_replica_is_not_read_before_it_has_what_exec_has_run() -> None:
    world = World(replicas=1)
    client, lease = begun(world, command("MULTI"))
    client.send(command("SCRIPT", "FLUSH") + EXEC)
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    client.take()
    client.send(command("GET", "k"))
    leader, replica = world.open(0), world.open(1)
    assert (leader.take(), replica.take()) == (command("GET", "k"), command("SCRIPT", "FLUSH"))
    leader.send(b"$-1\r\n")
    replica.send(b"+OK\r\n")
    client.send(command("GET", "k"))
    assert replica.take() == command("GET", "k")


def test_a_script_that_exec_has_loaded_is_not_owed_because_the_leader_is_asked_for_it() -> None:
    world = World(replicas=1)
    client, lease = begun(world, command("MULTI"))
    client.send(LOAD + EXEC)
    assert lease.take() == LOAD + EXEC
    lease.send(b"+QUEUED\r\n*1\r\n" + SHA)
    assert client.take() == b"+QUEUED\r\n*1\r\n" + SHA
    client.send(command("GET", "k"))
    assert world.open(1).take() == command("GET", "k")


def test_it_goes_on_when_its_client_has_gone() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(FLUSH)
    leader = world.open(0)
    client.lose()
    leader.send(b"+OK\r\n")
    assert world.open(1).take() == FLUSH


def test_a_leader_that_cannot_be_had_is_an_error_and_nobody_else_gets_it() -> None:
    world = World()
    client = world.client()
    client.send(LOAD)
    for _ in range(40):
        world.refuse(0)
        world.wait(0.05)
    assert client.take() == errors.NO_LEADER
    assert not [server for server, _ in world.dialled if server.index]


@pytest.mark.parametrize("index", [0, 1])
def test_a_server_that_is_lost_in_the_middle_of_its_reply_closes_no_client(index: int) -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(FLUSH)
    leader = world.open(0)
    if index:
        leader.send(b"+OK\r\n")
    end = world.open(1) if index else leader
    end.send(b"+O")
    end.lose()
    assert client.take() == (b"+OK\r\n" if index else errors.LEADER_LOST) and client.open
    assert world.plane.broadcasts.owes(world.plane.pools[world.servers[1]]) is bool(index)


def test_a_replica_that_answers_nothing_keeps_the_client_waiting_no_longer_than_the_budget() -> None:
    world, client, _ = led(FLUSH, b"+OK\r\n")
    world.open(1).send(b"+OK\r\n")
    world.open(2).take()
    world.wait(1.6)
    assert client.take() == b"+OK\r\n"


def test_a_replica_that_could_not_get_it_is_not_read_until_it_has() -> None:
    world, client, _ = led(FLUSH, b"+OK\r\n")
    one = world.open(1)
    one.send(b"+OK\r\n")
    one.take()
    two = world.open(2)
    two.take()
    two.lose()
    world.refuse(2)
    world.wait(0.1)
    assert client.take() == b"+OK\r\n"
    client.send(command("RPROXY", "STATUS"))
    assert b"it lacks a command that the other servers have had" in client.take()
    world.dice = 0.99
    client.send(command("GET", "k"))
    assert one.take() == command("GET", "k")
    one.send(b"+v\r\n")
    world.wait(broadcasts.RETRY)
    two = world.open(2)
    assert two.take() == FLUSH
    two.send(b"+OK\r\n")
    client.send(command("GET", "k"))
    assert two.take() == command("GET", "k")


def test_a_replica_that_is_away_gets_all_that_it_is_owed_in_order_when_it_is_back() -> None:
    world = World(replicas=1)
    (leader_server, one) = world.servers
    world.follow(readers=())
    client = world.client()
    asked = [command("SCRIPT", "FLUSH", "SYNC"), command("SCRIPT", "FLUSH", "ASYNC")]
    client.send(asked[0])
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    client.send(asked[1])
    leader.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n+OK\r\n"
    world.wait(3.0)
    assert not world.dialled
    world.follow(readers=(one,))
    world.wait(broadcasts.RETRY)
    replica = world.open(1)
    assert replica.take() == asked[0]
    replica.send(b"-LOADING Redis is loading\r\n")
    world.wait(broadcasts.RETRY)
    assert replica.take() == asked[0]
    replica.send(b"+OK\r\n")
    assert replica.take() == asked[1]
    assert world.plane.readers == []
    replica.send(b"+OK\r\n")
    assert [pool.server for pool in world.plane.readers] == [one]


def test_a_frozen_replica_is_given_what_it_is_owed_once() -> None:
    world, client, _ = led(FLUSH, b"+OK\r\n")
    world.open(1).send(b"+OK\r\n")
    two = world.open(2)
    world.wait(30)
    assert client.take() == b"+OK\r\n"
    assert two.take() == FLUSH * 2
    two.send(b"+OK\r\n+OK\r\n")
    assert not world.plane.broadcasts.owes(world.plane.pools[world.servers[2]])


def test_a_script_that_a_server_lacks_is_not_owed_because_the_leader_is_asked_then() -> None:
    world = World(replicas=1)
    world.follow(readers=())
    client = world.client()
    client.send(LOAD)
    world.open(0).send(SHA)
    assert client.take() == SHA
    world.wait(3.0)
    assert not world.dialled


def test_a_server_that_refuses_what_the_leader_took_is_in_the_log() -> None:
    world, client, _ = led()
    world.open(1).send(b"-NOPERM no\r\n")
    world.open(2).send(SHA)
    assert client.take() == SHA
    assert world.notices == ["server:7001 did not get SCRIPT LOAD: NOPERM"]


def test_what_is_owed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "MOST_OWED", 2)
    world = World(replicas=1)
    world.follow(readers=())
    client = world.client()
    client.send(FLUSH)
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    for _ in range(2):
        client.send(FLUSH)
        leader.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n" * 3
    assert world.notices == ["server:7001 did not get SCRIPT FLUSH: it has been away for too long"]


def test_a_command_for_every_server_waits_for_the_reads_before_it() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(command("EVALSHA_RO", "abc", "0") + command("SCRIPT", "FLUSH"))
    replica = world.open(1)
    assert not world.dialled
    replica.send(b"-NOSCRIPT No matching script.\r\n")
    leader = world.open(0)
    assert leader.take() == command("EVALSHA_RO", "abc", "0")
    leader.send(b":1\r\n")
    assert leader.take() == command("SCRIPT", "FLUSH")
