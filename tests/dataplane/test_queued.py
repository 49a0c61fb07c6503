"""What is about the client's connection inside MULTI, each as a transcript."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.states import State
from tests.dataplane.kit import World, begun, command

GET = command("GET", "k")
SET = command("SET", "k", "v")
MULTI, EXEC, WATCH = command("MULTI"), command("EXEC"), command("WATCH", "k")


@pytest.mark.parametrize("words", [("SUBSCRIBE", "c"), ("CLIENT", "KILL", "ID", "1"), ("REPLICAOF", "NO", "ONE")])
def test_what_is_not_possible_inside_multi_aborts_it(words: tuple[str, ...]) -> None:
    client, lease = begun(World(), MULTI)
    client.send(command(*words) + EXEC)
    assert lease.take() == command("RPROXY") + EXEC
    lease.send(b"-ERR unknown command\r\n-EXECABORT no\r\n")
    reply = client.take()
    assert reply.startswith(b"-ERR rproxy: ") and b"not executed" in reply and reply.endswith(b"\r\n-EXECABORT no\r\n")
    assert (client.protocol.state, lease.open) == (State.SHARED, True)


def test_what_is_refused_in_one_packet_with_multi_is_refused_all_the_same() -> None:
    world = World()
    client = world.client()
    client.send(MULTI + command("SUBSCRIBE", "c") + EXEC)
    lease = world.open(0)
    lease.send(b"+OK\r\n")
    lease.send(b"-ERR unknown command\r\n-EXECABORT no\r\n")
    assert client.take() == b"+OK\r\n" + errors.NOT_IN_TRANSACTION + b"-EXECABORT no\r\n"


def test_local_commands_are_answered_while_watching_and_queued_in_multi() -> None:
    world = World()
    client, lease = begun(world, WATCH)
    client.send(command("CLIENT", "ID"))
    assert client.take() == b":%d\r\n" % client.protocol.id
    client.send(MULTI + command("CLIENT", "ID") + EXEC)
    assert lease.take() == MULTI
    lease.send(b"+OK\r\n")
    assert lease.take() == command("CLIENT", "ID") + EXEC
    lease.send(b"+QUEUED\r\n*1\r\n:7\r\n")
    assert client.take() == b"+OK\r\n+QUEUED\r\n*1\r\n:%d\r\n" % client.protocol.id


@pytest.mark.parametrize("nested", [MULTI, WATCH])
def test_what_a_server_refuses_inside_multi_without_ending_it_shifts_no_reply(nested: bytes) -> None:
    client, lease = begun(World(), MULTI)
    client.send(nested + command("CLIENT", "ID"))
    lease.send(b"-ERR not inside MULTI\r\n")
    client.send(SET + EXEC)
    lease.send(b"+QUEUED\r\n+QUEUED\r\n*2\r\n:7\r\n+OK\r\n")
    assert client.take() == b"-ERR not inside MULTI\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:%d\r\n+OK\r\n" % client.protocol.id


def test_a_push_among_the_replies_of_exec_shifts_none() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("PUBLISH", "c", "x") + command("CLIENT", "ID"))
    lease.send(b"+QUEUED\r\n")
    client.send(EXEC)
    lease.send(b"+QUEUED\r\n*2\r\n>1\r\n+p\r\n:1\r\n>1\r\n+p\r\n:7\r\n")
    assert client.take() == b"+QUEUED\r\n+QUEUED\r\n*2\r\n>1\r\n+p\r\n:1\r\n>1\r\n+p\r\n:%d\r\n" % client.protocol.id


def test_client_reply_inside_multi_is_refused_also_when_something_about_the_client_is_queued() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("CLIENT", "SETNAME", "n") + command("CLIENT", "REPLY", "OFF") + EXEC)
    lease.send(b"+QUEUED\r\n")
    lease.send(b"-ERR unknown command\r\n-EXECABORT no\r\n")
    assert client.take() == b"+QUEUED\r\n" + errors.NO_MULTI + b"-EXECABORT no\r\n"
    assert client.protocol.state is State.SHARED


def test_hello_and_auth_in_a_transaction_count_when_exec_runs_them() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.send(GET + command("HELLO", "3") + SET)
    lease.send(b"+QUEUED\r\n")
    assert lease.take() == GET + command("HELLO", "3") + SET
    client.send(EXEC)
    lease.send(b"+QUEUED\r\n+QUEUED\r\n*3\r\n$1\r\nv\r\n%1\r\n$2\r\nid\r\n:7\r\n+OK\r\n")
    assert client.take() == b"+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n$1\r\nv\r\n%1\r\n$2\r\nid\r\n:1\r\n+OK\r\n"
    assert (client.protocol.key.resp, client.protocol.state) == (3, State.SHARED)


def test_what_no_server_queues_is_refused_in_its_words() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("SHUTDOWN"))
    assert lease.take() == command("RPROXY")
    lease.send(b"-ERR unknown command\r\n")
    assert client.take() == errors.NO_MULTI


def test_a_lease_to_which_a_client_gave_a_name_is_not_lent_again() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("CLIENT", "SETNAME", "x") + EXEC)
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert client.protocol.state is State.SHARED
    assert not lease.open


def test_what_exec_did_not_run_changes_nothing() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("CLIENT", "SETNAME", "x") + command("HELLO", "3"))
    lease.send(b"+QUEUED\r\n")
    lease.send(b"+QUEUED\r\n")
    client.send(EXEC)
    lease.send(b"-EXECABORT no\r\n")
    assert client.take() == b"+QUEUED\r\n+QUEUED\r\n-EXECABORT no\r\n"
    assert (client.protocol.profile.name, client.protocol.key.resp) == (b"", 2)


def test_what_a_discarded_transaction_queued_is_forgotten() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("CLIENT", "SETNAME", "x"))
    lease.send(b"+QUEUED\r\n")
    client.send(command("DISCARD"))
    lease.send(b"+OK\r\n")
    assert (client.protocol.profile.name, client.protocol.state) == (b"", State.SHARED)


def test_a_name_is_the_sessions_when_the_server_took_it() -> None:
    client, lease = begun(World(), MULTI)
    client.send(SET + command("CLIENT", "SETNAME", "x") + EXEC)
    lease.send(b"+QUEUED\r\n")
    lease.send(b"+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n")
    assert client.protocol.profile.name == b"x"
