"""Who leads, with `discovery = "sentinel"`: the one that the Sentinels name, once it says so itself; and which servers they know.

Called by `judge` (the rule) and `sentinel` (the rest). It must never ask anybody, and never let one lead for being named alone: Sentinels may be
partitioned, and name one that was demoted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rproxy.controlplane.succession import Claim, Doubt, Ruling, Views
from rproxy.dataplane.topology import Server

log = logging.getLogger("rproxy.topology")

MOST_SERVERS = 256
"""Indices are not given twice."""
NOBODY = Server(0, "no-leader-known-yet.invalid", 6379)
"""Stands for the leader until a Sentinel has named one, where the settings name no server. It is never probed."""


class Named(NamedTuple):
    """A server as a Sentinel names it; `down`: the Sentinel can't reach it either."""

    host: str
    port: int
    run_id: str = ""
    down: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What one Sentinel knows of the service. `epoch` grows with each failover: of two that differ, the higher one is newer."""

    leader: Named
    epoch: int = 0
    replicas: tuple[Named, ...] = ()


def newest(reports: Iterable[Report]) -> Report | None:
    """The one to believe: the first of those with the highest epoch."""
    return max(reports, key=lambda report: report.epoch, default=None)


class Registry:
    """Gives every address that a Sentinel names its server: a configured one, or a new one with the credentials of the first configured one.

    A server may have several addresses (names, NAT): it is recognised by its run id, which it tells probes and Sentinels alike.
    """

    def __init__(self, configured: Sequence[Server]) -> None:
        self._configured = tuple(configured)
        self._by_address = {(server.host, server.port): server for server in configured if not server.path}
        self._model = replace(configured[0], path="", weight=1, zone="") if configured else NOBODY
        self._next = max(server.index for server in configured or (NOBODY,)) + 1
        self._full = False

    def servers(self, reports: Iterable[Report], run_ids: Mapping[Server, str]) -> tuple[Server, ...]:
        """All servers that these reports name, after the configured ones. `run_ids`: of the servers known now."""
        known = {run_id: server for server, run_id in sorted(run_ids.items(), key=lambda item: -item[0].index) if run_id}
        found: dict[Server, None] = dict.fromkeys(self._configured)
        for report in reports:
            for named in (report.leader, *report.replicas):
                server = known.get(named.run_id) or self._at(named, run_ids)
                if server is None and (named is report.leader or not named.down):
                    server = self._make(named.host, named.port)
                if server is not None:
                    self._by_address[named.host, named.port] = server
                    found[server] = None
        return tuple(sorted(found, key=lambda server: server.index))

    def leader(self, report: Report) -> Server | None:
        """The server of the leader that it names, known by `servers`."""
        return self._by_address.get((report.leader.host, report.leader.port))

    def _at(self, named: Named, run_ids: Mapping[Server, str]) -> Server | None:
        """The server that this address was found to be, unless it is another one's own, and that has become another process."""
        server = self._by_address.get((named.host, named.port))
        if server is None or (server.host, server.port) == (named.host, named.port) or not named.run_id:
            return server
        return server if run_ids.get(server) in (None, "", named.run_id) else None

    def _make(self, host: str, port: int) -> Server | None:
        if self._next >= MOST_SERVERS:
            if not self._full:
                log.error("more than %d servers were named in the life of this process: new ones are left out", MOST_SERVERS)
            self._full = True
            return None
        self._next += 1
        return replace(self._model, index=self._next - 1, host=host, port=port)


class Nomination:
    """The rule. The one that leads stays as long as it is named and says that it leads."""

    def __init__(self, leader: Server) -> None:
        self.leader = leader
        self.named: Server | None = None

    def decide(self, views: Views, proven: tuple[str, int], now: float) -> Ruling:
        """`proven` and `now` don't count: the Sentinels have chosen."""
        named = self.named
        if named is None or named not in views:
            return Ruling(self.leader, Doubt.UNNAMED)
        view = views[named]
        others = {
            server: f"it says that it leads, but the Sentinels name {named.name}"
            for server, other in views.items()
            if server != named and other.claim is Claim.LEADER
        }
        leads = view.claim in (Claim.LEADER, Claim.MUTE)
        if named == self.leader:
            if leads:
                return Ruling(named, Doubt.NONE if view.fresh else Doubt.ASKED, others=others)
            return Ruling(named, Doubt.SILENT if view.claim is Claim.SILENT else Doubt.NAMED, (named,), others=others)
        if not leads or not view.proven:
            return Ruling(self.leader, Doubt.NAMED, (named,), others=others)
        self.leader = named
        return Ruling(named, moved="the Sentinels name it, and it says that it leads", others=others)
