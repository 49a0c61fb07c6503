"""Names and addresses that lead to several servers, or to another one than before: a server is its process, whatever it is called."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rproxy.embedded import free_port
from tests.integration.gateway import Gateway, ServiceProxy
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, Node, cluster, lagging_cluster
from tests.integration.wire import eventually

HOSTS = Path(__file__).parent / "hosts"
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
QUICK = ("--timeouts.resolve", "200ms")
PATIENT = ("--timeouts.budget", "10s")
"""For tests in which every write must be run, however slow the machine is."""


class Names:
    """What names that end in `.test` stand for, for programs that are started from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.known: dict[str, list[str]] = {}

    def stand(self, **names: list[str]) -> None:
        """These names stand for these addresses now."""
        self.known |= names
        lines = [" ".join((f"{name}.test", *addresses)) for name, addresses in self.known.items()]
        beside = self._file.with_suffix(".new")
        beside.write_text("\n".join(lines))
        beside.rename(self._file)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    file = tmp_path / "hosts"
    file.write_text("")
    monkeypatch.setenv("TEST_HOSTS", str(file))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(HOSTS), os.environ.get("PYTHONPATH", "")))))
    return Names(file)


@contextlib.contextmanager
def writing(proxy: Proxy) -> Iterator[list[bytes]]:
    """A client that counts up in the background, over a new connection each time; what it was told."""
    replies: list[bytes] = []
    ends = threading.Event()

    def count() -> None:
        while not ends.wait(0.01):
            with proxy.connect() as wire:
                replies.append(wire.ask("INCR", "n"))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield replies
    finally:
        ends.set()
        thread.join()


def promote(new: Node, old: Node) -> None:
    """As a managed service switches over: the new one leads, the old one follows it."""
    new.call("REPLICAOF", "NO", "ONE")
    old.call("REPLICAOF", "127.0.0.1", str(new.port))


def serving(proxy: Proxy) -> dict[str, str]:
    """The servers that are in, and their roles."""
    return {server["server"]: server["role"] for server in status(proxy) if server["in"]}


def status(proxy: Proxy) -> list[dict[str, Any]]:
    with proxy.connect() as wire:
        found: list[dict[str, Any]] = json.loads(wire.call("RPROXY", "STATUS"))["servers"]
    return found


@WORKERS
def test_reads_are_fresh_where_one_address_leads_to_replicas_that_lag_differently(workers: str) -> None:
    with lagging_cluster(0.0, 0.5) as servers, Gateway(*(node.port for node in servers.replicas)) as balancer:
        urls = [servers.urls[0], f"redis://127.0.0.1:{balancer.port}"]
        alone = Cluster(servers.leader, [])
        with rproxy(alone, "--workers", workers, urls=urls) as proxy:
            eventually(lambda: len(serving(proxy)) == 2, "the balanced address is read")
            for number in range(150):
                with proxy.connect() as wire:  # each worker has connections of its own
                    wire.ask("SET", "k", str(number))
                    assert wire.ask("GET", "k") == b"$%d\r\n%d\r\n" % (len(str(number)), number)
                    wire.ask("GET", "other")


@WORKERS
def test_writes_go_on_when_a_virtual_address_leads_to_the_next_leader_and_keeps_its_old_connections(workers: str) -> None:
    with cluster(replicas=1) as servers, Gateway(servers.leader.port) as address:
        alone = Cluster(servers.leader, [])
        with rproxy(alone, "--workers", workers, *PATIENT, urls=[f"redis://127.0.0.1:{address.port}"]) as proxy:
            with writing(proxy) as replies:
                eventually(lambda: len(replies) > 20, "writes run")
                servers.settle()
                promote(servers.replicas[0], servers.leader)
                address.lead_to(servers.replicas[0].port)
                seen = len(replies)
                eventually(lambda: len(replies) > seen + 20, "writes run again")
            assert [reply for reply in replies if not reply.startswith(b":")] == []


@WORKERS
def test_writes_go_on_when_a_name_stands_for_the_next_leader(names: Names, workers: str) -> None:
    port = free_port()
    with (
        cluster(replicas=1) as servers,
        Gateway(servers.leader.port, host="127.0.0.2", port=port),
        Gateway(servers.replicas[0].port, host="127.0.0.3", port=port),
    ):
        names.stand(primary=["127.0.0.2"], reader=["127.0.0.3"])
        urls = [f"redis://primary.test:{port}", f"redis://reader.test:{port}"]
        with rproxy(Cluster(servers.leader, []), "--workers", workers, *QUICK, *PATIENT, urls=urls) as proxy:
            eventually(lambda: len(serving(proxy)) == 2, "both serve")
            with writing(proxy) as replies:
                eventually(lambda: len(replies) > 20, "writes run")
                servers.settle()
                promote(servers.replicas[0], servers.leader)
                names.stand(primary=["127.0.0.3"], reader=["127.0.0.2"])
                seen = len(replies)
                eventually(lambda: len(replies) > seen + 20, "writes run again")
            assert [reply for reply in replies if not reply.startswith(b":")] == []
            eventually(
                lambda: serving(proxy) == {f"primary.test:{port}": "leader", f"reader.test:{port}": "replica"}, "both serve again"
            )


