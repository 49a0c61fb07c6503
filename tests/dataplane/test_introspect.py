"""What rproxy tells of itself, and to whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rproxy import errors
from rproxy.dataplane.topology import Server, Topology
from tests.dataplane.kit import End, World, command

STATUS = command("RPROXY", "STATUS")
WANTS_A_PASSWORD = b"-NOAUTH HELLO must be called with the client already authenticated\r\n"


def said(client: End) -> Any:
    """The JSON of the one bulk string that the client got."""
    header, _, body = client.take().partition(b"\r\n")
    assert header.startswith(b"$") and int(header[1:]) == len(body) - 2, header
    return json.loads(body)


def away(world: World) -> None:
    """Every server is gone, and the control plane knows it."""
    world.follow(readers=(), leader_up=False)


def known(world: World) -> None:
    """The leader has a lane for clients without a password, and serves them."""
    world.client().send(command("SET", "k", "v"))
    world.open(0).take()


def status(world: World) -> Any:
    client = world.client()
    client.send(STATUS)
    return said(client)


def test_info_has_a_section_of_rproxys_own_in_the_form_of_the_servers() -> None:
    world = World()
    known(world)
    client = world.client()
    client.send(command("info", "Rproxy"))
    header, _, body = client.take().partition(b"\r\n")
    assert header == b"$%d" % (len(body) - 2)
    lines = body.decode().splitlines()
    assert lines[0] == "# Rproxy" and "leader_up:1" in lines and "clients:2" in lines
    assert any(line.startswith("server0:server=server:7000,role=leader,in=1,") for line in lines)
    assert all(":" in line for line in lines[1:] if line)


def test_in_resp3_info_is_a_verbatim_string_as_the_servers_is() -> None:
    world = World()
    client = world.client()
    client.send(command("HELLO", "3"))
    world.open(0)
    client.take()
    client.send(command("INFO", "rproxy"))
    reply = client.take()
    header, _, body = reply.partition(b"\r\n")
    assert header == b"=%d" % (len(body) - 2) and body.startswith(b"txt:# Rproxy\r\n")


def test_other_sections_of_info_are_the_leaders() -> None:
    world = World()
    client = world.client()
    client.send(command("INFO", "server") + command("INFO"))
    assert world.open(0).take() == command("INFO", "server") + command("INFO")


def test_a_stranger_is_told_when_the_leader_wants_no_password() -> None:
    world = World()
    client = world.client()
    client.send(STATUS)
    assert client.take() == b""
    world.open(0)
    assert said(client)["leader"] == "server:7000"


@pytest.mark.parametrize("words", [("RPROXY", "STATUS"), ("RPROXY", "EXPLAIN", "GET", "k")])
def test_a_stranger_is_told_nothing_when_the_leader_wants_a_password(words: tuple[str, ...]) -> None:
    world = World()
    client = world.client()
    client.send(command(*words) + command("CLIENT", "ID"))
    world.open(0, hello=WANTS_A_PASSWORD)
    assert client.take() == errors.NOAUTH * 2


def test_a_stranger_is_asked_for_the_password_again_when_the_lane_has_gone() -> None:
    world = World()
    client = world.client()
    client.send(STATUS)
    lane = world.open(0, hello=WANTS_A_PASSWORD)
    lane.lose()
    client.take()
    client.send(STATUS)
    world.open(0, hello=WANTS_A_PASSWORD)
    assert client.take() == errors.NOAUTH


def test_while_the_leader_is_away_a_replica_says_whether_it_wants_a_password() -> None:
    world = World()
    world.follow(leader_up=False)
    client = world.client()
    client.send(STATUS)
    world.open(1, hello=WANTS_A_PASSWORD)
    assert client.take() == errors.NOAUTH


def test_when_every_server_is_down_the_status_is_told_at_once_and_no_connection_is_opened() -> None:
    world = World()
    world.follow(readers=(), leader_up=False, settled=False)
    facts = status(world)
    assert (facts["leader_up"], facts["settled"]) == (False, False)
    assert [row["in"] for row in facts["servers"]] == [False, False, False]
    assert world.dialled == []


def test_whom_the_settings_vouch_for_is_told_without_asking_a_server() -> None:
    world = World()
    leader = Server(7, "server", 7007, password="s3cret")
    world.plane.follow(Topology(leader))
    world.wait(1.0)
    assert world.plane.leader.server == leader
    client = world.client()
    client.send(STATUS)
    text = client.take()
    assert text.startswith(b"$") and b"s3cret" not in text


def test_who_has_authenticated_is_told_also_when_every_server_has_gone() -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", "s3cret"))
    question = world.open(0)
    question.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    away(world)
    client.send(STATUS)
    text = client.take()
    assert text.startswith(b"$") and b"s3cret" not in text


def test_the_answer_takes_its_place_among_the_others() -> None:
    world = World()
    known(world)
    client = world.client()
    client.send(command("GET", "k") + STATUS + command("GET", "k"))
    assert client.take() == b""
    world.open(1).send(b"+1\r\n+2\r\n")
    text = client.take()
    assert text.startswith(b"+1\r\n$") and text.endswith(b"\r\n+2\r\n")


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("RPROXY",), errors.wrong_arity(b"RPROXY")),
        (("RPROXY", "STATUS", "x"), errors.wrong_arity(b"RPROXY|STATUS")),
        (("RPROXY", "EXPLAIN"), errors.wrong_arity(b"RPROXY|EXPLAIN")),
        (("RPROXY", "stats"), b"-ERR unknown subcommand 'stats'. Try RPROXY HELP.\r\n"),
        (("RPROXY", "a\r\nb"), b"-ERR unknown subcommand 'a  b'. Try RPROXY HELP.\r\n"),
    ],
)
def test_what_it_does_not_have_is_refused_in_redis_words(words: tuple[str, ...], reply: bytes) -> None:
    client = World().client()
    client.send(command(*words))
    assert client.take() == reply


def test_help_lists_the_subcommands() -> None:
    client = World().client()
    client.send(command("rproxy", "help"))
    lines = client.take().split(b"\r\n")
    assert lines[0] == b"*%d" % (len(lines) - 2)
    assert {b"+STATUS", b"+HELP", b"+EXPLAIN <command> [<argument> ...]"} <= set(lines)


def test_the_settings_can_deny_it() -> None:
    client = World(overrides={"RPROXY": "deny"}).client()
    for word in ("STATUS", "EXPLAIN", "HELP", "other"):
        client.send(command("RPROXY", word, "x"))
        assert b"is refused by rproxy" in client.take()


# What it tells.


def explained(world: World, *words: str | bytes) -> Any:
    client = world.client()
    client.send(command("RPROXY", "EXPLAIN", *words))
    return said(client)


@pytest.fixture
def world() -> World:
    """Replicas that have all that was written, and a leader that wants no password."""
    made = World(consistency="fresh", tables=True)
    known(made)
    made.prove()
    return made


def test_the_status_tells_of_each_server_what_it_is_and_why_it_is_in_or_out(world: World) -> None:
    first, second = world.servers[1:]
    topology = Topology(
        world.servers[0],
        (first, second),
        (first,),
        ((0, 100), (1, 90)),
        latencies=((1, 0.002),),
        why=((2, "is not read: it loads"),),
    )
    world.plane.follow(topology)
    leader, reader, out = status(world)["servers"]
    assert (leader["role"], leader["in"], leader["lag_bytes"], leader["mark_age_ms"]) == ("leader", True, 0, None)
    assert (reader["role"], reader["in"], reader["lag_bytes"], reader["latency_ms"]) == ("replica", True, 10, 2.0)
    assert (out["in"], out["why"], out["offset"], out["lag_bytes"]) == (False, "is not read: it loads", None, None)
    assert reader["why"] == "no probe has told of it yet"


def test_a_replica_is_fresh_for_all_while_its_mark_is_later_than_the_newest_write(world: World) -> None:
    assert [row["fresh"] for row in status(world)["servers"]] == [True, True, True]
    world.client().send(command("SET", "a", "1"))
    facts = status(world)
    assert [row["fresh"] for row in facts["servers"]] == [True, False, False]
    assert facts["newest_write_age_ms"] == 0.0 and facts["servers"][1]["mark_age_ms"] == 1.0


def test_without_a_mark_there_is_no_age_and_nothing_is_fresh(world: World) -> None:
    world.plane.freshness.drop(1, int(world.now * 1e9))
    rows = status(world)["servers"]
    assert [row["mark_age_ms"] is None for row in rows] == [True, True, False]
    assert [row["fresh"] for row in rows] == [True, False, True]


def test_without_tables_nothing_is_said_of_freshness() -> None:
    world = World(consistency="eventual")
    known(world)
    facts = status(world)
    assert facts["newest_write_age_ms"] is None and {row["fresh"] for row in facts["servers"]} == {None}


def test_a_silent_replica_is_out_and_it_says_so(world: World) -> None:
    world.plane.pools[world.servers[1]].silent = True
    world.plane.refresh()
    row = status(world)["servers"][1]
    assert (row["in"], row["silent"]) == (False, True) and row["why"].startswith("silent")


def test_asking_counts_as_no_command_of_a_server_and_changes_no_stamp(world: World) -> None:
    before = status(world)
    assert explained(world, "SET", "k", "v") and explained(world, "GET", "k")
    counted = {"clients": before["clients"] + 3, "kinds": before["kinds"] | {"local": before["kinds"]["local"] + 3}}
    now = status(world)
    assert now == before | counted | {way: before[way] | {"clients": now[way]["clients"]} for way in ("received", "sent")}


def test_commands_are_counted_by_server(world: World) -> None:
    world.client().send(command("GET", "other") * 3)
    assert sum(row["reads"] for row in status(world)["servers"][1:]) == 3
    assert status(world)["servers"][0]["writes"] == 1


def test_what_the_service_tells_is_part_of_the_status(world: World) -> None:
    world.plane.about = lambda: {"version": "1.2.3"}
    assert status(world)["version"] == "1.2.3"


def test_a_read_goes_to_the_replicas_that_are_fresh_for_its_keys(world: World) -> None:
    world.client().send(command("SET", "a", "1"))
    world.prove(2)
    facts = explained(world, "MGET", "a", "b")
    assert (facts["kind"], facts["keys"], facts["servers"]) == ("read", ["a", "b"], ["server:7002"])
    assert [(row["fresh"], row["behind_ms"]) for row in facts["replicas"]] == [(False, 1.0), (True, None)]
    assert len(explained(world, "GET", "b")["servers"]) == 2


def test_a_reading_script_goes_to_the_leader_the_first_time(world: World) -> None:
    world.prove()
    script = "EVAL_RO", "return 1", "1", "k"
    assert explained(world, *script)["served_by"] == "the leader, which runs each script that only reads once"
    world.client().send(command(*script))
    world.open(0).send(b":1\r\n")
    assert len(explained(world, *script)["servers"]) == 2


def test_a_read_goes_to_the_leader_when_no_replica_is_fresh_for_its_keys(world: World) -> None:
    world.client().send(command("SET", "a", "1"))
    facts = explained(world, "GET", "a")
    assert (facts["served_by"], facts["servers"]) == ("the leader: no replica is fresh for its keys", ["server:7000"])


def test_a_read_goes_to_the_leader_when_no_replica_may_be_read(world: World) -> None:
    world.follow(readers=())
    facts = explained(world, "GET", "k")
    assert (facts["served_by"], facts["servers"]) == ("the leader: no replica may be read", ["server:7000"])


def test_what_is_explained_is_what_happens(world: World) -> None:
    for key, index in (("a", 0), ("b", 1)):
        world.client().send(command("SET", "a", "1"))
        names = explained(world, "GET", key)["servers"]
        counts = [pool.reads for pool in world.plane.pools.values()]
        world.client().send(command("GET", key))
        served = [
            pool.server.name for pool, before in zip(world.plane.pools.values(), counts, strict=True) if pool.reads > before
        ]
        assert len(served) == 1 and served[0] in names and (served[0] == "server:7000") == (index == 0)


def test_a_key_that_is_held_is_read_on_the_leader(world: World) -> None:
    world.client().send(command("BLPOP", "q", "0"))
    facts = explained(world, "LLEN", "q")
    assert (facts["held"], facts["newest_write_age_ms"], facts["servers"]) == (True, None, ["server:7000"])
    assert {row["behind_ms"] for row in facts["replicas"]} == {None}


@pytest.mark.parametrize(
    ("words", "kind", "served_by"),
    [
        (("SET", "k", "v"), "write", "the leader"),
        (("nosuch", "k"), "leased", "the leader, on a connection of its own"),
        (("BLPOP", "k", "0"), "leased", "the leader, on a connection of its own"),
        (("XREAD", "block", "0", "STREAMS", "s", "$"), "read", "the leader, on a connection of its own"),
        (("MULTI",), "leased", "the leader, on a connection of its own"),
        (("QUIT",), "local", "rproxy itself"),
        (("SHUTDOWN",), "denied", "nobody, rproxy refuses it"),
    ],
)
def test_what_is_no_read_is_explained_by_its_kind(world: World, words: tuple[str, ...], kind: str, served_by: str) -> None:
    facts = explained(world, *words)
    assert (facts["command"], facts["kind"], facts["served_by"]) == (words[0].upper(), kind, served_by)
    assert facts["servers"] == (["server:7000"] if "leader" in served_by else [])


def test_a_wrong_number_of_arguments_is_told(world: World) -> None:
    assert "GET takes 2 words" in explained(world, "GET")["arity_error"]
    assert explained(world, "GET", "k")["arity_error"] == ""


def test_keys_that_are_no_text_can_be_explained(world: World) -> None:
    assert explained(world, "GET", b"k\xff")["keys"] == ["k\\xff"]


def test_what_waits_for_a_leader_is_told(world: World) -> None:
    world.follow(settled=False)
    client = world.client()
    client.send(command("RPROXY", "EXPLAIN", "SET", "a", "1"))
    world.open(1)  # it says that it wants no password
    facts = said(client)
    assert facts["servers"] == [] and facts["served_by"].startswith("nobody yet: nobody knows who leads, and it waits")


def test_a_leader_that_is_away_is_told(world: World) -> None:
    world.follow(leader_up=False)
    client = world.client()
    client.send(command("RPROXY", "EXPLAIN", "SET", "a", "1"))
    world.open(1)  # it says that it wants no password
    assert "is away: it waits" in said(client)["served_by"]


@pytest.mark.parametrize(("allowed", "servers"), [("serve", ["server:7002"]), ("error", ["server:7000"])])
def test_without_a_leader_the_furthest_replica_reads_what_none_is_fresh_for(allowed: str, servers: list[str]) -> None:
    world = World(consistency="fresh", tables=True, leaderless_reads=allowed)
    world.prove()
    world.client().send(command("SET", "a", "1"))
    world.follow(leader_up=False, offsets=((1, 10), (2, 20)))
    client = world.client()
    client.send(command("RPROXY", "EXPLAIN", "GET", "a"))
    world.open(1)
    assert said(client)["servers"] == servers


def test_with_no_reader_the_leader_serves_the_share_that_the_settings_allow() -> None:
    world = World(leader_reads=30)
    known(world)
    world.follow(readers=())
    facts = explained(world, "GET", "k")
    assert facts["servers"] == ["server:7000"] and "30 % of such reads, and an error" in facts["served_by"]


def test_the_listeners_consistency_decides() -> None:
    for consistency, leads in (("leader", True), ("eventual", False)):
        world = World(consistency=consistency)
        known(world)
        facts = explained(world, "GET", "k")
        assert (facts["servers"] == ["server:7000"]) == leads
        assert all(row["fresh"] is None for row in facts.get("replicas", ()))


def test_replicas_in_the_own_zone_come_first() -> None:
    world = World(zone="b", read_policy="round-robin")
    known(world)
    far, near = Server(11, "far", 1, zone="a"), Server(12, "near", 1, zone="b")
    world.plane.follow(Topology(world.servers[0], (far, near), (far, near)))
    facts = explained(world, "GET", "k")
    assert facts["servers"] == ["near:1"] and "in zone b" in facts["served_by"]
