"""Fixtures of the freshness tests: a leader whose replicas lag by 20 ms, proxies in front of it, one of each consistency, and one server without
replicas that knows what is right.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster, Node, lagging_cluster
from tests.integration.wire import eventually

LAG = 0.02


@pytest.fixture(scope="package")
def started() -> Iterator[LaggingCluster]:
    with lagging_cluster(LAG) as servers:
        yield servers


@pytest.fixture(scope="package")
def started_oracle() -> Iterator[Node]:
    with Node() as server:
        yield server


@pytest.fixture(scope="package", params=["1", "2"], ids=["one worker", "two workers"])
def fresh_proxy(started: LaggingCluster, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """With two workers, the second client is another worker's than the first, and so on."""
    started.let_go()
    with rproxy(started, "--consistency", "fresh", "--workers", request.param) as proxy:
        yield proxy


@pytest.fixture(scope="package")
def eventual_proxy(started: LaggingCluster) -> Iterator[Proxy]:
    started.let_go()
    with rproxy(started, "--consistency", "eventual") as proxy:
        yield proxy


@pytest.fixture
def servers(started: LaggingCluster) -> LaggingCluster:
    """A leader and two replicas that lag by 20 ms, without keys."""
    started.let_go()
    started.lag(LAG)
    started.empty()
    return started


@pytest.fixture
def oracle(started_oracle: Node) -> Node:
    """One server, without replicas and without keys."""
    started_oracle.call("FLUSHALL")
    return started_oracle


@pytest.fixture
def proxy(fresh_proxy: Proxy) -> Proxy:
    return fresh_proxy


@pytest.fixture
def careless(eventual_proxy: Proxy) -> Proxy:
    """It reads from replicas whatever they have."""
    return eventual_proxy


def read_by_replicas(proxy: Proxy, servers: LaggingCluster, *words: str) -> None:
    """Wait until this read (DBSIZE: of all keys, so every read) goes to the replicas, all of them, and not to the leader."""
    name, *_ = words = words or ("DBSIZE",)
    answered: set[Node] = set()
    with proxy.connect() as wire:

        def so() -> bool:
            before = [node.calls(name) for node in servers.nodes]
            wire.ask(*words)
            answered.update(node for node, seen in zip(servers.nodes, before, strict=True) if node.calls(name) > seen)
            if servers.leader in answered:
                answered.clear()
            return len(answered) == len(servers.replicas)

        eventually(so, f"{name} goes to the replicas alone", pause=0)
