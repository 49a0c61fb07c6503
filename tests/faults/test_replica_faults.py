"""Replicas that die, return, lose connections or freeze, while clients read: the clients don't notice."""

from __future__ import annotations

import time

import pytest

from tests.faults.load import Load, Question, planted, read, read_pipeline
from tests.integration.harness import Proxy
from tests.integration.servers import Cluster, Node
from tests.integration.wire import eventually


@pytest.mark.parametrize("question", [read, read_pipeline])
def test_a_replica_that_is_killed_and_restarted_again_and_again_costs_no_client_an_error(
    proxy: Proxy, servers: Cluster, question: Question
) -> None:
    with Load(proxy, question) as load:
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            servers.replicas[0].kill()
            load.moves_on()
            servers.replicas[0].restart()
            servers.settle()
            load.moves_on()
    assert load.failures == []


def test_a_replica_that_returned_is_read_again(proxy: Proxy, servers: Cluster) -> None:
    with Load(proxy, read) as load:
        servers.replicas[0].kill()
        load.moves_on()
        servers.replicas[0].restart()
        servers.settle()
        eventually(lambda: servers.replicas[0].calls("get") > 50, "the replica that returned is read again")
    assert load.failures == []


def test_reads_go_to_the_leader_when_every_replica_is_gone(proxy: Proxy, servers: Cluster) -> None:
    with Load(proxy, read) as load:
        for replica in servers.replicas:
            replica.kill()
            load.moves_on()
        servers.leader.forget()
        load.moves_on(200)
        assert servers.leader.calls("get") >= 200
    assert load.failures == []


def test_reads_leave_the_leader_again_when_a_replica_returns(proxy: Proxy, servers: Cluster) -> None:
    with Load(proxy, read) as load:
        for replica in servers.replicas:
            replica.kill()
            load.moves_on()  # a read is tried twice: two servers lost in the same moment would be an error
        servers.replicas[1].restart()
        eventually(lambda: servers.replicas[1].calls("get") > 50, "the replica that returned is read", within=15)

        def leader_is_left() -> bool:
            servers.leader.forget()
            load.moves_on(100)
            return servers.leader.calls("get") == 0

        eventually(leader_is_left, "the leader is no longer read")
    assert load.failures == []


@pytest.mark.parametrize("question", [read, read_pipeline])
def test_connections_to_a_replica_that_are_cut_again_and_again_cost_no_client_an_error(
    proxy: Proxy, servers: Cluster, question: Question
) -> None:
    cut = 0
    with Load(proxy, question) as load:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            cut += servers.replicas[1].disconnect_clients()
            load.moves_on(20)
    assert cut > 5
    assert load.failures == []


def test_a_read_that_was_sent_to_a_replica_that_dies_is_answered_by_another(proxy: Proxy, servers: Cluster) -> None:
    """Frozen first, so that the read is on its way when the replica is killed."""
    servers.replicas[0].stop()
    wires = [proxy.connect() for _ in range(20)]
    for number, wire in enumerate(wires):
        wire.send(b"*2\r\n$3\r\nGET\r\n$%d\r\nplanted:%d\r\n" % (len(f"planted:{number}"), number))
    servers.replicas[0].kill()
    assert [wire.frame() for wire in wires] == [planted(number) for number in range(20)]
    for wire in wires:
        wire.close()


def test_a_frozen_replica_stops_no_other_clients_reads(proxy: Proxy, servers: Cluster) -> None:
    servers.replicas[0].stop()

    def answered_at_once() -> bool:
        """Thirty new clients, one read each: none waits for the frozen replica."""
        began = time.monotonic()
        try:
            for number in range(30):
                with proxy.connect(timeout=1) as wire:
                    assert wire.ask("GET", f"planted:{number}") == planted(number)
        except TimeoutError:
            return False
        return time.monotonic() - began < 1

    try:
        eventually(answered_at_once, "new clients' reads avoid the frozen replica", within=10)
    finally:
        servers.replicas[0].cont()
    servers.replicas[0].forget()
    with Load(proxy, read) as load:
        eventually(lambda: servers.replicas[0].calls("get") > 20, "the replica that thawed is read again")
    assert load.failures == []


def test_writes_go_on_while_replicas_are_frozen(proxy: Proxy, servers: Cluster) -> None:
    for replica in servers.replicas:
        replica.stop()
    try:
        with proxy.connect(timeout=2) as wire:
            for number in range(1, 200):
                assert wire.ask("INCR", "n") == b":%d\r\n" % number
    finally:
        for replica in servers.replicas:
            replica.cont()


def test_a_replica_that_has_not_synchronised_yet_is_not_read(proxy: Proxy, servers: Cluster) -> None:
    """It comes back without data and can't reach its leader: what it would answer is nil for everything."""
    with Load(proxy, read) as load:
        servers.replicas[0].kill()
        with Node(port=servers.replicas[0].port, arguments=("--replicaof", "127.0.0.1", "1")) as empty:
            assert empty.info("replication")["master_link_status"] == "down"
            assert empty.call("EXISTS", "planted:1") == 0
            deadline = time.monotonic() + 3  # longer than rproxy needs to connect to it and to probe it
            while time.monotonic() < deadline:
                load.moves_on()
    assert load.failures == []
