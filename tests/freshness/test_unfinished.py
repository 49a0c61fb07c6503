"""Writes that are on their way for long: whatever the freshness clock finds out meanwhile, nobody sees the new value and then the old one.

The two replicas are unlike here: one has everything at once, the other hears of nothing while a test says so. A read that wrongly trusted the second
would show the past.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.freshness.conftest import read_by_replicas
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster, lagging_cluster
from tests.integration.wire import Wire, eventually, pack

MB = 2**20
LARGE = b"n" * (64 * MB)
READS = 20
QUESTION = len(pack("INFO", "replication"))


@pytest.fixture(scope="module")
def unlike() -> Iterator[LaggingCluster]:
    with lagging_cluster(fronts=True) as servers:
        servers.leader.call("ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all")
        for replica in servers.replicas:
            replica.call("ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all")
        yield servers


@pytest.fixture(scope="module")
def unlike_proxy(unlike: LaggingCluster) -> Iterator[Proxy]:
    with rproxy(unlike, "--consistency", "fresh") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def careless_proxy(unlike: LaggingCluster) -> Iterator[Proxy]:
    with rproxy(unlike, "--consistency", "eventual") as proxy:
        yield proxy


def guest(proxy: Proxy) -> Wire:
    """A client whose commands travel on other connections than the default user's."""
    wire = proxy.connect()
    assert wire.ask("AUTH", "guest", "guest") == b"+OK\r\n"
    return wire


@dataclass(frozen=True)
class Way:
    """How a client writes key `k`: `prepare` sends 100 KB or more on the very connection to the leader on which `write` travels then."""

    prepare: Sequence[bytes]
    write: bytes


def set_large(key: str, size: int = 100_000) -> bytes:
    return pack("SET", key, b"n" * size)


SCRIPT = "return redis.call('SET', KEYS[1], ARGV[1])"
SCRIPT_LARGE = pack("EVAL", SCRIPT, 1, "j", b"n" * 100_000)
WAYS = {
    "a plain SET": Way([set_large("j")], set_large("k")),
    "EXEC": Way([pack("MULTI"), set_large("k")], pack("EXEC")),
    "a script": Way([SCRIPT_LARGE], pack("EVAL", SCRIPT, 1, "k", b"n" * 1000)),
    "a script without keys": Way([SCRIPT_LARGE], pack("EVAL", SCRIPT.replace("KEYS[1]", "'k'"), 0, b"n" * 1000)),
    "a large SET": Way([set_large("j", MB)], set_large("k", MB)),
    "an attached client's SET": Way([pack("CLIENT", "NO-EVICT", "ON"), set_large("j")], set_large("k")),
    "FLUSHALL": Way([set_large("j")], pack("FLUSHALL")),
}


def prepare(servers: LaggingCluster, way: Way, wire: Wire) -> int:
    """The connection to the leader on which the write will travel."""
    before = {flow.id: flow.up_arrived for flow in servers.fronts[0].connections()}
    for command in way.prepare:
        wire.send(command)
        assert not wire.frame().startswith(b"-")
    after = servers.fronts[0].connections()
    (chosen,) = [flow.id for flow in after if flow.up_arrived - before.get(flow.id, 0) >= 100_000]
    return chosen


def clock_goes_on(servers: LaggingCluster, wire: Wire) -> None:
    """Let the freshness clock ask every server three times more; other keys are written, so that it has a reason to."""

    def asked() -> list[dict[int, int]]:
        wire.ask("SET", "reason", "v")
        return [{flow.id: flow.up_arrived for flow in front.connections()} for front in servers.fronts]

    def more(now: dict[int, int], then: dict[int, int]) -> int:
        return sum(
            arrived - then.get(flow, 0) for flow, arrived in now.items()
        )  # a lane of an earlier case may have ended meanwhile

    before = asked()
    eventually(
        lambda: all(more(now, then) >= 3 * QUESTION for now, then in zip(asked(), before, strict=True)),
        "the clock asks",
        pause=0.005,
    )


def shown(wire: Wire, key: str, reads: int = READS) -> list[int]:
    """How long the value was, read by read."""
    return [int(wire.call("STRLEN", key)) for _ in range(reads)]


def back_in_time(lengths: list[int]) -> list[int]:
    """What was shown after something longer."""
    return [length for at, length in enumerate(lengths) if length < max(lengths[: at + 1])]


