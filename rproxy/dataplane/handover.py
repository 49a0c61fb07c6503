"""From one leader to the next: nobody's writes are lost for it, none is sent twice, and none goes to two leaders.

Owned by `plane`. While nobody knows who leads, what is for the leader waits in `plane.limbo`, a pool that never dials. When a new leader is known, the old
one is let finish what it was sent, for a moment; then its connections are closed, the keyspace is stamped, and what waited goes on. It must never send to
the new leader before the old one's connections are closed. Of several workers each is told to `leave` first, and of the new leader when all have left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy.dataplane.topology import Topology

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool

PATIENCE = 0.3
"""Seconds for which a server that leads no more may answer what it was sent before. One that was demoted answers -READONLY at once."""


class Handover:
    """`last` is the pool of the server that led last, `next` that of the one which is to lead when `last` has finished; None where there is none."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.last: Pool | None = None
        self.next: Pool | None = None
        self._until = 0.0
        self._left: Callable[[], None] | None = None
        self._moved = False

    def follow(self, topology: Topology, moved: bool = False) -> None:
        """The control plane says who leads, or that nobody knows. `moved`: the last leader is another process now than its connections go to, so it is left,
        as if another server led.
        """
        plane = self._plane
        pool = plane.pools[topology.leader]
        self._moved = self.last is not None and (self._moved or moved)
        if not topology.settled:
            if moved:
                self.leave(_nobody)
            else:
                self.doubt()
        elif self.last is None or (pool is self.last and not self._moved):
            self.next = self._left = None
            self._lead(pool)
        elif pool is not self.next:
            self.leave(self._lead_next, pool)

    def leave(self, left: Callable[[], None], successor: Pool | None = None) -> None:
        """End with the last leader, and call `left` when its connections are closed. What is for a leader waits until `follow` names one."""
        self.doubt()
        self.next = successor
        self._until = self._plane.clock() + PATIENCE
        self._left = left
        self._try()

    def doubt(self) -> None:
        """Nobody knows who leads: what is sent from now on waits. Who is leaving the last leader goes on leaving it."""
        plane = self._plane
        self.next = None
        if plane.leader is not plane.limbo:
            for lane in list(plane.leader.lanes.values()):
                plane.limbo.take_over(lane)
            for lease in list(plane.leader.leases):
                if lease.ready or lease.refusal:
                    continue
                if lease.owner is None and not lease.batch:
                    lease.close()  # a question about this server: of the next one it would be another
                else:
                    plane.limbo.take_in(lease)
            plane.leader = plane.limbo

    def tick(self, now: float) -> bool:
        """Look after a change that is under way; True while one is."""
        self._try()
        return self._left is not None

    def _try(self) -> None:
        """Leave the last leader, if it has nothing more to answer or has had its time."""
        plane = self._plane
        if self._left is None:
            return
        if self.last is not None:
            if self.last.owes() and plane.clock() < self._until:
                plane.start_ticking()
                return
            self.last.close()
            plane.changed_leader()
            self.last = None
            self._moved = False
        left, self._left = self._left, None
        left()

    def _lead_next(self) -> None:
        """The last leader is left; on with the next one."""
        pool, self.next = self.next, None
        if pool is not None:
            self._lead(pool)
            self._plane.refresh()

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


def _nobody() -> None:
    """The last leader is left, and nobody is named yet."""
