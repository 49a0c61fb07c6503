"""Servers that leave the topology."""

from __future__ import annotations

from tests.dataplane.kit import World, command

GET, SET = command("GET", "k"), command("SET", "k", "v")


def test_what_a_server_was_asked_it_still_answers_and_is_asked_nothing_more() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    assert replica.take() == GET
    world.follow(replicas=(), readers=())
    client.send(GET)
    assert replica.take() == b"" and replica.open, "the leader is asked"
    replica.send(b"$1\r\nv\r\n")
    world.open(0).send(b"$1\r\nw\r\n")
    assert client.take() == b"$1\r\nv\r\n$1\r\nw\r\n"
    world.wait(0.2)
    assert not replica.open and not world.suspects


def test_one_that_does_not_answer_is_left_within_the_budget_and_another_is_asked() -> None:
    world = World(replicas=2, budget=0.4)
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.take()
    leader, first, second = world.servers
    world.follow(replicas=(second,), readers=(second,))
    world.wait(0.3)
    assert not replica.open
    other = world.open(2)
    assert other.take() == GET
    other.send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n"


def test_what_waits_for_a_connection_goes_elsewhere_at_once() -> None:
    world = World(replicas=2)
    client = world.client()
    client.send(GET)
    leader, first, second = world.servers
    assert [server for server, _ in world.dialled] == [first]
    world.follow(replicas=(second,), readers=(second,))
    world.open(2).send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n"


def test_what_was_known_of_it_counts_no_more_when_it_comes_back() -> None:
    world = World(replicas=1, consistency="fresh")
    world.prove()
    assert world.plane.freshness.mark(1)
    replicas = world.plane.topology.replicas
    world.follow(replicas=(), readers=())
    world.follow(replicas=replicas, readers=replicas)
    assert world.plane.freshness.mark(1) == 0


def test_a_leader_that_leaves_is_let_finish_by_the_handover() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(SET)
    last = world.open(0)
    assert last.take() == SET
    leader, replica = world.servers
    world.follow(leader=replica, replicas=(), readers=())
    client.send(SET)
    last.send(b"+OK\r\n")
    world.wait(0.1)
    assert not last.open, "it has answered"
    successor = world.open(1)
    assert successor.take() == SET
    successor.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n" * 2


def test_what_was_counted_of_it_goes_on_when_it_comes_back() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(GET)
    world.open(1).send(b"$-1\r\n")
    replicas = world.plane.topology.replicas
    world.wait(0.1)
    world.follow(replicas=(), readers=())
    world.follow(replicas=replicas, readers=replicas)
    assert world.plane.pools[replicas[0]].reads == 1
