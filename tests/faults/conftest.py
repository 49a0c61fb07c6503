"""Fixtures of the fault tests: every test has servers and a proxy of its own, because it breaks them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.load import plant
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster


@pytest.fixture
def servers() -> Iterator[Cluster]:
    """A leader that keeps what it has acknowledged when it is killed, and two replicas; all hold the keys of
    `load.plant`.
    """
    with cluster(arguments=("--appendonly", "yes", "--appendfsync", "always")) as started:
        plant(started)
        yield started


@pytest.fixture
def proxy(servers: Cluster) -> Iterator[Proxy]:
    with rproxy(servers, "--consistency", "eventual") as started:
        yield started
