"""What is held of one server, and what speaks against reading from it: a table of reasons, the first that holds counts.

Called by `judge`. It must never ask, log or look at a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from rproxy.controlplane.lag import Lag
from rproxy.controlplane.probe import NEVER_SYNCED, Health
from rproxy.controlplane.succession import Claim, View
from rproxy.dataplane.topology import Server

FAILURES = 2
"""Failed probes in a row after which a server is out. One may be a hiccup of the network."""
PROOFS = 2
"""Good probes in a row that bring a replica back: one may have met a server that was just about to go."""

CLUSTERED = "is a node of a Redis Cluster, and rproxy does not route by hash slots: commands for keys of other nodes get MOVED"
"""What there is to say of such a server, behind its name."""

MOST_RUN_IDS, RUN_IDS_SPAN = 5, 30.0
"""A server that was another process so often within so many seconds shows a `run_id` that tells nothing: a service's proxy does."""


class Limits(NamedTuple):
    """How far a replica may be behind in seconds and in bytes, and its clock off in seconds. 0: no limit."""

    lag: float = 10.0
    lag_bytes: int = 64 * 2**20
    clock_skew: float = 0.05


@dataclass(slots=True)
class Standing:
    """What is held of one server.

    `health`: of the last probe that was answered, None before it; `told`: of the last one that told its role. `error`: what failed last;
    `failures`: probes failed in a row. `suspicions`: how often it was suspected, and `owed`: good probes that it owes
    since; `suspected`: that counts as a failed probe until the next has ended.
    `streak`: good probes in a row that found a replica fit. `misses`: probes in a row that found it unfit.
    `asked_in`: the doubt of the leader in which its last good probe began. `lag`, `off`: a replica's, as last known;
    `skewed`: its clock is too far off. `latency`: smoothed. `spared`: it is read only because all are too far behind.
    `run_id_changes`: when it was found to be another process than before, lately; `run_id_unstable`: so often that it shows another on each connection.
    """

    server: Server
    health: Health | None = None
    told: Health | None = None
    error: str = ""
    failures: int = 0
    suspicions: int = 0
    owed: int = 0
    suspected: bool = False
    streak: int = PROOFS
    misses: int = 0
    asked_in: int = 0
    lag: Lag | None = None
    off: float = 0.0
    skewed: bool = False
    latency: float = 0.0
    spared: bool = False
    run_id_changes: list[float] = field(default_factory=list)
    run_id_unstable: bool = False

    def changed_run_id(self, now: float) -> bool:
        """It is another process than before. True where that makes its run id an unstable one."""
        self.run_id_changes = [*(moment for moment in self.run_id_changes if now - moment < RUN_IDS_SPAN), now]
        was, self.run_id_unstable = self.run_id_unstable, self.run_id_unstable or len(self.run_id_changes) >= MOST_RUN_IDS
        return self.run_id_unstable and not was

    def view(self, doubts: int) -> View:
        """What the rule of who leads may know of it."""
        health = self.health
        if self.failures >= FAILURES or (health is None and self.failures):
            return View(Claim.SILENT)
        if health is None:
            return View()
        sound = not self.failures and not self.owed and not self.suspected
        fresh = self.asked_in >= doubts
        if health.error and not health.role:
            return View(Claim.MUTE, sound=sound, fresh=fresh)
        return View(
            Claim.LEADER if health.role == "master" else Claim.REPLICA,
            health.replication_id,
            health.former_id,
            health.left_at,
            health.link_up,
            sound,
            fresh,
        )


class Reason(Enum):
    """Kinds of what speaks against reading from a server. The log has a line when the kind changes."""

    NONE = ""
    DRAINED = "drained"
    DUPLICATE = "duplicate"
    CLUSTERED = "clustered"
    LOADING = "loading"
    LEADS = "leads"
    EMPTY = "empty"
    SYNCING = "syncing"
    LINK = "link"
    STRANGER = "stranger"
    LAG = "lag"
    SKEW = "skew"
    UNRELATED = "unrelated"
    """With static discovery: not the leader's data, and read all the same."""


class Case(NamedTuple):
    """By what a replica is judged: its leader, what that told last, whether it is up; the limits; whether the configured order counts for more than
    what servers say (`static`); what there is to say of a replica that says that it leads; whether an administrator has drained this one; which other server
    is the same process (`duplicate_of`).
    """

    leader: Server
    told: Health | None
    leader_up: bool
    limits: Limits
    static: bool = False
    claimant: str = ""
    drained: bool = False
    duplicate_of: Server | None = None


def unfit(standing: Standing, case: Case) -> tuple[Reason, str]:
    """Why a replica must not be read, in kind and in words, by what it said last; or, of kind UNRELATED, what to say of one that is read.

    While the leader is away every replica has lost its link, and nobody can say how far behind it is: those that hold
    its data are read. A server that refuses to tell (NOAUTH) is taken as fit: clients may bring passwords of their own. So is one before its first probe.
    """
    health = standing.health
    if case.drained:
        return Reason.DRAINED, "an administrator has drained it"
    if case.duplicate_of is not None:
        return Reason.DUPLICATE, f"it is the same process as {case.duplicate_of.name}"
    if health is None or (health.error and health.role != "master"):
        return Reason.NONE, ""
    if health.clustered:
        return Reason.CLUSTERED, f"it {CLUSTERED}"
    if health.loading:
        return Reason.LOADING, "it loads its data"
    if health.role != "slave":
        if case.static:
            return Reason.UNRELATED, f"it says that it leads: it does not replicate from {case.leader.name}"
        return Reason.LEADS, case.claimant or "it says that it leads"
    if health.syncing:
        return Reason.SYNCING, "it copies its leader's data"
    if not health.link_up and health.offset == NEVER_SYNCED:
        return Reason.EMPTY, "it has never had a leader's data"
    return _unfit_replica(standing, health, case)


def _unfit_replica(standing: Standing, health: Health, case: Case) -> tuple[Reason, str]:
    ids = {health.replication_id} if case.leader_up else {health.replication_id, health.former_id}
    if case.told is not None and case.told.replication_id and case.told.replication_id not in ids:
        if health.replication_id == case.told.former_id:
            return Reason.LINK, f"it does not follow {case.leader.name} yet"
        if case.static:
            return Reason.UNRELATED, f"its data is not that of {case.leader.name}, but of {health.source}"
        if health.link_up or not case.leader_up:
            return Reason.STRANGER, f"its data is not that of {case.leader.name}; it says that it replicates from {health.source}"
    if case.leader_up and not health.link_up:
        return Reason.LINK, "its link to its leader is down"
    if case.leader_up and case.told is not None and (too_far := _too_far(standing.lag, case.limits)):
        return Reason.LAG, too_far
    if standing.skewed:
        return (
            Reason.SKEW,
            f"its clock is {abs(standing.off) * 1000:.0f} ms {'ahead of' if standing.off > 0 else 'behind'} that of {case.leader.name}",
        )
    return Reason.NONE, ""


def _too_far(lag: Lag | None, limits: Limits) -> str:
    """What there is to say of a lag beyond the limits; "" within them. An unknown lag is beyond any limit (servers before 4.0 have no replication
    id).
    """
    if not limits.lag and not limits.lag_bytes:
        return ""
    if lag is None:
        return "nobody can say how far it is behind"
    if (limits.lag and lag.seconds > limits.lag) or (limits.lag_bytes and lag.bytes > limits.lag_bytes):
        return f"it is {lag.bytes} bytes and {lag.seconds:.1f} s behind"
    return ""
