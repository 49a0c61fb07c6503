"""Servers that have left the topology: they get nothing new, and answer what they were asked.

Owned by `plane`, which gives their pools here. The pool of the last leader is kept until `handover` has ended with it. It must never keep one for longer than
half the budget: then there is time left to ask others what it has not answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.tallies import EXCLUSIVE, LANES, LEASES

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool


class Retirement:
    """`pools` of servers that have left, until they are closed."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._until: dict[Pool, float] = {}

    @property
    def pools(self) -> list[Pool]:
        """Those that are not closed yet."""
        return list(self._until)

    def take(self, pool: Pool) -> None:
        """Its server has left: what is known of it counts no more, and what waits for a connection to it goes elsewhere."""
        plane = self._plane
        if plane.stamping:
            plane.freshness.drop(pool.index, plane.clock_ns())
        self._until[pool] = plane.clock() + plane.options.budget / 2
        for lane in list(pool.lanes.values()):
            if not lane.ready and pool is not plane.handover.last:
                lane.close()
        self.tick(plane.clock())
        plane.start_ticking()

    def tick(self, now: float) -> bool:
        """Close those that have answered everything, or had their time; True while there are others."""
        for pool, until in list(self._until.items()):
            if pool is self._plane.handover.last or (pool.owes() and now < until):
                continue
            del self._until[pool]
            pool.close()
            if self._plane.pools.get(pool.server) is None:
                for field in (LANES, LEASES, EXCLUSIVE):
                    self._plane.tallies.put_of_server(pool.index, field, 0)
        return bool(self._until)
