"""A read goes to a replica only if the replica has every write of its keys that was answered."""

from __future__ import annotations

from typing import Any

import pytest

from rproxy.dataplane.freshness import HELD, KEYSPACE, slot_of
from rproxy.dataplane.pool import LONGEST_BACKOFF, SILENCE, SILENCE_WHEN_CUT, TRIED_LATELY
from tests.dataplane.kit import End, World, begun, command
from tests.dataplane.test_cursors import connected, scanned

GET, SET, OLD = command("GET", "k"), command("SET", "k", "v"), command("GET", "old")
SLOT = slot_of(b"k", 0, 1)


def served_by(world: World, read: bytes = GET) -> int:
    """The server that a new client's read goes to."""
    counts = [pool.reads for pool in (world.plane.pools[server] for server in world.servers)]
    world.client().send(read)
    after = [pool.reads for pool in (world.plane.pools[server] for server in world.servers)]
    return next(index for index, (before, now) in enumerate(zip(counts, after, strict=True)) if now > before)


def written(world: World, write: bytes = SET) -> End:
    client = world.client()
    client.send(write)
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    return leader


def test_without_a_mark_nothing_is_read_from_a_replica() -> None:
    assert served_by(World(consistency="fresh")) == 0


def test_with_a_mark_later_than_the_start_unwritten_keys_are_read_from_replicas() -> None:
    world = World(consistency="fresh")
    world.prove()
    assert served_by(world) == 1


def test_what_was_just_written_is_read_from_the_leader_until_a_mark_is_later() -> None:
    world = World(consistency="fresh")
    world.prove()
    written(world)
    assert served_by(world) == 0
    world.prove(2)
    assert served_by(world) == 2
    assert world.plane.freshness.misses() == 1


def test_a_write_is_stamped_before_its_bytes_leave_and_before_its_reply_goes_on() -> None:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    client.send(SET)
    sent = int(world.now * 1e9)
    assert world.plane.freshness.need(SLOT) == sent
    world.now += 0.5
    leader = world.open(0)
    world.now += 0.5
    leader.send(b"+OK\r\n")
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9) > sent


def test_a_write_that_is_lost_may_still_be_run_for_a_second() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(SET)
    world.open(0).lose()
    assert b"may or may not" in client.take()
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9) + 1_000_000_000


def test_the_write_of_a_client_that_has_gone_is_stamped_when_it_is_answered() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    client.lose()
    world.now += 5
    leader.send(b"+OK\r\n")
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9)


def test_a_transaction_stamps_what_it_queued_when_exec_leaves_and_when_it_is_answered() -> None:
    world = World(consistency="fresh")
    world.prove()
    before = world.plane.freshness.need(SLOT)
    client, lease = begun(world, command("MULTI"))
    client.send(SET)
    lease.send(b"+QUEUED\r\n")
    assert world.plane.freshness.need(SLOT) == before
    client.send(command("EXEC"))
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9)
    world.now += 1
    lease.send(b"*1\r\n+OK\r\n")
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9)


def test_a_discarded_transaction_stamps_nothing() -> None:
    world = World(consistency="fresh")
    world.prove()
    before = world.plane.freshness.need(SLOT)
    client, lease = begun(world, command("MULTI"))
    client.send(SET + command("DISCARD"))
    lease.send(b"+QUEUED\r\n+OK\r\n")
    client.send(command("MULTI") + command("EXEC"))
    assert world.plane.freshness.need(SLOT) == before


def test_a_blocked_command_holds_its_keys_until_its_reply() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(command("BLMOVE", "from", "k", "LEFT", "RIGHT", "0"))
    lease = world.open(0)
    assert world.plane.freshness.need(SLOT) == HELD
    lease.send(b"$1\r\nx\r\n")
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9)


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_blocked_command_that_is_lost_lets_its_keys_go(end: str) -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(command("BLPOP", "k", "0"))
    lease = world.open(0)
    (client if end == "client" else lease).lose()
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9) + 1_000_000_000


