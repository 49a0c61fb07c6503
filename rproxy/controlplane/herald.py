"""What there is to say of servers: a line in the log for each change, and one sentence each for `rproxy status`.

Made and called by `judge`, which decides. It must never decide anything, nor say the same twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from rproxy.controlplane.fitness import CLUSTERED, PROOFS, Reason, Standing
from rproxy.controlplane.succession import Doubt, Ruling
from rproxy.dataplane.topology import Server, Topology

log = logging.getLogger("rproxy.topology")

LOUD = {
    Doubt.DEMOTED: logging.WARNING,
    Doubt.SPLIT: logging.WARNING,
    Doubt.TIE: logging.ERROR,
    Doubt.NOBODY: logging.ERROR,
    Doubt.NAMED: logging.WARNING,
}
"""The doubts that the log tells, and how loud. Of the others there are lines of their own."""
CONFIGURED_BUT_REPLICA = "the settings call it the leader, but it is a replica, and refuses writes"
Reasons = Mapping[Server, tuple[Reason, str]]


class Herald:
    """`static`: the settings say who leads."""

    def __init__(self, static: bool) -> None:
        self._static = static
        self._said: dict[Server, tuple[bool, str]] = {}
        """What the log says of a server: whether it serves, and the kind of reason."""
        self._served: set[Server] = set()
        """Those that have served before: they do so again."""

    def reason(self, standing: Standing, ruling: Ruling, reasons: Reasons) -> tuple[str, str]:
        """What there is to say of a server, fit or not: its kind and its words."""
        if standing.owed:
            return (
                "failed" if standing.failures else "suspect" if standing.error else "new",
                standing.error or "it has not proved well yet",
            )
        health = standing.health
        claims = standing.server != ruling.leader and health is not None and health.role == "master"
        if health is not None and health.error and not claims:
            return "refuses", f"it does not tell how it is, and is taken as well: {health.error}"
        if standing.server != ruling.leader:
            kind, words = reasons[standing.server]
            return kind.value, words
        if health is not None and health.clustered:
            return "clustered", f"it {CLUSTERED}"
        if health is not None and health.loading:
            return "loading", "it loads its data"
        if health is not None and health.role == "slave":
            return "role", CONFIGURED_BUT_REPLICA if self._static else "it is a replica now"
        return "", ""

    def why(self, standing: Standing, ruling: Ruling, reasons: Reasons, topology: Topology) -> str:
        """One sentence on why a server is in or out."""
        words = self.reason(standing, ruling, reasons)[1]
        if standing.server == ruling.leader:
            if ruling.doubt not in (Doubt.NONE, Doubt.SILENT):
                return f"leads or not: {ruling.words}"
            return ("leads" if topology.leader_up else "leads, but is away") + (f": {words}" if words else "")
        if standing.server in topology.readers:
            return "is read" + (f": {words}" if words else "") + (", but no other is nearer" if standing.spared else "")
        return f"is not read: {words or f'{standing.streak} of {PROOFS} probes have found it well since its trouble'}"

    def say_who_leads(self, before: Ruling, ruling: Ruling) -> None:
        """One line per change of the leader, or of why nobody leads."""
        name = ruling.leader.name
        if ruling.leader != before.leader:
            log.warning("leader is now %s: %s", name, ruling.moved or "the settings say so")
            self._said[ruling.leader] = True, ""
            if ruling.lost:
                log.error("leader %s lacks %d bytes that a replica had: acknowledged writes are lost", name, ruling.lost)
        elif ruling.doubt is not before.doubt and ruling.doubt in LOUD:
            log.log(LOUD[ruling.doubt], "nobody leads, and writes wait: %s", ruling.words)
        elif ruling.doubt is Doubt.NONE and before.doubt in LOUD:
            log.info("leader %s leads again", name)

    def say(self, standing: Standing, ruling: Ruling, reasons: Reasons, topology: Topology) -> None:
        """One line per change of one server. One that only has to prove itself yet has had its line."""
        server = standing.server
        leads = server == ruling.leader
        serves = topology.leader_up if leads else server in topology.readers
        kind, words = self.reason(standing, ruling, reasons)
        said = self._said.get(server, (True, ""))
        again = " again" if server in self._served else ""
        if serves:
            self._served.add(server)
        if said == (serves, kind) or not (serves or kind) or (said, kind) == ((False, "failed"), "suspect"):
            return
        if ruling.doubt is Doubt.STARTING and kind == Reason.LEADS.value:
            return  # as what, can be said when all have been asked
        self._said[server] = serves, kind
        what, verb, refused = ("leader", "is up", "is not up") if leads else ("replica", "is read", "is not read")
        if serves and not words:
            log.info("%s %s %s%s", what, server.name, verb, again)
        elif serves:
            log.warning("%s %s: %s", what, server.name, words)
        else:
            log.warning("%s %s %s: %s", what, server.name, refused, words)
