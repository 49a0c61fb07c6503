"""One upstream connection: opening, pairing replies, and what it does with bytes that it cannot pair."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rproxy.dataplane.states import STAGES, RefusedTransition, Stage
from rproxy.dataplane.topology import Server
from tests.dataplane.kit import HELLO, End, World, command

GET = command("GET", "k")
SET = command("SET", "k", "v")


def test_the_batch_of_a_loop_pass_is_written_in_one_piece() -> None:
    world = World()
    first, second = world.client(), world.client()
    first.send(SET)
    leader = world.open(0)
    leader.take()
    first.protocol.data_received(command("SET", "a", "1"))
    second.protocol.data_received(command("SET", "b", "2"))
    assert leader.take() == b""
    world.turn()
    assert leader.take() == command("SET", "a", "1") + command("SET", "b", "2")


def test_nothing_is_sent_before_the_handshake_is_answered() -> None:
    world = World()
    world.client().send(SET)
    leader = world.accept(0)
    assert leader.take() == command("HELLO", "2")
    leader.send(HELLO[:5])
    assert leader.take() == b""
    leader.send(HELLO[5:])
    assert leader.take() == SET


def test_replies_to_two_clients_are_never_crossed_however_they_are_cut() -> None:
    world = World()
    clients = [world.client() for _ in range(3)]
    for client in clients:
        client.send(GET)
    replica = world.open(1)
    answer = b"$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n"
    for at in range(len(answer)):
        replica.send(answer[at : at + 1])
    assert [client.take() for client in clients] == [b"$1\r\n0\r\n", b"$1\r\n1\r\n", b"$1\r\n2\r\n"]


def test_a_push_on_a_lane_is_dropped() -> None:
    world = World()
    client = world.client()
    client.send(GET + GET)
    replica = world.open(1)
    replica.send(b">1\r\n+x\r\n+1\r\n>1\r\n+", b"x\r\n+2\r\n>1\r\n+x\r\n")
    assert client.take() == b"+1\r\n+2\r\n"
    assert replica.open


def test_bytes_that_nothing_asked_for_close_the_connection() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"+1\r\n+2\r\n")
    assert (client.take(), replica.open) == (b"+1\r\n", False)
    assert "nothing asked for" in world.notices[0]


def test_a_reply_that_cannot_be_understood_closes_the_connection_and_the_read_goes_elsewhere() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"@\r\n")
    assert not replica.open
    other = world.open(2)
    assert other.take() == GET
    other.send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n"


@pytest.mark.parametrize("refusal", [b"-LOADING Redis is loading\r\n", b"-MASTERDOWN Link with MASTER is down\r\n"])
def test_a_read_that_a_replica_is_not_fit_for_is_asked_of_another(refusal: bytes) -> None:
    world = World()
    client = world.client()
    client.send(GET * 3)
    replica = world.open(1)
    replica.send(b"+1\r\n" + refusal + refusal)
    assert client.take() == b"+1\r\n"
    other = world.open(2)
    assert other.take() == GET * 2
    other.send(b"+2\r\n+3\r\n")
    assert client.take() == b"+2\r\n+3\r\n"
    assert world.suspects == [world.servers[1]]


@pytest.mark.parametrize("code", [b"NOAUTH", b"NOPERM", b"WRONGPASS", b"READONLY", b"NOSCRIPT", b"ERR unknown command"])
def test_a_read_that_a_replica_refuses_is_asked_of_the_leader(code: bytes) -> None:
    world = World()
    client = world.client()
    client.send(GET)
    world.open(1).send(b"-" + code + b" no\r\n")
    leader = world.open(0)
    assert leader.take() == GET
    leader.send(b"-NOPERM no\r\n")
    assert client.take() == b"-NOPERM no\r\n"


def test_a_refusal_in_pieces_is_still_a_refusal() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    refusal = b"-LOADING Redis is loading the dataset in memory\r\n"
    for at in range(len(refusal)):
        replica.send(refusal[at : at + 1])
    assert client.take() == b""
    assert world.open(2).take() == GET


@pytest.mark.parametrize("kind", [b"+", b"-ERR ", b"-LOADING "])
def test_a_line_of_any_length_passes_and_is_held_against_nobody(kind: bytes) -> None:
    world = World()
    client, other = world.client(), world.client()
    client.send(GET)
    replica = world.open(1)
    other.send(GET)
    line = kind + b"x" * 70_000 + b"-LOADING no refusal"
    replica.send(line[: -len(b"-LOADING no refusal")])
    assert client.take() == line[: -len(b"-LOADING no refusal")], "it passes as it comes, and is not kept"
    replica.send(b"-LOADING no refusal\r\n+2\r\n")
    assert (client.take(), other.take()) == (b"-LOADING no refusal\r\n", b"+2\r\n")
    assert replica.open and not world.suspects


def test_a_long_error_to_a_write_passes() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    leader.send(b"-READONLY " + b"x" * 70_000, b"READONLY\r\n")
    assert client.take() == b"-READONLY " + b"x" * 70_000 + b"READONLY\r\n"
    assert leader.open and not world.demotions


def test_other_errors_of_a_replica_go_to_the_client_as_they_are() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    world.open(1).send(b"-WRONGTYPE Operation against a key\r\n")
    assert client.take() == b"-WRONGTYPE Operation against a key\r\n"


def test_an_error_of_the_leader_goes_to_the_client_as_it_is() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(GET)
    world.open(0).send(b"-LOADING Redis is loading\r\n")
    assert client.take() == b"-LOADING Redis is loading\r\n"


def test_reads_of_a_full_replica_go_to_the_leader_and_it_is_not_suspected() -> None:
    world = World()
    world.client().send(GET)
    replica = world.accept(1)
    replica.send(b"-ERR max number of clients reached\r\n")
    world.wait(0.1)
    assert not replica.open
    assert world.open(0).take() == GET
    assert not world.suspects


def test_a_server_that_connects_and_does_not_answer_is_given_up() -> None:
    world = World(connect=0.5)
    world.client().send(GET)
    replica = world.accept(1)
    world.wait(0.6)
    assert not replica.open
    assert world.open(2).take() == GET


def test_every_stage_has_its_transitions() -> None:
    assert set(STAGES) == set(Stage)


def test_an_illegal_stage_is_not_entered() -> None:
    world = World()
    world.client().send(GET)
    lane = world.open(1).protocol
    with pytest.raises(RefusedTransition, match="READY to DIALING"):
        lane.become(Stage.DIALING)


OTHER = command("GET", "other")


def test_a_failure_to_connect_that_is_told_of_a_ready_lane_ends_it_and_crosses_nothing() -> None:
    world = World(replicas=0)
    first, second = world.client(), world.client()
    first.send(GET)
    lane = world.open(0)
    assert lane.take() == GET
    second.protocol.data_received(OTHER)
    lane.protocol.dial_failed("no answer in time")
    world.turn()
    assert not lane.open and "RefusedTransition" in world.notices[0]
    world.wait(0.2)
    lane = world.open(0)
    replies = {GET: b"+first\r\n", OTHER: b"+second\r\n"}
    lane.send(b"".join(replies[command(*words)] for words in sent_words(lane.take())))
    assert (first.take(), second.take()) == (b"+first\r\n", b"+second\r\n")


def sent_words(data: bytes) -> list[list[bytes]]:
    return [[b"GET", key] for key in data.split(b"\r\n")[4::5]]


def test_a_second_connection_for_the_same_attempt_ends_both() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(SET)
    lane = world.open(0)
    second = End(world, lane.protocol)
    assert not lane.open and not second.open
    assert b"may or may not have been executed" in client.take()
    client.send(GET)
    assert world.open(0).take() == GET


def test_a_fault_in_the_delivery_to_one_client_ends_that_client_alone() -> None:
    world = World(replicas=0, consistency="fresh")
    first, second = world.client(), world.client()
    first.send(SET)
    lane = world.open(0)
    second.send(SET)
    lane.protocol.fifo_now()[0].slots = ["no slot"]
    lane.send(b"+OK\r\n+OK\r\n")
    assert not first.open and lane.open
    assert second.take() == b"+OK\r\n"


def test_what_a_fault_at_the_end_of_a_connection_leaves_is_answered() -> None:
    world = World(replicas=0)
    clients = [world.client() for _ in range(3)]
    for client in clients:
        client.send(SET)
    lane = world.open(0)

    def suspect(server: Server, reason: str) -> None:
        raise ValueError("a fault of the control plane")

    world.plane.ports = replace(world.plane.ports, suspect=suspect)
    lane.lose()
    assert all(b"may or may not have been executed" in client.take() for client in clients)
    assert world.plane.leader.lanes == {}
    clients[0].send(SET)
    assert world.open(0).take() == SET


def test_bytes_of_a_handshake_that_broke_off_are_not_taken_for_the_next_connections() -> None:
    world = World()
    client = world.client()
    client.send(command("SELECT", "1"))
    first = world.accept(0)
    first.send(HELLO + b"+O")
    first.lose()
    world.wait(0.2)
    world.accept(0).send(HELLO + b"+OK\r\n")
    assert client.take() == b"+OK\r\n"


def test_what_follows_a_refused_handshake_is_not_looked_at() -> None:
    world = World()
    client = world.client()
    client.send(command("SELECT", "99"))
    lane = world.accept(0)
    lane.send(HELLO + b"-ERR DB index is out of range\r\n")
    lane.send(b"-ERR more\r\n")
    assert client.take() == b"-ERR DB index is out of range\r\n"
    assert world.suspects == []


@pytest.mark.parametrize("begun", [b"-LOAD", b">2\r\n+a"])
def test_a_read_of_whose_reply_nothing_has_gone_out_is_tried_elsewhere(begun: bytes) -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(begun)
    replica.lose()
    assert world.open(2).take() == GET


def test_an_error_of_a_server_that_stops_leading_in_the_middle_of_it_goes_out_whole() -> None:
    world = World(replicas=1)
    client = world.client()
    world.follow(readers=())
    client.send(GET)
    leader = world.open(0)
    leader.send(b"-ERR foo")
    world.follow(leader=world.servers[1], replicas=(world.servers[0],), readers=(world.servers[0],))
    leader.send(b" bar")
    leader.send(b" baz\r\n")
    assert client.take() == b"-ERR foo bar baz\r\n"


def test_a_refusal_in_a_run_leaves_the_other_sessions_replies_alone_and_the_accounts_even() -> None:
    world = World(replicas=1)
    first, second = world.client(), world.client()
    first.send(GET)
    replica = world.open(1)
    replica.send(b"$-1\r\n")
    first.take(), replica.take()
    first.protocol.data_received(command("GET", "1") + command("GET", "2") + command("GET", "3"))
    second.protocol.data_received(command("GET", "4"))
    world.turn()
    replica.send(b"$1\r\n1\r\n-LOADI", b"NG x\r\n$1\r\n", b"3\r\n$1\r\n4\r\n")
    leader = world.open(0)
    assert leader.take() == command("GET", "2") + command("GET", "3")
    leader.send(b"$1\r\n2\r\n$1\r\n3\r\n")
    assert first.take() == b"$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"
    assert second.take() == b"$1\r\n4\r\n"
    session = first.protocol
    assert (session.held, session.inflight, session.inflight_bytes) == (0, 0, 0)