def test_a_large_write_holds_its_key_while_it_is_on_its_way() -> None:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    large = command("SET", "k", "v" * 300_000)
    client.send(large[:290_000])
    lease = world.open(0)
    assert world.plane.freshness.need(SLOT) == HELD
    client.send(large[290_000:])
    lease.send(b"+OK\r\n")
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9)


def test_a_read_of_many_keys_goes_to_the_leader_if_one_was_just_written() -> None:
    world = World(consistency="fresh")
    world.prove()
    written(world)
    assert served_by(world, command("MGET", "a", "k")) == 0
    assert served_by(world, command("MGET", "a", "b")) == 1


def test_a_write_of_unknown_keys_counts_for_all() -> None:
    world = World(consistency="fresh")
    world.prove()
    written(world, command("FLUSHALL"))
    assert served_by(world, command("GET", "anything")) == 0


def test_a_read_of_all_keys_goes_to_the_leader_after_any_write() -> None:
    world = World(consistency="fresh")
    world.prove()
    written(world)
    assert served_by(world, command("DBSIZE")) == 0
    world.prove()
    assert served_by(world, command("DBSIZE")) == 1


@pytest.mark.parametrize("sign", [command("PING"), command("ECHO", "x"), b"PING\r\n"])
def test_a_sign_of_life_is_the_leaders_and_no_miss(sign: bytes) -> None:
    world = World(consistency="fresh")
    world.prove()
    assert served_by(world, sign) == 0
    assert world.plane.freshness.misses() == 0


def test_a_sign_of_life_is_any_replicas_while_the_leader_is_away() -> None:
    world = World(consistency="fresh")
    world.prove()
    world.follow(leader_up=False)
    assert served_by(world, command("PING")) == 1


def test_a_sign_of_life_is_any_replicas_where_reads_need_not_be_fresh() -> None:
    assert served_by(World(consistency="eventual"), command("PING")) == 1


def test_a_sign_of_life_goes_where_the_settings_say() -> None:
    assert served_by(World(consistency="fresh", overrides={"PING": "replica"}), command("PING")) == 1


def test_a_replicas_mark_is_dropped_with_any_connection_to_it() -> None:
    world = World(replicas=1, consistency="fresh")
    world.prove()
    world.client().send(GET)
    replica = world.open(1)
    replica.lose()
    assert world.plane.freshness.mark(1) == 0
    world.follow(readers=world.plane.topology.replicas)
    assert served_by(world) == 0


def test_reads_that_waited_for_a_connection_are_judged_again_when_it_opens() -> None:
    world = World(replicas=1, consistency="fresh")
    world.prove()
    client = world.client()
    client.send(GET)
    world.plane.freshness.drop(1, int(world.now * 1e9))
    replica = world.open(1)
    assert replica.take() == b""
    assert world.open(0).take() == GET
    assert client.open


def test_a_change_of_leader_voids_every_mark() -> None:
    world = World(consistency="fresh")
    world.prove()
    leader, one, two = world.servers
    world.follow(leader=one, replicas=(leader, two), readers=(two,))
    assert world.plane.freshness.need(KEYSPACE) == int(world.now * 1e9)
    assert not world.plane.may(world.plane.pools[two], world.plane.freshness.need(SLOT))


def test_the_clock_is_woken_by_a_write_and_by_a_lost_connection_only_while_it_rests() -> None:
    world = World(replicas=1, consistency="fresh")
    wakes = world.wakes
    client = world.client()
    client.send(SET)
    assert world.wakes == wakes
    world.plane.freshness.rest(True)
    client.send(SET + SET)
    assert world.wakes == wakes + 1
    world.plane.freshness.rest(True)
    world.plane.suspect(world.servers[1], "lost")
    assert world.wakes == wakes + 2


def test_a_listener_with_another_consistency_reads_by_it_and_stamps_all_the_same() -> None:
    world = World(consistency="eventual", tables=True)
    client = world.client()
    client.send(SET + GET)
    assert world.open(1).take() == GET
    assert world.plane.freshness.need(SLOT) == int(world.now * 1e9)


