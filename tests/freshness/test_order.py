"""One client's own order: a read that stands before a write shows what was before it, though it travels to a replica on a slow path, and the leader
runs the write at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.freshness.conftest import read_by_replicas
from tests.freshness.mixture import Mixture
from tests.freshness.twin import Twins
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster, Node, lagging_cluster

SLOW = 0.02
BEFORE = ["MSET k old j other n 1", "RPUSH l a b c", "HSET h f old"]
PACKETS = {
    "GET, SET": ["GET k", "SET k new"],
    "GET, SET, GET": ["GET k", "SET k new", "GET k", "SET k newer", "GET k"],
    "reads of other keys between": ["GET k", "GET j", "HGET h f", "SET k new", "GET j", "HSET h f new", "HGET h f"],
    "MGET, DEL": ["MGET j k n", "DEL k", "MGET j k n"],
    "EXISTS, INCR": ["EXISTS n", "GET n", "INCR n", "GET n"],
    "LRANGE, LPOP": ["LRANGE l 0 -1", "LPOP l", "LLEN l"],
    "KEYS, SET of a new key": ["DBSIZE", "SET fresh 1", "DBSIZE", "KEYS *"],
    "GET, FLUSHALL": ["GET k", "FLUSHALL", "GET k"],
    "GET, SWAPDB": ["GET k", "SWAPDB 0 1", "GET k"],
    "GET, a script without keys": ["GET k", "EVAL \"return redis.call('SET','k','new')\" 0", "GET k"],
    "GET, a script with keys": ["GET k", "EVAL \"return redis.call('SET',KEYS[1],'new')\" 1 k", "GET k"],
    "GET, MULTI": ["GET k", "MULTI", "SET k new", "GET k", "EXEC", "GET k"],
    "LLEN, BLPOP": ["LLEN l", "BLPOP l 0", "LLEN l"],
    "GET, a large SET": ["GET k", "SET k x*300000", "STRLEN k"],
    "GET, RENAME onto it": ["GET k", "RENAME j k", "GET k", "EXISTS j"],
    "GET, an attached client's SET": ["GET k", "CLIENT NO-EVICT ON", "SET k new", "GET k"],
    "a script that reads, SET": ["EVAL_RO \"return redis.call('GET','k')\" 0", "SET k new", "GET k"],
    "SORT_RO by a pattern, SET": ["SORT_RO l BY nosort GET k*", "SET k new", "SORT_RO l BY nosort GET k"],
}


@pytest.fixture(scope="module")
def slow_paths() -> Iterator[LaggingCluster]:
    """Replicas that have everything at once, and that hear of rproxy late."""
    with lagging_cluster(fronts=True) as servers:
        for front in servers.fronts[1:]:
            front.delay(up=SLOW)
        yield servers


@pytest.fixture(scope="module")
def patient_proxy(slow_paths: LaggingCluster) -> Iterator[Proxy]:
    with rproxy(slow_paths, "--consistency", "fresh") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def hasty_proxy(slow_paths: LaggingCluster) -> Iterator[Proxy]:
    with rproxy(slow_paths, "--consistency", "eventual") as proxy:
        yield proxy


def run(commands: list[str], proxy: Proxy, servers: LaggingCluster, oracle: Node, apart: bool) -> list[str]:
    """What was wrong when they came in one packet, or `apart`, each in one of its own and none waiting for a reply."""
    for server in (servers.leader, oracle):
        server.call("FLUSHALL")
        for command in BEFORE:
            server.call(*command.split())
    servers.settle()
    with Twins(proxy.address, oracle.address) as twins:
        client = twins.client()
        read_by_replicas(proxy, servers)
        for packet in [[command] for command in commands] if apart else [commands]:
            client.send(packet)
        client.compare(commands)
        return twins.wrong


@pytest.mark.parametrize("apart", [False, True], ids=["one packet", "many packets"])
@pytest.mark.parametrize("commands", PACKETS.values(), ids=PACKETS.keys())
def test_a_read_before_a_write_shows_what_was_before(
    patient_proxy: Proxy, slow_paths: LaggingCluster, oracle: Node, commands: list[str], apart: bool
) -> None:
    assert run(commands, patient_proxy, slow_paths, oracle, apart) == []


def test_these_tests_would_find_reads_that_come_too_late(hasty_proxy: Proxy, slow_paths: LaggingCluster, oracle: Node) -> None:
    late = [name for name, commands in PACKETS.items() if run(commands, hasty_proxy, slow_paths, oracle, apart=False)]
    assert len(late) > len(PACKETS) / 2, late


@pytest.mark.parametrize("seed", range(3))
def test_random_packets_keep_their_order_on_slow_paths(
    patient_proxy: Proxy, slow_paths: LaggingCluster, oracle: Node, seed: int
) -> None:
    slow_paths.empty()
    mixture = Mixture(seed)
    with Twins(patient_proxy.address, oracle.address) as twins:
        client = twins.client()
        for _ in range(4):
            client.run(*mixture.packet(30))
        assert twins.wrong == []


def test_a_pipeline_of_reads_and_writes_of_other_keys_keeps_its_replicas(proxy: Proxy, servers: LaggingCluster) -> None:
    read_by_replicas(proxy, servers)
    servers.hold()
    before = servers.leader.calls("get")
    with Twins(proxy.address, proxy.address) as twins:
        twins.client().run(*[command for number in range(100) for command in (f"SET written:{number} v", f"GET read:{number}")])
    assert servers.leader.calls("get") == before
    assert sum(node.calls("get") for node in servers.replicas) == 200
