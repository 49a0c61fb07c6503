"""What the metrics say when something is wrong: clients that are refused, servers that can't be had, and what waits."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from rproxy.embedded import free_port
from tests.admin.asking import answers
from tests.admin.test_metrics import told
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually


class Watched(NamedTuple):
    servers: Cluster
    proxy: Proxy
    admin: str

    def sum(self, name: str, **labels: str) -> float:
        """Over all series that have these labels."""
        return sum(
            sample.value
            for family in told(self.admin)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@pytest.fixture
def discovery() -> str:
    """How the leader is found."""
    return "roles"


@pytest.fixture(params=["1", "2"])
def watched(request: pytest.FixtureRequest, discovery: str) -> Iterator[Watched]:
    """An rproxy of so many workers, with servers of its own."""
    admin = f"tcp://127.0.0.1:{free_port()}"
    flags = ("--workers", request.param, "--timeouts.budget", "30s", "--limits.clients", "8", "--discovery", discovery)
    with cluster() as servers, rproxy(servers, *flags, admin=admin) as proxy:
        eventually(lambda: answers(admin), "it answers")
        yield Watched(servers, proxy, admin)


def test_a_replica_that_is_gone_is_counted_with_the_reason(watched: Watched) -> None:
    gone = watched.servers.replicas[0]
    name = f"127.0.0.1:{gone.port}"
    assert watched.sum("rproxy_server_ejections_total") == 0
    gone.kill()
    eventually(lambda: watched.sum("rproxy_server_ejections_total", server=name, reason="failed") == 1, "it is out", within=20)
    assert watched.sum("rproxy_server_ejections_total") == 1


def test_a_replica_that_has_lost_its_leader_says_for_how_long(watched: Watched) -> None:
    name = f"127.0.0.1:{watched.servers.replicas[0].port}"
    assert watched.sum("rproxy_server_link_down_seconds", server=name) == 0
    watched.servers.leader.kill()
    eventually(lambda: watched.sum("rproxy_server_link_down_seconds", server=name) > 0, "its link is down", within=20)


def test_writes_that_wait_for_a_leader_are_seen_to_wait(watched: Watched) -> None:
    watched.servers.leader.kill()
    with watched.proxy.connect() as wire:
        wire.send(b"SET k v\r\n")
        eventually(lambda: watched.sum("rproxy_pool_waiting") == 1, "it waits", within=20)
        eventually(lambda: watched.sum("rproxy_pool_maxwait_seconds") > 0.2, "for a while")
    eventually(lambda: watched.sum("rproxy_pool_waiting") == 0, "nobody waits any more", within=40)


@pytest.mark.parametrize("watched", ["1"], indirect=True)
@pytest.mark.parametrize("discovery", ["static"])
def test_connections_that_cannot_be_had_are_counted(watched: Watched) -> None:
    """With a fixed leader, what is for it is connected to it and to nobody else, however long that fails."""
    watched.servers.leader.kill()
    with watched.proxy.connect() as wire:
        wire.send(b"SET k v\r\n")
        name = f"127.0.0.1:{watched.servers.leader.port}"
        eventually(lambda: watched.sum("rproxy_server_connect_errors_total", server=name) > 0, "nobody listens there")
        watched.servers.leader.restart()
        assert wire.frame() == b"+OK\r\n"


def test_bytes_that_are_no_command_are_counted(watched: Watched) -> None:
    with watched.proxy.connect() as wire:
        wire.send(b"*1\r\n!\r\n")
        assert wire.frame().startswith(b"-ERR Protocol error")
    eventually(lambda: watched.sum("rproxy_protocol_errors_total") == 1, "it is counted")


def test_clients_beyond_the_limit_are_counted_with_the_reason(watched: Watched) -> None:
    clients = [socket.create_connection(("127.0.0.1", watched.proxy.port), 5) for _ in range(12)]
    eventually(lambda: watched.sum("rproxy_clients_refused_total", reason="limit") >= 4, "some were refused")
    assert watched.sum("rproxy_clients_refused_total", reason="tls") == 0
    for client in clients:
        client.close()


def test_a_command_under_way_is_pending_at_its_server(watched: Watched) -> None:
    name = f"127.0.0.1:{watched.servers.leader.port}"
    with watched.proxy.connect() as wire:
        wire.ask("SET", "k", "v")
        watched.servers.leader.stop()
        try:
            wire.send(b"SET k w\r\n")
            eventually(lambda: watched.sum("rproxy_server_pending", server=name) == 1, "it is under way", within=20)
        finally:
            watched.servers.leader.cont()
        assert wire.frame() == b"+OK\r\n"
    eventually(lambda: watched.sum("rproxy_server_pending", server=name) == 0, "it is answered")


def test_the_loop_and_the_files_are_told(watched: Watched) -> None:
    eventually(lambda: watched.sum("rproxy_loop_lag_seconds") > 0, "the loop has been looked at")
    assert 0 < watched.sum("rproxy_open_files") < watched.sum("rproxy_open_files_max")
