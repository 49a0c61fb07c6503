"""RPROXY STATUS and EXPLAIN answer from memory, and change nothing."""

from __future__ import annotations

import json
from typing import Any

from tests.dataplane.kit import World, command


def asked(world: World, *words: str) -> dict[str, Any]:
    client = world.client()
    client.send(command("RPROXY", *words))
    reply = client.take()
    assert reply.startswith(b"$")
    facts: dict[str, Any] = json.loads(reply.split(b"\r\n", 1)[1])
    return facts


def test_the_status_tells_of_every_server() -> None:
    world = World(consistency="fresh")
    world.prove(1)
    world.follow(offsets=((0, 100), (1, 90)), latencies=((1, 0.002),))
    facts = asked(world, "STATUS")
    rows = facts["servers"]
    assert [row["role"] for row in rows] == ["leader", "replica", "replica"]
    assert [row["lag_bytes"] for row in rows] == [0, 10, None]
    assert [row["fresh"] for row in rows] == [True, True, False]
    assert rows[1]["latency_ms"] == 2.0 and rows[2]["mark_age_ms"] is None and rows[1]["mark_age_ms"] > 0
    assert facts["clients"] == 1 and facts["leader_up"] and facts["settled"]


def test_the_status_needs_no_server_and_opens_no_connection() -> None:
    world = World(consistency="fresh")
    world.follow(readers=(), leader_up=False, settled=False)
    facts = asked(world, "STATUS")
    assert not facts["leader_up"] and [row["in"] for row in facts["servers"]] == [False, False, False]
    assert world.dialled == []


def test_a_read_is_explained_with_who_is_fresh_for_it_and_who_is_not() -> None:
    world = World(consistency="fresh")
    world.prove(2)
    facts = asked(world, "EXPLAIN", "GET", "k")
    assert facts["servers"] == ["server:7002"]
    assert [(row["server"], row["fresh"]) for row in facts["replicas"]] == [("server:7001", False), ("server:7002", True)]


def test_a_read_that_no_replica_may_serve_is_explained_with_the_leader() -> None:
    world = World(consistency="fresh")
    facts = asked(world, "EXPLAIN", "GET", "k")
    assert facts["servers"] == ["server:7000"] and "no replica is fresh" in facts["served_by"]
    world.follow(readers=())
    assert "no replica may be read" in asked(world, "EXPLAIN", "GET", "k")["served_by"]


def test_a_held_key_is_explained_as_under_way() -> None:
    world = World(consistency="fresh")
    world.prove()
    world.client().send(command("BLPOP", "k", "0"))
    assert asked(world, "EXPLAIN", "GET", "k")["held"]


def test_a_write_is_explained_with_the_leader_or_with_nobody() -> None:
    world = World()
    assert asked(world, "EXPLAIN", "SET", "k", "v")["servers"] == ["server:7000"]
    world.follow(settled=False)
    assert asked(world, "EXPLAIN", "SET", "k", "v")["servers"] == []


def test_explaining_counts_and_stamps_nothing() -> None:
    world = World(consistency="fresh")
    before = world.plane.freshness.newest()
    asked(world, "EXPLAIN", "SET", "k", "v")
    asked(world, "EXPLAIN", "GET", "k")
    assert world.plane.freshness.newest() == before
    assert [(pool.reads, pool.writes) for pool in world.plane.pools.values()] == [(0, 0)] * 3


def test_help_lists_what_can_be_asked_and_anything_else_gets_it_too() -> None:
    client = World().client()
    client.send(command("RPROXY", "HELP"))
    assert b"EXPLAIN" in client.take()
    client.send(command("RPROXY", "NONSENSE"))
    assert b"EXPLAIN" in client.take()


def test_it_can_be_denied() -> None:
    client = World(overrides={"RPROXY": "deny"}).client()
    client.send(command("RPROXY", "STATUS"))
    assert b"refused by rproxy" in client.take()
