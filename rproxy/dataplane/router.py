"""Which servers may answer a command. Pure functions of (kind, topology, settings).

Called by `plane` whenever the topology or a server's state changes, and by `rproxy explain`. It must never remember anything.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TypeVar

from rproxy.dataplane.commands import Kind
from rproxy.dataplane.topology import Server, Topology

T = TypeVar("T")


def readers(topology: Topology, consistency: str, leaderless: str, silent: Container[Server] = ()) -> tuple[Server, ...]:
    """The servers of which any may answer a read; never empty.

    `consistency` "eventual": the connected replicas, without those in `silent` (sent to, and no byte for a while) unless all are; the leader where none is
    connected. "leader": the leader; where it does not answer and `leaderless` is "serve", the reader with the highest offset.
    """
    if consistency == "leader":
        freshest = topology.freshest_reader()
        if topology.leader_up or leaderless != "serve" or freshest is None:
            return (topology.leader,)
        return (freshest,)
    answering = tuple(server for server in topology.readers if server not in silent)
    return answering or topology.readers or (topology.leader,)


def servers(kind: int, topology: Topology, consistency: str, leaderless: str) -> tuple[Server, ...]:
    """The servers of which any may be sent a command of this kind; empty for one that rproxy answers by itself or refuses."""
    if kind in (Kind.LOCAL, Kind.DENIED):
        return ()
    if kind == Kind.READ:
        return readers(topology, consistency, leaderless)
    return (topology.leader,)


def pick(among: Sequence[T], random: Callable[[], float]) -> T:
    """One of `among`, each as likely; `random` gives numbers in [0, 1)."""
    return among[int(random() * len(among))]
