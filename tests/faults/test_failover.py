"""The leader changes under load: writes go on at the new one, none is done twice, none goes to two leaders, and reads never stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rproxy import errors
from tests.faults.load import Load, planted, read
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, Node, cluster
from tests.integration.wire import Wire, eventually, pack


@pytest.fixture(params=["1", "3"], ids=["one worker", "three workers"])
def proxy(servers: Cluster, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with rproxy(servers, "--workers", request.param) as started:
        yield started


def promote(new: Node, *others: Node) -> None:
    """What an operator or a Sentinel does: one replica becomes a leader, the others follow it."""
    new.call("REPLICAOF", "NO", "ONE")
    for other in others:
        other.call("REPLICAOF", "127.0.0.1", str(new.port))


class Pushes:
    """Clients that push numbers onto lists of their own, each once, and remember what was acknowledged."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.acknowledged: dict[int, list[int]] = {}
        self.errors: list[bytes] = []

    def __call__(self, wire: Wire, client: int, turn: int) -> None:
        reply = wire.ask("RPUSH", f"pushed:{client}", turn)
        with self.lock:
            if reply.startswith(b":"):
                self.acknowledged.setdefault(client, []).append(turn)
            else:
                self.errors.append(reply)

    def count(self) -> int:
        with self.lock:
            return sum(map(len, self.acknowledged.values()))

    def go_on(self, more: int = 300) -> None:
        target = self.count() + more
        eventually(lambda: self.count() >= target, f"{more} more writes are acknowledged", within=20)


def stored(node: Node, client: int) -> list[int]:
    return [int(number) for number in node.call("LRANGE", f"pushed:{client}", "0", "-1")]


def assert_nothing_twice(pushes: Pushes, node: Node) -> None:
    for client in pushes.acknowledged:
        numbers = stored(node, client)
        assert len(numbers) == len(set(numbers)), f"client {client}: done twice"
        assert numbers == sorted(numbers), f"client {client}: out of order"


def test_writes_go_on_at_the_replica_that_is_promoted_when_the_leader_is_killed(proxy: Proxy, servers: Cluster) -> None:
    one, two = servers.replicas
    pushes = Pushes()
    with Load(proxy, read) as reads, Load(proxy, pushes) as writes:
        pushes.go_on()
        servers.leader.kill()
        reads.moves_on(200)
        promote(one, two)
        pushes.go_on()
        reads.moves_on(200)
    assert reads.failures == [] and writes.failures == []
    assert all(b"not executed" in error or b"may or may not" in error for error in pushes.errors), pushes.errors[:3]
    assert_nothing_twice(pushes, one)


def test_what_the_new_leader_acknowledged_is_there_once_and_nowhere_else(proxy: Proxy, servers: Cluster) -> None:
    one, two = servers.replicas
    servers.leader.kill()
    promote(one, two)
    pushes = Pushes()
    with Load(proxy, pushes):
        pushes.go_on()
    for client, numbers in pushes.acknowledged.items():
        assert stored(one, client) == numbers


def test_a_former_leader_that_returns_as_a_master_gets_no_writes(proxy: Proxy, servers: Cluster) -> None:
    one, two = servers.replicas
    servers.leader.kill()
    promote(one, two)
    pushes = Pushes()
    with Load(proxy, pushes):
        pushes.go_on()
        servers.leader.restart()
        pushes.go_on(2000)
    assert servers.leader.calls("rpush") == 0
    with proxy.connect() as wire:
        assert wire.ask("GET", "planted:1") == planted(1)


def test_a_former_leader_that_returns_as_a_replica_is_read(proxy: Proxy, servers: Cluster) -> None:
    one, two = servers.replicas
    servers.leader.kill()
    promote(one, two)
    servers.leader.restart()
    servers.leader.call("REPLICAOF", "127.0.0.1", str(one.port))
    with Load(proxy, read) as load:
        eventually(lambda: servers.leader.calls("get") > 100, "the former leader is read", within=20)
    assert load.failures == []


def failover(servers: Cluster) -> None:
    """The FAILOVER command of the leader."""
    servers.leader.call("FAILOVER", "TO", "127.0.0.1", str(servers.replicas[0].port))
    eventually(lambda: servers.replicas[0].info("replication")["role"] == "master", "the replica has taken over")


def swap(servers: Cluster) -> None:
    """The roles are swapped by hand."""
    one, two = servers.replicas
    promote(one, servers.leader, two)


