"""What the tests of the judge tell it: three servers, what each may say, and a judge that hears it.

Used by the tests of the judge only. No clock and no server.
"""

from __future__ import annotations

from dataclasses import replace

from rproxy.controlplane.fitness import Limits
from rproxy.controlplane.judge import Judge
from rproxy.controlplane.probe import Health
from rproxy.dataplane.topology import Server, Topology

LEADER, FIRST, SECOND = servers = tuple(Server(index, "10.0.0.1", 6379 + index) for index in range(3))
INTERVAL = 1.0
ONE, TWO = "1" * 40, "2" * 40


def well(server: Server, **more: object) -> Health:
    role = "master" if server is LEADER else "slave"
    return replace(Health(server, role=role, link_up=role == "slave", offset=100, replication_id=ONE), **more)  # type: ignore[arg-type]


def silent(server: Server) -> Health:
    return Health(server, error="connection refused", answered=False)


def refusing(server: Server) -> Health:
    return Health(server, error="it refuses: NOAUTH", refused=True)


def promoted(server: Server, **more: object) -> Health:
    return well(server, **{"role": "master", "link_up": False, "replication_id": TWO, "former_id": ONE, "left_at": 100, **more})


class Told:
    """A judge that is told one thing after the other, a tenth of a second apart."""

    def __init__(self, discovery: str = "roles", limits: Limits | None = None, proven: tuple[str, int] = ("", 0)) -> None:
        self.proven = proven
        self.judge = Judge(servers, discovery, limits, 1.5, lambda: self.proven)
        self.now = 0.0

    def hear(self, *healths: Health) -> Topology:
        for health in healths:
            self.now += 0.1
            timed = replace(health, asked=self.now - 0.001, heard=self.now)
            self.judge.observe(timed, self.judge.begin(health.server))
        return self.judge.topology

    def why(self, server: Server) -> str:
        return dict(self.judge.topology.why)[server.index]
