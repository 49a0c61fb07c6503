"""Where scripts run: readers on replicas, once the leader knows them."""

from __future__ import annotations

import pytest

from rproxy.dataplane.scripts import KEPT, MOST_KNOWN, declares_no_writes
from tests.dataplane.kit import End, World, command

READER = "#!lua flags=no-writes\nreturn 1"


@pytest.mark.parametrize(
    ("source", "declares"),
    [
        (b"#!lua flags=no-writes\nreturn 1", True),
        (b"#!lua name=x flags=allow-stale,no-writes\r\nreturn 1", True),
        (b"#!lua flags=no-writes", False),
        (b"#!lua\nreturn 'flags=no-writes'", False),
        (b"#!lua flags=allow-oom\nreturn 1", False),
        (b"#!lua flags=no-writesx\nreturn 1", False),
        (b"return 1 -- #!lua flags=no-writes", False),
        (b" #!lua flags=no-writes\nreturn 1", False),
        (b"", False),
    ],
)
def test_only_a_scripts_own_first_line_says_that_it_does_not_write(source: bytes, declares: bool) -> None:
    assert declares_no_writes(source) is declares


def known(*words: str, **options: object) -> tuple[World, End, End]:
    """A client whose leader has run this command once."""
    world = World(**options)  # type: ignore[arg-type]
    client = world.client()
    client.send(command(*words))
    leader = world.open(0)
    assert leader.take() == command(*words)
    leader.send(b":1\r\n")
    assert client.take() == b":1\r\n"
    return world, client, leader


@pytest.mark.parametrize("name", ["EVAL", "eval", "EVAL_RO"])
def test_a_script_that_only_reads_goes_to_replicas_once_the_leader_has_run_it(name: str) -> None:
    world, client, leader = known(name, READER, "0")
    client.send(command(name, READER, "0"))
    assert (leader.take(), world.open(1).take()) == (b"", command(name, READER, "0"))


@pytest.mark.parametrize(
    "words", [("EVAL", "return 1", "0"), ("EVALSHA", "abc", "0"), ("FCALL", "f", "0"), ("EVAL", "#!lua\nreturn 1", "0")]
)
def test_other_scripts_stay_on_the_leader(words: tuple[str, ...]) -> None:
    _, client, leader = known(*words)
    client.send(command(*words))
    assert leader.take() == command(*words)


@pytest.mark.parametrize("words", [("EVALSHA_RO", "abc", "0"), ("FCALL_RO", "f", "0")])
def test_what_is_known_by_name_goes_to_replicas_at_once(words: tuple[str, ...]) -> None:
    world = World()
    world.client().send(command(*words))
    assert world.open(1).take() == command(*words)


@pytest.mark.parametrize(
    "error", [b"-NOSCRIPT No matching script.\r\n", b"-BUSY Redis is busy\r\n", b"-ERR Function not found\r\n"]
)
def test_what_a_replica_does_not_know_or_cannot_run_now_the_leader_is_asked(error: bytes) -> None:
    world = World()
    client = world.client()
    client.send(command("GET", "a") + command("EVALSHA_RO", "abc", "0") + command("GET", "b"))
    world.open(1).send(b"+a\r\n" + error + b"+b\r\n")
    leader = world.open(0)
    leader.send(error + b"+b\r\n")
    assert client.take() == b"+a\r\n" + error + b"+b\r\n"


def test_a_script_that_was_asked_for_by_its_digest_is_not_found_because_it_runs_behind() -> None:
    world = World(replicas=1)
    client = world.client()
    slow, by_digest, source = (
        command("EVAL", "return 1", "0"),
        command("EVALSHA_RO", "abc", "0"),
        command("EVAL", "return 2", "0"),
    )
    client.send(slow + by_digest + source)
    leader, replica = world.open(0), world.open(1)
    assert (leader.take(), replica.take()) == (slow, by_digest)
    replica.send(b"-NOSCRIPT No matching script.\r\n")
    assert leader.take() == by_digest
    leader.send(b":1\r\n-NOSCRIPT No matching script.\r\n")
    assert client.take() == b":1\r\n-NOSCRIPT No matching script.\r\n"
    assert leader.take() == source


