"""Fixtures of the integration tests: one leader with two replicas for all of them, and two proxies in front,
one of each consistency.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster


@pytest.fixture(scope="package")
def started() -> Iterator[Cluster]:
    with cluster() as servers:
        yield servers


@pytest.fixture
def servers(started: Cluster) -> Cluster:
    """A leader and two replicas without keys, their counters at zero."""
    started.empty()
    return started


@pytest.fixture(scope="package")
def eventual_proxy(started: Cluster) -> Iterator[Proxy]:
    with rproxy(started, "--consistency", "eventual") as proxy:
        yield proxy


@pytest.fixture(scope="package")
def leader_proxy(started: Cluster) -> Iterator[Proxy]:
    with rproxy(started, "--consistency", "leader") as proxy:
        yield proxy


@pytest.fixture
def proxy(servers: Cluster, eventual_proxy: Proxy) -> Proxy:
    """rproxy with reads on the replicas."""
    servers.empty()
    return eventual_proxy


@pytest.fixture
def strict(servers: Cluster, leader_proxy: Proxy) -> Proxy:
    """rproxy with every read on the leader: it must be the leader's equal, byte for byte."""
    servers.empty()
    return leader_proxy