def test_two_names_of_one_process_are_one_server(names: Names) -> None:
    with cluster(replicas=0) as servers:
        names.stand(one=["127.0.0.1"], two=["127.0.0.1"])
        port = servers.leader.port
        with rproxy(servers, urls=[f"redis://one.test:{port}", f"redis://two.test:{port}"]) as proxy:
            assert serving(proxy) == {f"one.test:{port}": "leader"}
            why = {server["server"]: server["why"] for server in status(proxy)}
            assert why[f"two.test:{port}"] == f"is not read: it is the same process as one.test:{port}"


def test_each_address_of_a_name_is_a_server_that_comes_and_goes(names: Names) -> None:
    port = free_port()
    hosts = [f"127.0.0.{number}" for number in (2, 3, 4)]
    with contextlib.ExitStack() as ends:
        servers = ends.enter_context(cluster(replicas=2))
        for node, host in zip(servers.nodes, hosts, strict=True):
            ends.enter_context(Gateway(node.port, host=host, port=port))
        leader, one, two = (f"{host}:{port}" for host in hosts)
        names.stand(redis=[hosts[1], hosts[0]])
        proxy = ends.enter_context(rproxy(Cluster(servers.leader, []), *QUICK, urls=[f"redis://redis.test:{port}?resolve=all"]))
        eventually(lambda: serving(proxy) == {leader: "leader", one: "replica"}, "both addresses serve")
        names.stand(redis=hosts)
        eventually(lambda: serving(proxy) == {leader: "leader", one: "replica", two: "replica"}, "the third has come")
        names.stand(redis=[hosts[0], hosts[2]])
        eventually(lambda: serving(proxy) == {leader: "leader", two: "replica"}, "the second has gone")
        names.stand(redis=[])
        with proxy.connect() as wire:
            assert wire.ask("SET", "k", "v") == b"+OK\r\n"
        assert serving(proxy) == {leader: "leader", two: "replica"}


def test_a_leader_whose_name_has_lost_its_address_leads_until_another_does(names: Names) -> None:
    port = free_port()
    with (
        cluster(replicas=1) as servers,
        Gateway(servers.leader.port, host="127.0.0.2", port=port),
        Gateway(servers.replicas[0].port, host="127.0.0.3", port=port),
    ):
        first, second = f"127.0.0.2:{port}", f"127.0.0.3:{port}"
        names.stand(redis=["127.0.0.2", "127.0.0.3"])
        with rproxy(Cluster(servers.leader, []), *QUICK, *PATIENT, urls=[f"redis://redis.test:{port}?resolve=all"]) as proxy:
            eventually(lambda: serving(proxy) == {first: "leader", second: "replica"}, "both addresses serve")
            with writing(proxy) as replies:
                names.stand(redis=["127.0.0.3"])
                eventually(lambda: len(replies) > 50, "writes go on")
                servers.settle()
                promote(servers.replicas[0], servers.leader)
                eventually(lambda: serving(proxy) == {second: "leader"}, "the last leader is gone")
                seen = len(replies)
                eventually(lambda: len(replies) > seen + 20, "writes run again")
            assert [reply for reply in replies if not reply.startswith(b":")] == []


@WORKERS
@pytest.mark.parametrize("discovery", ["roles", "static"])
def test_an_endpoint_that_shows_another_process_on_each_connection_serves(workers: str, discovery: str) -> None:
    with cluster(replicas=0) as servers, ServiceProxy(servers.leader.port) as endpoint:
        urls = [f"redis://127.0.0.1:{endpoint.port}"]
        with rproxy(servers, "--workers", workers, "--discovery", discovery, *PATIENT, urls=urls) as proxy:
            eventually(lambda: is_recognised(proxy), "it is recognised", within=30)
            with writing(proxy) as replies, contextlib.ExitStack() as clients:
                for _ in range(10):
                    wire = clients.enter_context(proxy.connect())
                    assert [wire.ask("MULTI"), wire.ask("GET", "k"), wire.ask("EXEC")][-1] == b"*1\r\n$-1\r\n"
                    wire.ask("WATCH", "k")  # which keeps its connection, so that the next client needs another
                eventually(lambda: len(replies) > 50, "writes run", within=30)
            assert [reply for reply in replies if not reply.startswith(b":")] == []


def is_recognised(proxy: Proxy) -> bool:
    """Whether the log says that the endpoint shows another process each time; connections of their own are asked for until it does."""
    with proxy.connect() as wire:
        wire.ask("WATCH", "k")
    return "another run_id on each connection" in proxy.log()


def test_a_replica_that_shows_another_process_on_each_connection_never_answers_fresh_reads() -> None:
    with lagging_cluster(0.0, 0.5) as servers, ServiceProxy(*(node.port for node in servers.replicas)) as endpoint:
        urls = [servers.urls[0], f"redis://127.0.0.1:{endpoint.port}"]
        with rproxy(Cluster(servers.leader, []), urls=urls) as proxy:
            for number in range(150):
                with proxy.connect() as wire:
                    wire.ask("SET", "k", str(number))
                    assert wire.ask("GET", "k") == b"$%d\r\n%d\r\n" % (len(str(number)), number)
                    wire.ask("GET", "other")