def test_a_flush_of_the_leaders_cache_lets_it_run_each_script_again() -> None:
    world, client, leader = known("EVAL", READER, "0", replicas=1)
    client.send(command("SCRIPT", "FLUSH"))
    world.open(0).send(b"+OK\r\n")
    world.open(1).send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    client.send(command("EVAL", READER, "0"))
    assert leader.take() == command("EVAL", READER, "0")


def test_a_leader_whose_connection_is_lost_may_have_lost_its_scripts() -> None:
    world, client, leader = known("EVAL", READER, "0")
    leader.lose()
    client.send(command("EVAL", READER, "0"))
    assert world.open(0).take() == command("EVAL", READER, "0")


def test_while_the_leader_is_away_replicas_run_what_it_has_not_seen() -> None:
    world = World()
    world.follow(leader_up=False)
    world.client().send(command("EVAL_RO", READER, "0"))
    assert world.open(1).take() == command("EVAL_RO", READER, "0")


def test_a_reader_makes_no_replica_stale_when_the_leader_runs_it() -> None:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    client.send(command("EVAL_RO", READER, "0") + command("GET", "k"))
    assert world.open(0).take() == command("EVAL_RO", READER, "0")
    assert world.open(1).take() == command("GET", "k")


def test_a_fresh_script_waits_for_what_was_written_to_its_keys() -> None:
    world, client, leader = known("EVAL", READER, "1", "k", consistency="fresh")
    world.prove()
    client.send(command("SET", "k", "v"))
    world.open(0).send(b"+OK\r\n")
    client.take()
    client.send(command("EVAL", READER, "1", "k") + command("EVAL", READER, "1", "other") + command("EVAL", READER, "0"))
    assert leader.take() == command("EVAL", READER, "1", "k") + command("EVAL", READER, "0")
    assert world.open(1).take() == command("EVAL", READER, "1", "other")


def test_a_fresh_reader_whose_leader_is_lost_is_not_asked_of_a_replica_that_lacks_what_was_written() -> None:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    client.send(command("SET", "k", "v"))
    lane = world.open(0)
    lane.take()
    lane.send(b"+OK\r\n")
    client.send(command("EVAL", READER, "1", "k"))
    world.open(0).lose()
    assert lane.take() == command("EVAL", READER, "1", "k") and not world.dialled


def test_a_setting_decides_for_all_scripts() -> None:
    world, client, leader = known("EVAL", READER, "0", overrides={"EVAL": "leader"})
    client.send(command("EVAL", READER, "0"))
    assert leader.take() == command("EVAL", READER, "0")


def test_rproxy_explains_that_a_reader_is_read_by_replicas() -> None:
    world, client, _ = known("EVAL", READER, "0")
    client.send(command("RPROXY", "EXPLAIN", "EVAL", READER, "0") + command("RPROXY", "EXPLAIN", "EVAL", "return 1", "0"))
    world.open(0)
    reader, writer = client.take().split(b"\r\n")[1::2]
    assert b'"servers": ["server:7001", "server:7002"]' in reader
    assert b'"servers": ["server:7000"]' in writer


def test_what_is_remembered_is_bounded() -> None:
    world, client, leader = known("EVAL", READER, "0")
    scripts = world.plane.scripts
    eval_ = world.plane.table.find(b"EVAL")
    for number in range(MOST_KNOWN):
        scripts.ran(number, world.plane.clock())
    assert scripts.is_new(world.plane, eval_, [b"EVAL", READER.encode()])