def back_and_forth(proxy: Proxy, servers: LaggingCluster, way: Way, clock: bool = True) -> list[int]:
    """The write is held up before the leader while the clock looks on; then it runs, one replica gets it, the other one doesn't, and its reply is held
    up. What another client read meanwhile.
    """
    front = servers.fronts[0]
    servers.leader.call("SET", "k", "old")
    servers.settle()
    with proxy.connect() as writer, guest(proxy) as reader:
        read_by_replicas(proxy, servers)
        lengths = shown(reader, "k")
        number = prepare(servers, way, writer)
        front.stall("up", connection=number)
        try:
            writer.send(way.write)
            if clock:
                clock_goes_on(servers, reader)
            lengths += shown(reader, "k")
            assert set(lengths) == {3}
            front.stall("down", connection=number)
            servers.links[1].stall("down")
            front.resume("up", connection=number)
            eventually(lambda: servers.leader.call("STRLEN", "k") != 3, "the leader has run it", pause=0.005)
            eventually(lambda: servers.replicas[0].call("STRLEN", "k") != 3, "one replica has run it", pause=0.005)
            lengths += shown(reader, "k")
            if clock:
                clock_goes_on(servers, reader)
            lengths += shown(reader, "k")
        finally:
            front.resume(connection=number)
        assert not writer.frame().startswith(b"-")
        lengths += [-length for length in shown(reader, "k") if length == 3]
        servers.let_go()
        return lengths


def changes(lengths: list[int]) -> int:
    return sum(one != other for one, other in pairwise(lengths))


@pytest.mark.parametrize("way", WAYS)
def test_a_write_that_the_leader_has_run_but_not_answered_is_never_unseen_again(
    unlike_proxy: Proxy, unlike: LaggingCluster, way: str
) -> None:
    assert changes(back_and_forth(unlike_proxy, unlike, WAYS[way])) <= 1


def test_this_test_would_find_what_is_unseen_again(careless_proxy: Proxy, unlike: LaggingCluster) -> None:
    assert changes(back_and_forth(careless_proxy, unlike, WAYS["a plain SET"], clock=False)) > 1


@pytest.mark.parametrize("way", [way for way in WAYS if way != "FLUSHALL"])
def test_a_new_key_that_somebody_has_seen_stays_among_all_keys(unlike_proxy: Proxy, unlike: LaggingCluster, way: str) -> None:
    """The write has run, its reply is held up; one replica has the key, the other one doesn't."""
    front = unlike.fronts[0]
    unlike.leader.call("FLUSHALL")
    unlike.leader.call("SET", "j", "v")
    with unlike_proxy.connect() as writer, guest(unlike_proxy) as reader:
        number = prepare(unlike, WAYS[way], writer)
        unlike.settle()
        read_by_replicas(unlike_proxy, unlike)
        unlike.links[1].stall("down")
        front.stall("down", connection=number)
        try:
            writer.send(WAYS[way].write)
            eventually(lambda: unlike.leader.call("EXISTS", "k"), "the leader has run it", pause=0.002)
            assert reader.call("EXISTS", "k") == 1
            assert {reader.call("DBSIZE") for _ in range(READS)} == {2}
            assert {len(reader.call("KEYS", "*")) for _ in range(READS)} == {2}
            assert {reader.call("EVAL_RO", "return redis.call('EXISTS', 'k')", 0) for _ in range(READS)} == {1}
        finally:
            front.resume(connection=number)
            unlike.let_go()
        assert not writer.frame().startswith(b"-")


def upload_watched(proxy: Proxy, servers: LaggingCluster) -> list[int]:
    """Write 64 MB, all but the last byte at first, while another client reads; what it read, and what was read after the reply."""
    servers.leader.call("SET", "big", "old")
    servers.settle()
    read_by_replicas(proxy, servers)
    lengths: list[int] = []
    over = threading.Event()

    def watch() -> None:
        with guest(proxy) as reader:
            while not over.is_set():
                lengths.extend(shown(reader, "big", 5))

    data = pack("SET", "big", LARGE)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with proxy.connect(timeout=30) as writer, proxy.connect() as other:
            writer.send(data[:-1])
            for number in range(20):
                other.ask("SET", "reason", number)
            servers.links[1].stall("down")
            writer.send(data[-1:])
            assert writer.frame() == b"+OK\r\n"
            after = shown(writer, "big")
            eventually(lambda: servers.replicas[0].call("STRLEN", "big") == len(LARGE), "one replica has it")
            after += shown(other, "big")
        servers.let_go()
        servers.settle()
    finally:
        over.set()
        watcher.join()
        servers.let_go()
    first = lengths.index(len(LARGE)) if len(LARGE) in lengths else len(lengths)
    return [length for length in after + lengths[first:] if length != len(LARGE)]


def test_64_mb_on_their_way_are_either_there_or_not(unlike_proxy: Proxy, unlike: LaggingCluster) -> None:
    assert upload_watched(unlike_proxy, unlike) == []


def test_this_test_would_find_stale_reads(careless_proxy: Proxy, unlike: LaggingCluster) -> None:
    assert upload_watched(careless_proxy, unlike)
