"""Many clients at once: no read shows less than what was acknowledged to anybody, or shown to anybody, before it began."""

from __future__ import annotations

import pytest

from tests.freshness.registers import KINDS, Registers
from tests.integration.harness import Proxy
from tests.integration.servers import LaggingCluster

READS = 6000


@pytest.mark.parametrize("rest", [0.0, 0.03], ids=["busy writers", "writers that rest"])
def test_no_read_is_behind_a_write_that_anybody_has_seen(proxy: Proxy, servers: LaggingCluster, rest: float) -> None:
    with Registers(proxy, rest=rest) as registers:
        registers.go_on(READS)
    assert registers.errors == []
    assert registers.stale == []


def test_one_replica_far_behind_the_other_shows_nobody_the_past(proxy: Proxy, servers: LaggingCluster) -> None:
    servers.lag(0.001, 0.5)
    with Registers(proxy, rest=0.02) as registers:
        registers.go_on(READS)
    assert registers.stale == registers.errors == []


def test_these_tests_would_find_stale_reads(careless: Proxy, servers: LaggingCluster) -> None:
    with Registers(careless, kinds=[kind for kind in KINDS if kind != "large"]) as registers:
        registers.go_on(READS)
    assert registers.errors == []
    assert len(registers.stale) > READS / 10
