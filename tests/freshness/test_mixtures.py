"""Random packets from several clients, one after another, while the replicas lag: every reply is what one server would have given."""

from __future__ import annotations

import random

import pytest

from tests.freshness.mixture import Mixture
from tests.freshness.twin import Twins
from tests.integration.harness import Proxy
from tests.integration.servers import LaggingCluster, Node

SEEDS = range(6)
PACKETS = 60


def run(proxy: Proxy, servers: LaggingCluster, oracle: Node, seed: int) -> tuple[int, list[str]]:
    """How many commands were asked, and what was wrong."""
    mixture, moods = Mixture(seed), random.Random(seed)
    with Twins(proxy.address, oracle.address) as twins:
        clients = [twins.client() for _ in range(3)]
        for _ in range(PACKETS):
            moods.choice(clients).run(*mixture.packet(moods.choice([1, 1, 2, 8, 40])), cut=moods.choice([0, 0, 3, 30]))
            if moods.random() < 0.1:
                servers.settle()
        return twins.asked, twins.wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_random_packets_are_answered_as_one_server_would(proxy: Proxy, servers: LaggingCluster, oracle: Node, seed: int) -> None:
    _, wrong = run(proxy, servers, oracle, seed)
    assert wrong == []


def test_this_test_would_find_stale_reads(careless: Proxy, servers: LaggingCluster, oracle: Node) -> None:
    found = 0
    for seed in SEEDS:
        servers.empty()
        oracle.call("FLUSHALL")
        found += len(run(careless, servers, oracle, seed)[1])
    assert found > 300
