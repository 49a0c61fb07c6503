"""Links that are cut and come back, replicas and leaders that restart, whole resynchronisations: no read is behind what somebody has seen meanwhile.

These tests break servers, so each has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.freshness.conftest import LAG, read_by_replicas
from tests.freshness.registers import KINDS, Registers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster, lagging_cluster
from tests.integration.wire import eventually, pack

READS = 400
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--repl-backlog-size", "16kb")


@pytest.fixture
def servers() -> Iterator[LaggingCluster]:
    """The leader keeps what it has acknowledged when it is killed; a replica that misses more than 16 KB starts anew."""
    with lagging_cluster(LAG, arguments=DURABLE) as started:
        yield started


@pytest.fixture
def proxy(servers: LaggingCluster) -> Iterator[Proxy]:
    """Reads that could only be answered by a replica that is behind get an error."""
    with rproxy(servers, "--consistency", "fresh", settings='leaderless_reads = "error"\n') as started:
        yield started


def test_a_replica_that_was_restarted_while_nothing_happened_shows_no_hole(proxy: Proxy, servers: LaggingCluster) -> None:
    """It has nothing then, and can't reach its leader."""
    (replica, _), (link, _) = servers.replicas, servers.links
    with proxy.connect() as wire:
        wire.ask("SET", "k", "there")
        read_by_replicas(proxy, servers)
        link.cut()
        replica.kill()
        for file in replica.folder.glob("appendonlydir/*"):
            file.unlink()
        replica.restart()
        assert replica.call("EXISTS", "k") == 0
        for _ in range(READS):
            assert wire.call("GET", "k") == b"there"
        link.restore()
        while not servers.settled():
            assert wire.call("GET", "k") == b"there"
    read_by_replicas(proxy, servers)


def test_links_that_are_cut_and_come_back_show_nobody_the_past(proxy: Proxy, servers: LaggingCluster) -> None:
    with Registers(proxy, rest=0.01) as registers:
        for link in servers.links:
            registers.go_on(READS)
            link.cut()
            registers.go_on(READS)
            link.restore()
            registers.go_on(READS)
    servers.settle()
    read_by_replicas(proxy, servers)
    assert registers.stale == registers.errors == []


def test_links_that_stall_show_nobody_the_past(proxy: Proxy, servers: LaggingCluster) -> None:
    with Registers(proxy, rest=0.01) as registers:
        for link in servers.links * 3:
            link.stall("down")
            registers.go_on(READS)
            link.resume("down")
            registers.go_on(READS // 4)
    servers.settle()
    read_by_replicas(proxy, servers)
    assert registers.stale == registers.errors == []


def test_a_replica_that_has_to_start_anew_shows_nobody_the_past(proxy: Proxy, servers: LaggingCluster) -> None:
    def synchronised(times: int) -> bool:
        return int(servers.leader.info("stats")["sync_full"]) == times

    with Registers(proxy, kinds=[kind for kind in KINDS if kind != "large"], rest=0.01) as registers:
        for number, link in enumerate(servers.links):
            link.cut()
            with proxy.connect() as wire:
                wire.send(b"".join(pack("SET", f"filler:{number}", b"x" * 10_000) for number in range(200)))
                assert set(wire.frames(200)) == {b"+OK\r\n"}
            registers.go_on(READS)
            assert synchronised(2 + number)
            link.restore()
            eventually(partial(synchronised, 3 + number), "a whole resynchronisation")
            registers.go_on(READS)
            servers.replicas[number].wait_in_sync()
            registers.go_on(READS)
    read_by_replicas(proxy, servers)
    assert registers.stale == registers.errors == []


def test_a_leader_that_restarts_shows_nobody_the_past(proxy: Proxy, servers: LaggingCluster) -> None:
    """While it is away, and after it: it has another replication id then, and everything that it acknowledged."""
    with Registers(proxy, rest=0.01) as registers:
        for _ in range(2):
            registers.go_on(READS)
            servers.leader.restart()
            registers.go_on(READS)
    servers.settle()
    read_by_replicas(proxy, servers)
    assert registers.stale == []


def test_a_replica_that_is_detached_by_hand_shows_nobody_the_past(proxy: Proxy, servers: LaggingCluster) -> None:
    with Registers(proxy, rest=0.01) as registers:
        registers.go_on(READS)
        servers.replicas[0].call("REPLICAOF", "NO", "ONE")
        registers.go_on(READS)
        servers.replicas[0].call("REPLICAOF", "127.0.0.1", servers.links[0].port)
        registers.go_on(READS)
    servers.settle()
    read_by_replicas(proxy, servers)
    assert registers.stale == registers.errors == []


def test_a_replica_of_the_leader_that_was_is_not_taken_for_one_of_the_leader_that_is() -> None:
    """The old leader is gone for rproxy, but not for one of its replicas, which goes on following it, its link up, its offset far ahead."""
    with lagging_cluster(fronts=True) as servers, rproxy(servers, "--consistency", "fresh") as proxy:
        follower, heir = servers.replicas
        with proxy.connect() as wire:
            wire.ask("SET", "k", "old")
            read_by_replicas(proxy, servers)
            servers.fronts[0].cut()
            heir.call("REPLICAOF", "NO", "ONE")
            eventually(lambda: wire.ask("SET", "k", "new") == b"+OK\r\n", "the heir leads", within=20)
            assert heir.call("GET", "k") == b"new"
            for number in range(200):
                servers.leader.call("SET", "filler", "x" * 1000)
                assert wire.ask("SET", "other", number) == b"+OK\r\n"
                assert wire.call("GET", "k") == b"new"
            assert follower.info("replication")["master_link_status"] == "up"
            assert follower.call("GET", "k") == b"old"
