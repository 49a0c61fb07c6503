"""What becomes of commands whose server does not answer, refuses, or falls silent."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane import retry
from rproxy.dataplane.pool import SILENCE, SILENT_TICKS
from rproxy.dataplane.retry import MOST_HOPS
from rproxy.dataplane.tallies import RETRIES
from tests.dataplane.kit import End, World, command

SET = command("SET", "k", "v")
GET, SECOND, THIRD = command("GET", "1"), command("GET", "2"), command("GET", "3")


def silent(*clients_send: bytes) -> tuple[World, list[End], End]:
    """Clients whose reads stand at a replica that answers nothing, for longer than a server may be silent."""
    world = World()
    clients = [world.client() for _ in clients_send]
    for client, request in zip(clients, clients_send, strict=True):
        client.protocol.data_received(request)
    world.turn()
    replica = world.open(1)
    replica.take()
    world.wait(world.plane.TICK * (SILENT_TICKS + 2))
    return world, clients, replica


def test_what_waits_behind_the_head_at_a_silent_replica_is_read_elsewhere() -> None:
    world, (first, second), _ = silent(GET, SECOND)
    other = world.open(2)
    assert other.take() == SECOND
    other.send(b"+two\r\n")
    assert (first.take(), second.take()) == (b"", b"+two\r\n")
    tallies = first.world.plane.tallies
    assert [tallies.total_of_server(server, RETRIES) for server in (1, 2)] == [1, 0], "the silent one is why"


def test_the_rest_of_a_run_goes_elsewhere_and_is_answered_behind_its_head() -> None:
    world, (client,), replica = silent(GET + SECOND + THIRD)
    other = world.open(2)
    assert other.take() == SECOND + THIRD
    other.send(b"+two\r\n+three\r\n")
    assert client.take() == b""
    replica.send(b"+one\r\n")
    assert client.take() == b"+one\r\n+two\r\n+three\r\n"
    replica.send(b"+two too late\r\n+three too late\r\n")
    assert client.take() == b"" and replica.open


def test_the_head_itself_stays_while_the_server_may_be_busy_with_it_and_is_tried_once_more_when_the_connection_is_lost() -> None:
    world, (client,), replica = silent(GET)
    assert not world.dialled
    replica.lose()
    other = world.open(2)
    assert other.take() == GET
    other.lose()
    assert client.take() == errors.READER_LOST


def test_the_head_is_read_elsewhere_once_when_the_server_is_found_away() -> None:
    world, (client,), replica = silent(GET)
    leader, one, two = world.servers
    world.follow(readers=(two,), reasons=((1, "failed"),))
    world.wait(0.1)
    other = world.open(2)
    assert other.take() == GET
    replica.send(b"+too late\r\n")
    other.send(b"+one\r\n")
    assert client.take() == b"+one\r\n"


def test_a_read_at_the_head_of_a_leader_that_is_away_goes_to_a_replica() -> None:
    world = World(consistency="leader")
    client = world.client()
    client.send(GET)
    leader = world.open(0)
    assert leader.take() == GET
    world.follow(leader_up=False, offsets=((1, 10), (2, 20)))
    world.wait(SILENCE + 0.2)
    other = world.open(2)
    assert other.take() == GET
    other.send(b"+one\r\n")
    assert client.take() == b"+one\r\n"


def test_a_replica_that_answers_again_pairs_every_reply_with_its_command() -> None:
    world, (first, second), replica = silent(GET, SECOND)
    world.open(2).send(b"+two\r\n")
    replica.send(b"+one\r\n+two again\r\n")
    assert (first.take(), second.take()) == (b"+one\r\n", b"+two\r\n")


def test_when_every_replica_is_silent_the_leader_is_read() -> None:
    world = World(consistency="eventual")
    clients = [world.client() for _ in range(3)]
    for client, dice in zip(clients, (0.0, 0.9, 0.9), strict=True):
        world.dice = dice
        client.send(GET)
    one, two = world.open(1), world.open(2)
    assert (one.take(), two.take()) == (GET, GET * 2)
    world.wait(world.plane.TICK * (SILENT_TICKS + 2))
    leader = world.open(0)
    assert leader.take() == GET, "what waited behind the head of the second one, whichever of them was looked at first"
    clients[2].send(SECOND)
    late = world.client()
    late.send(THIRD)
    assert leader.take() == SECOND + THIRD and (one.take(), two.take()) == (b"", b"")


def test_a_read_that_waits_behind_one_silent_replica_after_the_other_goes_on_to_the_leader() -> None:
    world, (first, second), _ = silent(GET, SECOND)
    third = world.client()
    third.send(THIRD)
    world.now += world.plane.TICK
    other = world.open(2)
    assert other.take() in (SECOND + THIRD, THIRD + SECOND)
    world.wait(world.plane.TICK * (SILENT_TICKS + 2))
    assert world.open(0).take() in (SECOND, THIRD)


def test_reads_sent_to_a_silent_replica_while_no_leader_answered_go_to_the_leader_when_it_is_back() -> None:
    world, (first,), replica = silent(GET)
    world.follow(readers=world.plane.topology.replicas[:1], leader_up=False)
    second = world.client()
    second.send(SECOND)
    assert replica.take() == SECOND
    world.follow(leader_up=True)
    world.wait(world.plane.TICK * 2)
    assert world.open(0).take() == SECOND


def test_while_no_leader_answers_what_waits_at_the_only_replica_stays_there() -> None:
    world = World(replicas=1)
    clients = [world.client() for _ in range(2)]
    for client in clients:
        client.protocol.data_received(GET)
    world.turn()
    replica = world.open(1)
    world.follow(leader_up=False)
    world.wait(world.plane.TICK * (SILENT_TICKS + 2))
    replica.send(b"+1\r\n+1\r\n")
    assert [client.take() for client in clients] == [b"+1\r\n"] * 2 and world.plane.retried == 0


def held_up(*clients_send: bytes) -> tuple[World, list[End], End]:
    """A lane of the leader that a write of somebody else holds up, and clients who were sent behind it."""
    world = World(replicas=0)
    clients = [world.client() for _ in (b"", *clients_send)]
    for client, request in zip(clients, (SET, *clients_send), strict=True):
        client.protocol.data_received(request)
    world.turn()
    lane = world.open(0)
    lane.take()
    world.wait(world.plane.TICK * (SILENT_TICKS + 2))
    return world, clients, lane


def test_reads_behind_what_holds_up_a_lane_of_the_leader_take_another() -> None:
    world, (writer, first, second), lane = held_up(GET + SECOND, THIRD)
    other = world.open(0)
    assert other.take() == GET + SECOND + THIRD
    other.send(b"+one\r\n+two\r\n+three\r\n")
    assert (first.take(), second.take()) == (b"+one\r\n+two\r\n", b"+three\r\n")
    first.send(SET)
    assert other.take() == SET
    lane.send(b"+OK\r\n+late\r\n+late\r\n+late\r\n")
    assert (writer.take(), first.take(), second.take()) == (b"+OK\r\n", b"", b"")


@pytest.mark.parametrize("commands", [GET + SET, SET + GET])
def test_who_has_a_write_on_a_lane_that_is_held_up_stays_there(commands: bytes) -> None:
    world, (_, client), lane = held_up(commands)
    assert not world.dialled
    lane.send(b"+OK\r\n" + b"+mine\r\n" * 2)
    assert client.take() == b"+mine\r\n" * 2


def test_whose_read_holds_a_lane_up_keeps_its_others_behind_it() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(GET + SECOND)
    lane = world.open(0)
    world.wait(world.plane.TICK * (SILENT_TICKS + 2))
    assert not world.dialled
    lane.send(b"+one\r\n+two\r\n")
    assert client.take() == b"+one\r\n+two\r\n"


def test_without_timeouts_command_the_head_waits_for_ever() -> None:
    world, (client,), replica = silent(GET)
    world.wait(60)
    assert replica.open and client.take() == b""


def test_with_timeouts_command_a_silent_connection_is_closed_after_it() -> None:
    world = World(command=2.0)
    client = world.client()
    client.send(command("SET", "k", "v"))
    leader = world.open(0)
    world.wait(2.2)
    assert not leader.open
    assert b"may or may not" in client.take()


def test_a_blocked_client_is_not_silent() -> None:
    world = World(command=2.0)
    client = world.client()
    client.send(command("BLPOP", "k", "0"))
    lease = world.open(0)
    world.wait(10)
    assert lease.open and client.take() == b""


def test_a_read_for_freshness_goes_back_to_the_leader_when_its_connection_is_lost() -> None:
    world = World(replicas=1, consistency="fresh")
    client = world.client()
    client.send(GET)
    world.open(0).lose()
    leader = world.open(0)
    assert leader.take() == GET
    leader.send(b"+1\r\n")
    assert client.take() == b"+1\r\n"


def test_a_read_that_is_tried_again_goes_only_where_it_may_be_answered() -> None:
    world = World(replicas=2, consistency="fresh")
    world.prove(1)
    client = world.client()
    client.send(GET)
    world.open(1).lose()
    assert world.open(0).take() == GET


def test_a_read_of_a_user_whom_the_replica_does_not_know_waits_for_a_leader_that_is_away() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(command("AUTH", "alice", "secret"))
    world.open(0).send(b"+OK\r\n")
    leader = world.open(0)
    client.send(GET)
    world.accept(1).send(b"-WRONGPASS no\r\n-NOAUTH no\r\n")
    assert leader.take() == GET
    leader.send(b"+one\r\n")
    leader.lose()
    world.follow(leader_up=False, offsets=((1, 10),))
    client.take()
    client.send(GET)
    world.refuse(0)
    world.wait(1)
    assert client.take() == b"" and client.open
    world.wait(1)
    assert client.take() == errors.NO_READER


def test_a_request_is_not_handed_from_server_to_server_for_ever() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    (pending,) = client.protocol.fifo
    for _ in range(MOST_HOPS):
        retry.forward(pending, world.plane.leader)
        world.turn()
    assert client.take() == b""
    retry.forward(pending, world.plane.leader)
    world.turn()
    assert client.take() == errors.TOO_MANY_HOPS