def test_without_fresh_listeners_nothing_is_stamped() -> None:
    world = World(consistency="eventual")
    world.client().send(SET)
    assert world.plane.freshness.newest() == 0


def test_while_no_leader_answers_a_read_that_no_replica_may_serve_goes_to_the_furthest_one() -> None:
    world = World(consistency="fresh")
    world.follow(leader_up=False, offsets=((1, 10), (2, 20)))
    client = world.client()
    client.send(GET)
    world.refuse(0)
    world.wait(0.2)
    assert world.open(2).take() == GET
    assert world.plane.leaderless_reads == 1


def ahead_of_the_other(index: int) -> World:
    """A key was just written, and only this replica has it. The dice choose the other one."""
    world = World(consistency="fresh")
    world.prove()
    written(world)
    world.prove(index)
    world.dice = 0.9 if index == 1 else 0.0
    return world


@pytest.mark.parametrize("index", [1, 2])
def test_reads_of_one_loop_pass_share_a_replica_only_where_it_is_fresh_for_all(index: int) -> None:
    world = ahead_of_the_other(index)
    first, second = world.client(), world.client()
    first.protocol.data_received(OLD)
    second.protocol.data_received(GET)
    world.turn()
    assert (world.open(3 - index).take(), world.open(index).take()) == (OLD, GET)


@pytest.mark.parametrize("index", [1, 2])
def test_reads_of_one_packet_share_a_replica_only_where_it_is_fresh_for_all(index: int) -> None:
    world = ahead_of_the_other(index)
    world.client().send(OLD + GET)
    assert (world.open(3 - index).take(), world.open(index).take()) == (OLD, GET)


def away(**options: Any) -> tuple[World, End]:
    """A read that no replica may serve, a moment after the leader has gone."""
    world = World(consistency="fresh", **options)
    written(world).lose()
    world.follow(leader_up=False)
    client = world.client()
    client.send(GET)
    return world, client


def test_a_read_that_no_replica_may_serve_waits_a_moment_for_the_leader_before_it_goes_to_the_furthest_one() -> None:
    world, _ = away()
    assert not [server for server, _ in world.dialled if server in world.servers[1:]]
    world.refuse(0)
    world.wait(0.2)
    world.client().send(GET)
    assert world.open(1).take() == GET + GET, "the next one need not wait again"


def reads_elsewhere(world: World) -> bool:
    return any(server in world.servers[1:] for server, _ in world.dialled)


def test_a_leader_whose_connections_are_cut_is_away_when_it_has_not_been_heard_for_a_while() -> None:
    world, _ = away()
    world.refuse(0, listens=True)
    world.wait(SILENCE_WHEN_CUT - 0.1)
    assert not reads_elsewhere(world)
    world.wait(0.2)
    assert reads_elsewhere(world)


def test_a_leader_that_the_freshness_clock_hears_is_not_away() -> None:
    world, _ = away(budget=10.0)
    world.refuse(0, listens=True)
    world.wait(SILENCE_WHEN_CUT / 2)
    world.plane.freshness.hear_leader(int(world.now * 1e9))
    world.wait(SILENCE_WHEN_CUT - 0.1)
    assert not reads_elsewhere(world)
    world.wait(0.2)
    assert reads_elsewhere(world)


def test_a_leader_is_asked_once_more_before_it_counts_as_away() -> None:
    """The pauses between attempts to connect are long by then, and it may have come back in one of them."""
    world, client = away(budget=10.0)
    for _ in range(12):
        world.refuse(0, listens=True)
        world.wait(LONGEST_BACKOFF / 4)
        world.plane.freshness.hear_leader(int(world.now * 1e9))
    world.refuse(0, listens=True)
    assert not world.dialled, "it waits for its turn"
    world.now += SILENCE_WHEN_CUT + 2 * TRIED_LATELY
    assert world.plane.for_leader() is world.plane.leader
    world.open(0).send(b"$1\r\nv\r\n")
    assert client.take() == b"$1\r\nv\r\n"


