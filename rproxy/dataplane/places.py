"""How many connections for single sessions a server may be given: it takes so many clients, and lanes and probes must always get through.

`pool` asks before it opens one, and says when it has one more or less; all workers count together. It must never let lanes be counted out by leases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane.states import Stage
from rproxy.dataplane.tallies import EXCLUSIVE

if TYPE_CHECKING:
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.upstream import Upstream

RESERVED = 64
"""Places that are kept for lanes, probes, replicas and people."""


def most(maxclients: int) -> int:
    """How many leases a server may have that takes `maxclients` clients; 0, as that is, where nobody knows. Few clients are not all kept for others."""
    return max(maxclients - RESERVED, maxclients // 4)


def full(pool: Pool) -> bool:
    """Whether this server may not be given another one."""
    maxclients = dict(pool.plane.topology.maxclients).get(pool.index, 0)
    return maxclients > 0 and pool.plane.tallies.total_of_server(pool.index, EXCLUSIVE) >= most(maxclients)


def open_one(pool: Pool, lease: Upstream) -> Upstream:
    """Dial for one session alone; where the server takes no more, that is what the session is told, as the server would."""
    pool.leases.add(lease)
    if pool.dials and full(pool) and not pool.make_room():
        pool.plane.later(0, lambda: _turn_away(pool, lease))
    else:
        count(pool)
        pool.start(lease)
    return lease


def open_lane(pool: Pool, lane: Upstream) -> None:
    """Dial for a lane. One of a client that has logged in takes a place as a lease does, so that logins can't use up the server's."""
    if lane.key.user is not None and pool.dials and full(pool) and not pool.make_room():
        pool.plane.later(0, lambda: _turn_away(pool, lane))
    else:
        count(pool)
        pool.start(lane)


def _turn_away(pool: Pool, lease: Upstream) -> None:
    if lease.stage is Stage.WAITING:
        lease.refusal = errors.TOO_MANY_CLIENTS
        lease.become(Stage.REFUSED)
        pool.opened(lease)


def count(pool: Pool) -> None:
    """There is one more, or less."""
    pool.plane.tallies.put_of_server(pool.index, EXCLUSIVE, pool.exclusive())
