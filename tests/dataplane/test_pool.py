"""The lanes and leases of one server: sharing, backoff, budgets, retries, idling out."""

from __future__ import annotations

import gc
import weakref

from rproxy import errors
from rproxy.dataplane.pool import SPARE_LEASES
from rproxy.dataplane.topology import IDLE_CLOSED
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
    assert (world.suspects, world.suspicions) == ([world.servers[1]], [IDLE_CLOSED])


def test_a_lost_connection_with_something_under_way_makes_the_server_suspect_for_more() -> None:
    world = World()
    world.client().send(GET)
    world.open(1).lose()
    assert (world.suspects, world.suspicions) == ([world.servers[1]], ["connection lost"])


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


def test_the_later_commands_of_a_transaction_without_a_leader_are_answered_too() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("MULTI"))
    world.wait(1.0)
    world.refuse(0)
    client.send(SET)
    for _ in range(10):
        world.wait(0.3)
        world.refuse(0)
    assert client.take() == errors.NO_LEADER + errors.TRANSACTION_LOST


def test_nothing_of_a_transaction_whose_lease_timed_out_runs_when_the_leader_returns() -> None:
    world = World(replicas=0, connect=10.0)
    client = world.client()
    client.send(command("MULTI"))
    world.accept(0)
    world.wait(1.0)
    client.send(SET)
    world.wait(0.7)
    sent = b""
    for _ in range(20):
        world.wait(0.05)
        sent += b"".join(world.open(0).take() for _ in list(world.dialled))
    assert b"SET" not in sent
    assert client.take() == errors.NO_LEADER + errors.TRANSACTION_LOST


def test_a_refused_lease_takes_nothing_from_the_sessions_next_one() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("BLPOP", "k", "0"))
    world.accept(0).send(b"-ERR no\r\n")
    assert client.take() == b"-ERR no\r\n"
    client.send(command("BLPOP", "k", "0"))
    lease = world.open(0)
    world.wait(1.5)
    lease.send(b"*2\r\n$1\r\nk\r\n$1\r\nv\r\n")
    assert client.take() == b"*2\r\n$1\r\nk\r\n$1\r\nv\r\n"
    world.wait(200)
    assert not lease.open and not world.plane.leader.leases


def test_timers_of_spare_leases_do_not_pile_up() -> None:
    world = World(replicas=0)
    client = world.client()
    transaction = command("MULTI") + command("EXEC")
    client.send(transaction)
    lease = world.open(0)
    lease.send(b"+OK\r\n*0\r\n")
    for _ in range(100):
        world.wait(1.0)
        client.send(transaction)
        lease.send(b"+OK\r\n*0\r\n")
    assert len(world.timers) < 10


def test_a_password_is_forgotten_with_its_last_connection() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("AUTH", "bob", "secret"))
    world.open(0).send(b"+OK\r\n")
    lane = world.open(0)
    client.send(command("MULTI") + command("EXEC"))
    lease = world.open(0)
    lease.send(b"+OK\r\n*0\r\n")
    key = weakref.ref(client.protocol.key)
    client.lose()
    world.wait(200)
    assert not lease.open and not lane.open
    del client, lease, lane
    world.timers.clear()
    gc.collect()
    assert key() is None


def test_what_was_not_sent_when_its_lane_was_lost_waits_for_the_budget() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(SET)
    lane = world.open(0)
    lane.send(b"+OK\r\n")
    client.take()
    client.protocol.data_received(SET)
    lane.lose()
    world.refuse(0)
    world.wait(0.2)
    assert client.take() == b""
    assert world.open(0).take() == SET


def test_a_read_of_the_only_server_is_tried_again_within_the_budget() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(GET)
    world.open(0).lose()
    world.refuse(0)
    world.wait(0.2)
    assert client.take() == b""
    assert world.open(0).take() == GET


def test_a_server_that_failed_a_handshake_is_suspected_again_when_its_next_connection_is_lost() -> None:
    world = World(replicas=0, connect=0.5)
    client = world.client()
    client.send(SET)
    world.accept(0)
    world.wait(0.7)
    lane = world.open(0)
    lane.send(b"+OK\r\n")
    world.suspects.clear()
    lane.lose()
    assert world.suspects == [world.servers[0]]


def test_who_waits_for_a_lane_that_its_server_has_ended_hears_of_the_next_connection() -> None:
    world = World()
    world.client().send(SET)
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    heard: list[bool] = []
    lane = leader.protocol
    lane.ready = False  # as the inlets find before its transport tells it
    lane.pool.await_ready(lane, lambda: heard.append(lane.ready))
    leader.lose()
    assert not heard
    world.open(0)
    assert heard == [True]


def test_a_server_is_not_doubted_where_this_side_could_not_connect() -> None:
    world = World()
    client = world.client()
    client.send(command("SET", "k", "v"))
    (attempt,) = world.dialled
    world.dialled.clear()
    attempt[1].dial_failed("")
    world.wait(0.2)
    assert not world.suspects
    world.open().send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n", "it is tried again"
