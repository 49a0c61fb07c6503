"""Connections that end for the server alone: something between acknowledges what rproxy sends, and tells nobody that there is no server behind it any more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster, lagging_cluster
from tests.integration.wire import Wire, eventually


@pytest.fixture
def servers() -> Iterator[LaggingCluster]:
    with lagging_cluster(replicas=0, fronts=True) as started:
        yield started


@pytest.fixture
def proxy(servers: LaggingCluster) -> Iterator[Proxy]:
    with rproxy(servers) as started:
        yield started


def end_at_the_server(servers: LaggingCluster) -> None:
    """End all connections of rproxy for the leader; those that come from now on are not concerned."""
    front = servers.fronts[0]
    for flow in front.connections():
        front.stall(connection=flow.id)
    servers.leader.call("CLIENT", "KILL", "TYPE", "normal")
    servers.leader.call("CLIENT", "KILL", "TYPE", "pubsub")


def blocked(servers: LaggingCluster, name: bytes, count: int) -> None:
    eventually(lambda: servers.leader.call("CLIENT", "LIST").count(b"cmd=" + name) == count, f"{count} wait in {name!r}")


def is_closed(wire: Wire) -> None:
    with pytest.raises((EOFError, ConnectionError)):
        wire.frame()


def test_a_transaction_is_told(proxy: Proxy, servers: LaggingCluster) -> None:
    with proxy.connect() as wire:
        assert wire.ask("MULTI") == b"+OK\r\n"
        end_at_the_server(servers)
        assert b"lost its connection to the leader" in wire.ask("SET", "k", "v")
        wire.ask("DISCARD")
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"


def test_a_client_that_waits_is_closed_when_its_time_is_over(proxy: Proxy, servers: LaggingCluster) -> None:
    with proxy.connect() as wire:
        wire.send(b"BLPOP l 1\r\n")
        blocked(servers, b"blpop", 1)
        end_at_the_server(servers)
        is_closed(wire)


def test_clients_that_wait_for_ever_are_closed_when_anything_else_is_overdue(proxy: Proxy, servers: LaggingCluster) -> None:
    with proxy.connect() as waiting, proxy.connect() as listening, proxy.connect() as other:
        waiting.send(b"BLPOP l 0\r\n")
        listening.ask("SUBSCRIBE", "c")
        other.ask("MULTI")
        blocked(servers, b"blpop", 1)
        end_at_the_server(servers)
        other.ask("PING")
        is_closed(waiting)
        is_closed(listening)


def test_a_client_that_waits_longer_than_the_budget_at_a_server_that_is_there_is_left_alone(
    proxy: Proxy, servers: LaggingCluster
) -> None:
    with proxy.connect() as waiting, proxy.connect() as other:
        waiting.send(b"BLPOP l 0\r\n")
        blocked(servers, b"blpop", 1)
        other.send(b"BLPOP m 4\r\n")
        assert other.frame() == b"*-1\r\n"
        servers.leader.call("RPUSH", "l", "x")
        assert waiting.frame() == b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"


def test_a_write_that_the_server_holds_back_is_waited_for(proxy: Proxy, servers: LaggingCluster) -> None:
    with proxy.connect() as wire:
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"
        servers.leader.call("CLIENT", "PAUSE", "5000", "WRITE")
        assert wire.ask("SET", "k", "w") == b"+OK\r\n"
    assert "does not have this connection" not in proxy.log()
