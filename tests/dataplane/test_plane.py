"""What sessions share: topology, marks, the clock."""

from __future__ import annotations

from rproxy.dataplane.pool import TRIED
from tests.dataplane.kit import World, command

GET = command("GET", "k")


def test_a_new_topology_is_followed_by_the_next_command() -> None:
    world = World()
    client = world.client()
    leader, first, second = world.servers
    world.follow(leader=first, replicas=(leader, second), readers=(second,))
    client.send(command("SET", "k", "v") + GET)
    assert sorted(server.index for server, _ in world.dialled) == [1, 2]
    assert world.open(1).take() == command("SET", "k", "v")


def test_reads_go_to_the_leader_when_no_replica_may_be_read() -> None:
    world = World()
    world.follow(readers=())
    world.client().send(GET)
    assert world.open(0).take() == GET


def test_with_consistency_leader_reads_go_to_the_leader() -> None:
    world = World(consistency="leader")
    world.client().send(GET)
    assert world.open(0).take() == GET


def test_reads_without_a_leader_are_counted() -> None:
    world = World(consistency="leader")
    world.follow(leader_up=False)
    world.wait(world.plane.LEADERLESS_WAIT)
    world.client().send(GET * 2)
    world.wait(TRIED + 0.1)
    assert world.open(1).take() == GET * 2
    assert world.plane.leaderless_reads == 2


def test_a_leader_that_nobody_has_looked_for_yet_is_not_taken_for_one_that_is_away() -> None:
    world = World(consistency="fresh")
    world.follow(settled=False, asked=False)
    client = world.client()
    client.send(GET)
    world.wait(10 * world.plane.LEADERLESS_WAIT)
    assert not world.dialled and client.take() == b""
    world.follow(settled=False, asked=True)
    world.wait(2 * world.plane.LEADERLESS_WAIT)
    world.open(1).send(b"$1\r\nv\r\n")
    assert client.take() == b"$1\r\nv\r\n" and world.plane.leaderless_reads == 1


def test_closing_behind_the_sessions_ends_every_connection() -> None:
    world = World()
    world.client().send(GET + command("SET", "k", "v"))
    ends = [world.open(0), world.open(1)]
    world.client().send(command("MULTI"))
    ends.append(world.open(0))
    for session in world.plane.clients:
        session.close()
    world.plane.close()
    world.turn()
    assert [end.open for end in ends] == [False, False, False]
    assert all(not pool.lanes and not pool.leases for pool in world.plane.pools.values())


def test_the_freshness_clock_is_woken_by_a_topology_of_other_servers_and_by_no_other() -> None:
    world = World(consistency="fresh")
    leader, first, second = world.servers
    world.plane.freshness.rest(True)
    world.follow(readers=(second,))
    assert not world.wakes
    world.follow(leader=first, replicas=(leader, second))
    assert world.wakes


def test_the_time_is_that_of_the_clock_that_is_handed_in() -> None:
    world = World()
    world.now = 2000.5
    assert world.plane.now() == 2_000_500_000_000


def test_a_read_that_needs_a_later_mark_wakes_the_clock_that_rests_although_a_mark_was_dropped() -> None:
    world = World(consistency="fresh")
    world.prove()
    world.plane.stamp([5])
    world.plane.freshness.rest(True)
    world.plane.fresh_reader(world.plane.freshness.need(5))
    assert world.wakes == 1 and not world.plane.freshness.rests()


def test_a_read_of_what_is_held_wakes_no_clock_as_no_mark_would_do() -> None:
    world = World(consistency="fresh")
    world.plane.freshness.hold([5])
    world.plane.freshness.rest(True)
    world.plane.fresh_reader(world.plane.freshness.need(5))
    assert not world.wakes
