"""Which process each server is, by its run id: a name or an address may lead to another one from one connection to the next.

A name moves to the leader that was promoted, a load balancer takes each connection somewhere else, a process is restarted. What is known of a server (that
it leads, how fresh it is) is known of one process: the one that the control plane asks. Called by `plane` when a topology tells of processes, and by
`upstream` for each connection. It must never leave a connection in use that is known to go to another process.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rproxy.dataplane.topology import Topology

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.upstream import Upstream


def tag_of(process: bytes) -> int:
    """A number of 63 bits for a run id; 0 where there is none."""
    return int.from_bytes(hashlib.sha256(process).digest()[:8], "big") >> 1 | 1 if process else 0


def follow(plane: Plane, topology: Topology) -> bool:
    """The servers are these processes now. Connections of replicas to others are closed; True where the last leader has some, which `handover` must end."""
    told = dict(topology.processes)
    leaves = False
    for server, pool in list(plane.pools.items()):
        process = told.get(server.index, pool.process)
        if process == pool.process:
            continue
        pool.bind(process)
        wrong = [upstream for upstream in pool.connections() if upstream.ready and is_wrong(upstream, unasked=True)]
        if pool is plane.handover.last:
            leaves = bool(wrong)
        else:
            for upstream in wrong:
                upstream.discard()
        plane.freshness.bind(server.index, tag_of(process), plane.clock_ns())
    return leaves


def is_wrong(upstream: Upstream, unasked: bool = False) -> bool:
    """Whether the connection is known to go to another process than its server is. `unasked`: or was opened before anybody asked."""
    process = upstream.pool.process
    unknown = unasked and upstream.key.login.asks
    return bool(process) and upstream.process != process and bool(upstream.process or unknown)