@pytest.mark.parametrize("switch", [failover, swap])
def test_plain_commands_get_no_error_when_the_roles_are_switched(proxy: Proxy, servers: Cluster, switch: object) -> None:
    assert callable(switch)
    pushes = Pushes()
    with Load(proxy, read) as reads, Load(proxy, pushes) as writes:
        pushes.go_on()
        switch(servers)
        pushes.go_on()
    assert reads.failures == [] and writes.failures == []
    assert pushes.errors == []
    assert_nothing_twice(pushes, servers.replicas[0])


@pytest.mark.parametrize("switch", [failover, swap])
def test_a_transaction_under_way_when_the_roles_are_switched_is_aborted_as_a_whole(
    proxy: Proxy, servers: Cluster, switch: object
) -> None:
    assert callable(switch)
    with proxy.connect() as wire:
        assert wire.ask("MULTI") == b"+OK\r\n"
        wire.ask("SET", "in:transaction", "1")
        switch(servers)
        eventually(lambda: writable(proxy), "writes go on")
        assert wire.ask("EXEC").startswith(b"-EXECABORT")
        assert wire.ask("EXISTS", "in:transaction") == b":0\r\n"


def writable(proxy: Proxy) -> bool:
    with proxy.connect() as wire:
        return wire.ask("SET", "probe", "v") == b"+OK\r\n"


@pytest.mark.parametrize("switch", [failover, swap])
def test_a_blocked_client_goes_on_waiting_at_the_next_leader_when_the_roles_are_switched(
    proxy: Proxy, servers: Cluster, switch: object
) -> None:
    assert callable(switch)
    with proxy.connect() as wire, proxy.connect() as other:
        wire.send(pack("BLPOP", "empty", "60"))
        eventually(lambda: servers.leader.blocked_clients() == 1, "the client is blocked")
        switch(servers)
        eventually(lambda: writable(proxy), "writes go on")
        assert other.ask("RPUSH", "empty", "x") == b":1\r\n"
        assert wire.frame() == b"*2\r\n$5\r\nempty\r\n$1\r\nx\r\n"
        assert wire.ask("GET", "planted:1") == planted(1)


def test_a_write_to_a_demoted_leader_without_successor_says_that_it_was_not_executed(proxy: Proxy, servers: Cluster) -> None:
    servers.leader.call("REPLICAOF", "127.0.0.1", str(servers.replicas[0].port))
    with proxy.connect() as wire:
        reply = wire.ask("SET", "k", "v")
        assert reply.startswith(b"-READONLY") or b"not executed" in reply


def test_static_discovery_never_follows(servers: Cluster) -> None:
    one, two = servers.replicas
    with rproxy(servers, "--discovery", "static") as proxy:
        promote(one, two)
        servers.leader.kill()
        one.forget()
        with proxy.connect() as wire:
            eventually(lambda: b"not executed" in wire.ask("SET", "k", "v"), "rproxy knows that its leader has gone")
        assert one.calls("set") == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_write_is_told_that_two_servers_say_that_they_lead_and_none_has_the_majority(workers: str) -> None:
    """The third server, which could follow one of them, is away: with nobody who could, the leader would stay."""
    with cluster(2) as servers, rproxy(servers, "--workers", workers) as proxy, proxy.connect() as wire:
        rival, third = servers.replicas
        third.kill()
        rival.call("REPLICAOF", "NO", "ONE")
        eventually(lambda: wire.ask("SET", "k", "v") == errors.SEVERAL_LEADERS, "it says why")
        servers.leader.call("REPLICAOF", "127.0.0.1", str(rival.port))
        eventually(lambda: wire.ask("SET", "k", "v") == b"+OK\r\n", "one of them has given in")


def test_writes_wait_while_two_servers_say_that_they_lead(proxy: Proxy, servers: Cluster) -> None:
    one, two = servers.replicas
    with proxy.connect() as wire:
        assert wire.ask("SET", "k", "1") == b"+OK\r\n"
        promote(one, two)
        eventually(lambda: two.in_sync(), "the other replica follows the new leader")
        one.forget()
        eventually(
            lambda: wire.ask("SET", "k", "2") == b"+OK\r\n" and one.calls("set") > 0, "writes go to the one that is followed"
        )
        before = servers.leader.calls("set")
        for _ in range(20):
            assert wire.ask("SET", "k", "3") == b"+OK\r\n"
        assert servers.leader.calls("set") == before
