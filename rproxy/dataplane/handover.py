"""From one leader to the next: nobody's writes are lost for it, none is sent twice, and none goes to two leaders.

Owned by `plane`. While nobody knows who leads, what is for the leader waits in `plane.limbo`, a pool that never dials. When a new leader is known, the old
one is let finish what it was sent, for a moment; then its connections are closed, the keyspace is stamped, and what waited goes on. It must never send to
the new leader before the old one's connections are closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.topology import Topology

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool

PATIENCE = 0.3
"""Seconds for which a server that leads no more may answer what it was sent before. One that was demoted answers -READONLY at once."""


class Handover:
    """`last` is the pool of the server that led last, `next` that of the one which is to lead when `last` has finished."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.last: Pool | None = None
        self.next: Pool | None = None
        self._until = 0.0

    def follow(self, topology: Topology) -> None:
        """The control plane says who leads, or that nobody knows."""
        plane = self._plane
        pool = plane.pools[topology.leader]
        if not topology.settled:
            self.doubt()
        elif self.last is None or pool is self.last:
            self.next = None
            self._lead(pool)
        elif pool is not self.next:
            self.doubt()
            self.next = pool
            self._until = plane.clock() + PATIENCE
            self._try()

    def doubt(self) -> None:
        """Nobody knows who leads: what is sent from now on waits."""
        plane = self._plane
        self.next = None
        if plane.leader is not plane.limbo:
            for lane in list(plane.leader.lanes.values()):
                plane.limbo.take_over(lane)
            for lease in list(plane.leader.leases):
                if not lease.ready and not lease.refusal:
                    plane.limbo.take_in(lease)
            plane.leader = plane.limbo

    def tick(self, now: float) -> bool:
        """Look after a change that is under way; True while one is."""
        if self.next is not None:
            self._try()
        return self.next is not None

    def _try(self) -> None:
        """Change over, if the last leader has nothing more to answer or has had its time."""
        plane = self._plane
        if self.last is None or self.next is None:
            return
        if self.last.owes() and plane.clock() < self._until:
            plane.start_ticking()
            return
        self.last.close()
        plane.changed_leader()
        pool, self.next = self.next, None
        self._lead(pool)
        plane.refresh()

    def _lead(self, pool: Pool) -> None:
        """This pool's server takes the writes, and all that waited for a leader."""
        plane = self._plane
        for other in plane.pools.values():
            other.leads = other is pool
        self.last = plane.leader = pool
        lanes, leases = list(plane.limbo.lanes.values()), list(plane.limbo.leases)
        plane.limbo.lanes.clear()
        for lane in lanes:
            pool.take_over(lane)
        for lease in leases:
            pool.take_in(lease)
