"""Settings that change while clients are there."""

from __future__ import annotations

from rproxy.dataplane.freshness import HELD, KEYSPACE
from rproxy.dataplane.policies import Policy
from rproxy.dataplane.ports import Options
from rproxy.dataplane.renewal import renew, stamp_from_now
from tests.dataplane.kit import World, begun, command

GET, SET = command("GET", "k"), command("SET", "k", "v")


def test_a_command_changes_for_a_client_that_has_just_sent_it() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    world.open(1).send(b"$-1\r\n")
    client.take()
    renew(world.plane, Options(), {"GET": "deny"}, True)
    client.send(GET)
    assert b"rproxy" in client.take()
    renew(world.plane, Options(), {"GET": "leader"}, True)
    client.send(GET)
    world.open(0).send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n"


def test_what_was_learnt_stays_known() -> None:
    world = World()
    row = [b"mod.get", 2, [b"readonly"], 1, 1, 1]
    assert world.plane.table.learn([row]) == [b"MOD.GET"]
    renew(world.plane, Options(), {"KEYS": "deny"}, True)
    assert world.plane.table.find(b"mod.get").name == b"MOD.GET"
    assert world.plane.table.learn([row]) == []


def test_a_pause_of_the_leader_goes_on() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "PAUSE", "1000", "WRITE"))
    world.open(0).send(b"+OK\r\n")
    client.take()
    renew(world.plane, Options(), {}, True)
    client.send(SET)
    assert not client.protocol.shared, "a write waits on a connection of its own"


def test_limits_and_consistency_count_for_clients_that_are_there() -> None:
    world = World()
    client, strict = world.client(), world.client()
    strict.protocol.policy = Policy("leader")
    renew(world.plane, Options(consistency="leader", clients=2, session_output=7, budget=9.0), {}, True)
    assert client.protocol.strict and client.protocol.most_held == 7 and world.plane.clients.most == 2
    renew(world.plane, Options(consistency="eventual"), {}, True)
    assert not client.protocol.strict and strict.protocol.strict, "whose listener says so"


def test_tables_that_are_kept_are_not_given_up() -> None:
    world = World(consistency="fresh")
    renew(world.plane, Options(consistency="eventual"), {}, True)
    assert world.plane.stamping and world.plane.options.keeps_tables


def test_who_stamps_from_now_on_trusts_nothing_of_before() -> None:
    world = World(consistency="eventual")
    world.prove()
    writer = world.client()
    writer.send(SET)
    leader = world.open(0)
    stamp_from_now(world.plane)
    world.prove()
    (began,) = [world.plane.freshness.need(KEYSPACE)]
    assert began and world.plane.oldest_write() == began, "what is under way may write any key, and no mark may be later"
    world.now += 1
    leader.send(b"+OK\r\n")
    assert world.plane.freshness.need(KEYSPACE) > began and not world.plane.oldest_write()


def test_who_stamps_from_now_on_counts_blocked_clients_and_transactions() -> None:
    world = World(consistency="eventual")
    client, lease = begun(world, command("MULTI"), SET)
    client.take()
    blocked = world.client()
    blocked.send(command("BLPOP", "q", "0"))
    waiting = world.open(0)
    stamp_from_now(world.plane)
    assert world.plane.freshness.need(KEYSPACE) == HELD
    waiting.send(b"*-1\r\n")
    released = world.plane.freshness.need(KEYSPACE)
    assert released < HELD
    world.now += 1
    client.send(command("EXEC"))
    lease.send(b"*1\r\n+OK\r\n")
    assert world.plane.freshness.need(KEYSPACE) > released
