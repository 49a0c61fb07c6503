"""What is told of single commands: the slow ones, the hot keys, the big values; and what is counted of all."""

from __future__ import annotations

import json
from typing import Any

from rproxy.dataplane import accounts
from rproxy.dataplane.introspect import facts_of
from rproxy.dataplane.watch import BIG_REPLY, BIGGEST, KEYS, SLOWEST
from tests.dataplane.kit import World, command


def told(world: World, what: str, *words: bytes) -> Any:
    return json.loads(getattr(accounts, what)(world.plane, list(words)))


def test_a_slow_command_is_told_with_its_server_and_parts_and_without_its_key() -> None:
    world = World()
    client = world.client()
    client.send(command("SET", "secret", "value"))
    leader = world.open(0)
    world.now += 0.2
    leader.send(b"+OK\r\n")
    (row,) = told(world, "slow")
    assert (row["command"], row["server"], row["upstream_ms"]) == ("SET", "server:7000", 200.0)
    assert row["total_ms"] >= 200 and row["reply_bytes"] == 5
    assert "secret" not in json.dumps(row) and "value" not in json.dumps(row)


def test_a_fast_command_is_not_slow_and_no_more_are_kept_than_there_is_room_for() -> None:
    world = World()
    client = world.client()
    client.send(command("SET", "k", "v"))
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    assert told(world, "slow") == []
    for _ in range(SLOWEST + 5):
        client.send(command("SET", "k", "v"))
        world.now += 0.06
        leader.send(b"+OK\r\n")
    assert len(told(world, "slow")) == SLOWEST


def test_the_key_that_is_asked_for_most_is_the_hottest_however_many_others_there_are() -> None:
    world = World()
    watch, get = world.plane.watch, world.plane.table.find(b"GET")
    for number in range(10 * KEYS):
        watch.sample(get, command("GET", f"k{number}"))
        watch.sample(get, command("GET", "hot"))
    keys = told(world, "hot")["keys"]
    assert len(keys) == KEYS and max(keys, key=keys.__getitem__) == "hot"


def test_what_was_counted_of_keys_fades() -> None:
    world = World()
    watch, get = world.plane.watch, world.plane.table.find(b"GET")
    watch.sample(get, command("GET", "hot"))
    world.now += 61
    watch.sample(get, command("GET", "new"))
    world.now += 61
    watch.sample(get, command("GET", "new"))
    assert "hot" not in told(world, "hot")["keys"]


def test_a_big_reply_is_told_with_its_key() -> None:
    world = World()
    client = world.client()
    client.send(command("GET", "large"))
    world.open(1).send(b"$70000\r\n" + b"x" * 70000 + b"\r\n")
    assert told(world, "hot")["big"][0] == {"key": "large", "bytes": 70010, "command": "GET"}


def test_only_the_biggest_are_kept_whatever_comes_in_between() -> None:
    world = World()
    client = world.client()
    client.send(command("GET", "k0"))
    replica = world.open(1)
    for number in range(3 * BIGGEST):
        size = BIG_REPLY + 1000 * (number if number % 2 else 1)
        if number:
            client.send(command("GET", f"k{number}"))
        replica.send(b"$%d\r\n" % size + b"x" * size + b"\r\n")
    kept = {row["key"] for row in told(world, "hot")["big"]}
    assert kept == {f"k{number}" for number in range(3 * BIGGEST - 1, BIGGEST, -2)}


def test_commands_are_counted_by_kind_and_by_name() -> None:
    world = World()
    client = world.client()
    client.send(command("SET", "k", "v") + command("GET", "k") + command("GET", "j") + command("PING"))
    rows = {row["name"]: row["count"] for row in told(world, "commands")}
    assert rows["GET"] == 2 and rows["SET"] == 1 and rows["PING"] == 1
    kinds: Any = facts_of(world.plane)["kinds"]
    assert kinds["read"] >= 2 and kinds["write"] == 1 and sum(kinds.values()) == 4


def test_errors_are_counted_by_their_code_whoever_says_them() -> None:
    world = World()
    client = world.client()
    client.send(command("INCR", "k") + command("SET", "k"))
    world.open(0).send(b"-WRONGTYPE no\r\n-MINE that a script made up\r\n")
    errors: Any = facts_of(world.plane)["errors"]
    assert errors["WRONGTYPE"] == 1 and errors["other"] == 1
    client.send(b"*x\r\n")
    errors = facts_of(world.plane)["errors"]
    assert errors["ERR"] == 1


def test_clients_are_told() -> None:
    world = World()
    world.client().send(command("PING"))
    world.client()
    found = told(world, "clients", b"1")
    assert found["total"] == 2 and len(found["clients"]) == 1
    assert found["clients"][0]["command"] == "PING" and found["clients"][0]["state"] == "shared"
