"""Which servers may answer a command. Pure functions of (kind, topology, settings).

Called by `plane` whenever the topology or a server's state changes, and by `rproxy explain`. It must never remember anything.
"""

from __future__ import annotations

from collections.abc import Container

from rproxy.dataplane.commands import Kind
from rproxy.dataplane.topology import Server, Topology


def readers(topology: Topology, silent: Container[Server] = ()) -> tuple[Server, ...]:
    """The replicas of which any may answer a read, freshness aside: those in no trouble, without those in `silent` (sent to, and no byte for a while), unless
    nobody else is left. None where there is none, and the leader serves reads.
    """
    answering = tuple(server for server in topology.readers if server not in silent)
    return answering if answering or (topology.leader_up and topology.settled) else topology.readers


def servers(kind: int, topology: Topology, consistency: str, leaderless: str) -> tuple[Server, ...]:
    """The servers of which any may be sent a command of this kind; empty for one that rproxy answers by itself or refuses."""
    if kind in (Kind.LOCAL, Kind.DENIED):
        return ()
    if kind != Kind.READ:
        return (topology.leader,)
    if consistency == "leader":
        freshest = topology.freshest_reader()
        return (topology.leader,) if topology.leader_up or leaderless != "serve" or freshest is None else (freshest,)
    return readers(topology) or (topology.leader,)