@pytest.mark.parametrize("reply", [b"-NOPERM no\r\n", b"-ERR value is not an integer or out of range\r\n", b"-BUSY a script\r\n"])
def test_a_script_that_the_leader_refused_is_not_known(reply: bytes) -> None:
    world = World()
    client = world.client()
    client.send(command("EVAL_RO", READER, "0"))
    leader = world.open(0)
    leader.take()
    leader.send(reply)
    client.send(command("EVAL_RO", READER, "0"))
    assert leader.take() == command("EVAL_RO", READER, "0")


def test_a_script_whose_reply_comes_behind_a_flush_is_not_known() -> None:
    world = World(replicas=1)
    client, other = world.client(), world.client()
    client.send(command("EVAL_RO", READER, "0"))
    scripts = world.open(0)
    other.send(command("SCRIPT", "FLUSH"))
    world.open(0).send(b"+OK\r\n")
    scripts.take()
    scripts.send(b":1\r\n")
    client.send(command("EVAL_RO", READER, "0"))
    assert scripts.take() == command("EVAL_RO", READER, "0")


def test_a_flush_in_a_transaction_counts_when_exec_runs_it() -> None:
    world, client, leader = known("EVAL_RO", READER, "0")
    client.send(command("MULTI") + command("SCRIPT", "FLUSH"))
    lease = world.open(0)
    lease.send(b"+OK\r\n+QUEUED\r\n")
    client.send(command("EXEC"))
    lease.send(b"*1\r\n+OK\r\n")
    other = world.client()
    other.send(command("EVAL_RO", READER, "0"))
    assert leader.take() == command("EVAL_RO", READER, "0")


def test_a_flush_whose_reply_is_skipped_counts() -> None:
    world, client, leader = known("EVAL_RO", READER, "0")
    silent = world.client()
    silent.send(command("CLIENT", "REPLY", "SKIP") + command("SCRIPT", "FLUSH"))
    world.open(0).send(b"+OK\r\n")
    client.send(command("EVAL_RO", READER, "0"))
    assert leader.take() == command("EVAL_RO", READER, "0")


def test_the_leader_runs_a_known_script_now_and_again_so_that_its_cache_keeps_it() -> None:
    world, client, leader = known("EVAL_RO", READER, "0")
    world.now += KEPT + 1
    client.send(command("EVAL_RO", READER, "0"))
    assert leader.take() == command("EVAL_RO", READER, "0")


def test_a_leader_that_does_not_know_a_script_may_have_evicted_others() -> None:
    world, client, leader = known("EVAL_RO", READER, "0")
    client.send(command("EVALSHA", "abc", "0"))
    leader.take()
    leader.send(b"-NOSCRIPT No matching script.\r\n")
    client.send(command("EVAL_RO", READER, "0"))
    assert leader.take() == command("EVAL_RO", READER, "0")


@pytest.mark.parametrize("name", ["SCRIPT", "FUNCTION"])
def test_a_script_that_a_replica_runs_can_be_killed(name: str) -> None:
    world = World(replicas=1)
    reader, killer = world.client(), world.client()
    reader.send(command("EVALSHA_RO", "abc", "0"))
    world.open(1)
    killer.send(command(name, "KILL"))
    leader = world.open(0)
    assert leader.take() == command(name, "KILL")
    leader.send(b"-NOTBUSY No scripts in execution right now.\r\n")
    replica = world.open(1)
    assert (replica.take(), killer.take()) == (command(name, "KILL"), b"")
    replica.send(b"+OK\r\n")
    assert killer.take() == b"+OK\r\n"


def test_where_no_server_is_busy_nothing_is_killed() -> None:
    world = World(replicas=1)
    reader, killer = world.client(), world.client()
    reader.send(command("GET", "k"))
    world.open(1)
    killer.send(command("SCRIPT", "KILL"))
    nothing = b"-NOTBUSY No scripts in execution right now.\r\n"
    world.open(0).send(nothing)
    world.open(1).send(nothing)
    assert killer.take() == nothing
