"""The lanes and leases of one server: sharing, backoff, budgets, retries, idling out."""

from __future__ import annotations

from rproxy import errors
from rproxy.dataplane.pool import SPARE_LEASES
from tests.dataplane.kit import World, command

GET = command("GET", "k")
SET = command("SET", "k", "v")


def test_sessions_of_one_user_database_and_version_share_a_lane() -> None:
    world = World()
    world.client().send(SET)
    world.client().send(SET)
    assert len(world.dialled) == 1
    assert world.open(0).take() == SET * 2


def test_a_read_whose_server_is_lost_before_its_reply_is_tried_once_more_elsewhere() -> None:
    world = World()
    client = world.client()
    client.send(GET * 2)
    replica = world.open(1)
    replica.send(b"+1\r\n")
    replica.lose()
    other = world.open(2)
    assert other.take() == GET
    other.lose()
    assert client.take() == b"+1\r\n" + errors.READER_LOST
    assert client.open


def test_a_write_that_was_sent_is_never_sent_again() -> None:
    world = World()
    client = world.client()
    client.send(SET * 2)
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    leader.lose()
    assert client.take() == b"+OK\r\n" + errors.LEADER_LOST
    assert client.open
    client.send(SET)
    assert world.open(0).take() == SET


def test_a_client_whose_reply_broke_off_in_the_middle_is_closed() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"$10\r\n123")
    replica.lose()
    assert not client.open


def test_a_lost_idle_connection_makes_the_server_suspect_for_it_may_have_been_restarted() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"+1\r\n")
    replica.lose()
    assert world.suspects == [world.servers[1]]


def test_a_connection_closed_from_this_side_makes_nothing_suspect() -> None:
    world = World(idle_lane=1.0)
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"+1\r\n")
    world.wait(2.5)
    assert not replica.open
    assert world.suspects == []


def test_a_write_waits_for_the_leader_within_the_budget() -> None:
    world = World(budget=1.5)
    client = world.client()
    client.send(SET)
    world.refuse(0)
    world.wait(1.0)
    assert client.take() == b""
    assert world.open(0).take() == SET


def test_a_write_without_a_leader_is_answered_within_the_budget_and_was_not_executed() -> None:
    world = World(budget=1.5)
    client = world.client()
    client.send(SET)
    for _ in range(15):
        world.refuse(0)
        world.wait(0.1)
    assert client.take() == errors.NO_LEADER
    for _ in range(20):
        world.wait(0.1)
    assert [server.index for server, _ in world.dialled] == []


def test_attempts_to_dial_are_spaced_out() -> None:
    world = World(budget=60.0)
    world.client().send(SET)
    attempts = 0
    for _ in range(200):
        attempts += bool(world.dialled)
        world.refuse(0)
        world.wait(0.05)
    assert 10 < attempts < 60


def test_a_read_that_was_not_sent_goes_to_another_server_at_once() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    world.refuse(1)
    assert world.suspects == [world.servers[1]]
    other = world.open(2)
    assert other.take() == GET


def test_without_any_server_a_read_gets_an_error_within_the_budget() -> None:
    world = World(replicas=1, budget=1.5)
    client = world.client()
    client.send(GET)
    for _ in range(15):
        world.refuse(0)
        world.refuse(1)
        world.wait(0.1)
    assert client.take() == errors.NO_READER


def test_a_read_that_waits_for_the_leader_goes_to_the_freshest_replica_after_100_ms() -> None:
    world = World(consistency="leader")
    client = world.client()
    client.send(GET)
    world.refuse(0)
    world.follow(leader_up=False, offsets=((1, 10), (2, 20)))
    world.wait(0.05)
    assert [server.index for server, _ in world.dialled if server.index] == []
    world.wait(0.15)
    assert world.open(2).take() == GET
    assert world.plane.leaderless_reads == 1


def test_an_idle_lane_is_closed_after_its_time_and_a_used_one_is_not() -> None:
    world = World(idle_lane=60.0)
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"+1\r\n")
    world.wait(40)
    client.send(GET)
    replica.send(b"+1\r\n")
    world.wait(50)
    assert replica.open
    world.wait(80)
    assert not replica.open
    client.send(GET)
    assert world.open(1).take() == GET


def test_a_lease_that_was_given_back_is_lent_again() -> None:
    world = World()
    first, second = world.client(), world.client()
    first.send(command("MULTI") + command("EXEC"))
    lease = world.open(0)
    lease.send(b"+OK\r\n*0\r\n")
    assert first.take() == b"+OK\r\n*0\r\n"
    lease.take()
    second.send(command("MULTI"))
    assert (world.dialled, lease.take()) == ([], command("MULTI"))


def test_no_more_spare_leases_are_kept_than_are_of_use() -> None:
    world = World()
    clients = [world.client() for _ in range(SPARE_LEASES + 3)]
    for client in clients:
        client.send(command("MULTI") + command("DISCARD"))
    leases = [world.open(0) for _ in clients]
    for lease in leases:
        lease.send(b"+OK\r\n+OK\r\n")
    assert sum(lease.open for lease in leases) == SPARE_LEASES


def test_a_user_that_a_replica_does_not_know_reads_from_the_leader() -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", "bob", "secret"))
    world.open(0).send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    client.send(GET)
    replica = world.accept(1)
    assert replica.take() == command("AUTH", "bob", "secret") + command("HELLO", "2")
    replica.send(b"-WRONGPASS invalid username-password pair\r\n-NOAUTH no\r\n")
    leader = world.open(0)
    assert leader.take() == GET
    client.send(GET)
    assert leader.take() == GET


def test_a_silent_replica_gets_no_new_reads_until_it_answers() -> None:
    world = World()
    first, second = world.client(), world.client()
    first.send(GET)
    replica = world.open(1)
    replica.take()
    world.wait(0.7)
    second.send(GET)
    other = world.open(2)
    assert (replica.take(), other.take()) == (b"", GET)
    other.send(b"+2\r\n")
    replica.send(b"+1\r\n")
    world.wait(0.2)
    second.send(GET)
    assert replica.take() == GET


def test_nothing_ticks_while_nothing_waits() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    world.open(1).send(b"+1\r\n")
    world.wait(5)
    assert all(due - world.now > 1 for due, _ in world.timers)


def test_commands_are_counted_by_server() -> None:
    world = World()
    client = world.client()
    client.send(GET * 3 + SET * 2)
    counts = {server.index: (pool.reads, pool.writes) for server, pool in world.plane.pools.items()}
    assert counts == {0: (0, 2), 1: (3, 0), 2: (0, 0)}
