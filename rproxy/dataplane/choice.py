"""Which one of the servers that may answer a read: the read policies, weights and zones.

Owned by `plane`, which asks it once for the reads of a loop pass. It must never choose a server that it was not given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rproxy.dataplane.topology import Topology

if TYPE_CHECKING:
    from rproxy.dataplane.pool import Pool

POLICIES = ("random", "least-pending", "nearest", "round-robin")


class Choice:
    """`policy` is one of `POLICIES`; servers in `zone` go before all others, where it is not empty. `random` gives numbers in [0, 1).

    random: by weight. least-pending: the fewest commands under way for its weight. nearest: the shortest latency that the probes saw, weights aside.
    round-robin: in turn, by weight. `plain`: nothing but the dice and the weights decide.
    """

    def __init__(self, policy: str, zone: str, random: Callable[[], float]) -> None:
        self._by = {"random": self._random, "least-pending": self._least, "nearest": self._nearest, "round-robin": self._turn}[
            policy
        ]
        self._zone = zone
        self.plain = policy == "random" and not zone
        self._dice = random
        self._latencies: dict[int, float] = {}
        self._served: dict[int, int] = {}

    def follow(self, topology: Topology) -> None:
        """Choose by what this topology tells from now on."""
        self._latencies = dict(topology.latencies)
        self._served.clear()

    def of(self, pools: Sequence[Pool]) -> Pool:
        """One of `pools`, of which there is at least one."""
        if len(pools) == 1:
            return pools[0]
        near = [pool for pool in pools if pool.server.zone == self._zone] if self._zone else pools
        return self._by(near or pools)

    def _random(self, pools: Sequence[Pool]) -> Pool:
        total = sum(pool.weight for pool in pools)
        if total == len(pools):
            return pools[int(self._dice() * total)]
        point = self._dice() * total
        for pool in pools:
            point -= pool.weight
            if point < 0:
                return pool
        return pools[-1]

    def _least(self, pools: Sequence[Pool]) -> Pool:
        loads = [pool.under_way() / pool.weight for pool in pools]
        least = min(loads)
        return self._random([pool for pool, load in zip(pools, loads, strict=True) if load == least])

    def _nearest(self, pools: Sequence[Pool]) -> Pool:
        return min(pools, key=lambda pool: self._latencies.get(pool.index, float("inf")))

    def _turn(self, pools: Sequence[Pool]) -> Pool:
        served = self._served
        chosen = min(pools, key=lambda pool: served.get(pool.index, 0) / pool.weight)
        served[chosen.index] = served.get(chosen.index, 0) + 1
        return chosen