def test_a_leader_whose_connections_are_cut_is_asked_when_it_is_back_in_time() -> None:
    world, client = away()
    world.wait(SILENCE_WHEN_CUT - 0.2)
    world.open(0).send(b"$1\r\nv\r\n")
    assert client.take() == b"$1\r\nv\r\n" and not world.plane.leaderless_reads


def test_the_last_leader_is_waited_for_as_long_while_nobody_is_known_to_lead() -> None:
    world, _ = away()
    world.follow(settled=False)
    world.wait(SILENCE_WHEN_CUT - 0.1)
    assert not reads_elsewhere(world)
    world.wait(0.2)
    assert reads_elsewhere(world)


@pytest.mark.parametrize("how", [{"contested": True}, {"leader_up": True}])
def test_who_leads_no_more_by_its_own_word_or_is_one_of_several_is_not_waited_for(how: dict[str, bool]) -> None:
    world, _ = away()
    world.follow(settled=False, **how)
    world.wait(0.2)
    assert reads_elsewhere(world)


def test_what_a_leader_says_before_it_is_ready_is_no_sign_that_it_is_there() -> None:
    world, _ = away()
    for _ in range(5):
        leader = world.accept(0)
        leader.send(b"-LOADING the dataset\r\n")
        leader.lose()
        world.wait(SILENCE_WHEN_CUT / 4)
    assert reads_elsewhere(world)


def test_a_leader_is_away_soon_enough_for_reads_to_have_an_answer_within_a_short_budget() -> None:
    world, client = away(budget=0.3)
    world.refuse(0, listens=True)
    world.wait(0.28)
    world.open(1).send(b"$1\r\nv\r\n")
    assert client.take() == b"$1\r\nv\r\n"


def test_a_read_that_no_replica_may_serve_goes_to_a_leader_that_still_answers_whatever_the_probes_find() -> None:
    world = World(consistency="fresh")
    leader = written(world)
    leader.take()
    world.follow(leader_up=False, offsets=((1, 10), (2, 20)))
    world.wait(1)
    client = world.client()
    client.send(GET)
    assert leader.take() == GET
    assert world.plane.leaderless_reads == 0


def test_a_leader_that_is_silent_on_every_connection_is_away_and_that_is_said() -> None:
    world = World(consistency="fresh")
    leader = written(world)
    leader.take()
    writer = world.client()
    writer.send(SET)
    assert leader.take() == SET
    world.follow(leader_up=False, offsets=((1, 10), (2, 20)))
    world.wait(SILENCE + 0.2)
    world.client().send(GET)
    assert world.open(2).take() == GET
    assert world.plane.leaderless_reads == 1
    assert [notice for notice in world.notices if "no connection to the leader works" in notice]


def test_with_leaderless_reads_error_no_replica_answers_what_it_may_not() -> None:
    world, client = away(leaderless_reads="error")
    world.refuse(0)
    world.wait(0.2)
    client.send(OLD)
    world.wait(world.plane.options.budget)
    assert not [server for server, _ in world.dialled if server in world.servers[1:]]
    assert client.take().startswith(b"-MASTERDOWN")


def test_the_freshness_clock_is_told_of_a_step_that_waits_for_a_mark_though_no_read_goes_to_the_leader() -> None:
    world = World(consistency="fresh")
    world.prove()
    client, freshness = world.client(), world.plane.freshness
    client.send(command("HSCAN", "k", "0"))
    replica = connected(world, 1)
    replica.take()
    replica.send(scanned(7))
    cursor = client.take().split(b"\r\n")[2]
    client.send(SET)
    world.open(0).send(b"+OK\r\n")
    wanted, misses = freshness.wanted(), freshness.misses()
    client.send(command("HSCAN", "k", cursor))
    world.wait(0.5)
    assert freshness.wanted() > wanted
    assert (replica.take(), freshness.misses()) == (b"", misses)
