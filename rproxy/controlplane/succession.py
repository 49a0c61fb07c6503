"""Who leads, with `discovery = "roles"`: decided from what every server says of itself, and from nothing else.

Called by `judge` after each probe. It must never follow an address: data is recognised by its replication id and
offset, which hold through NAT, relays and containers. It touches neither clock nor network.

A server that is promoted gives its data a new replication id and tells the one before it (`former_id`) with the
offset at which it left that (`left_at`). So a **successor** of the leader is a server that says it leads, descends
from the leader's data by these switches, and left it not below the offset that a freshness mark has proved: below it,
a replica may have shown what this one lacks. A server tells its last switch only, but every server that followed
one has told it too, so switches are collected from all of them, and chains of promotions are seen even where nobody
was probed in between.

| the leader | successors | then |
| --- | --- | --- |
| says that it leads, or answers without telling | none | it stays |
| says that it leads | some | a successor that most replicas follow, at once; else nobody for `budget` seconds, then the one with most, it itself included |
| is silent, or a replica | one | that one |
| is silent, or a replica | several | as above, among them |
| is silent, or a replica | none | the heir; without one nobody |

The **heir** is a server that says it leads and that all answering servers follow which held the leader's data: then
nothing is left to wait for, however it came about (a chain that nobody saw, or a promotion of one that lacked something:
Sentinel picks by offsets that may be a second old). Where no server tells what data it holds, since rproxy's user may
not ask INFO, it is the only one that says that it leads. Every other server that says it leads is unrelated: it neither
leads nor is read.

Where there is nobody else who could follow either of them (two servers), the leader stays: a claim alone takes nobody's place. Nor does one that was heard
once, and not followed, cause another wait when it is made again.

A leader that restarts empty has a new replication id and says that it leads: it stays, while no successor of its old
data is seen. The old id is forgotten when a replica follows the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from rproxy.dataplane.topology import Server

MOST_SWITCHES = 64
"""How many switches from one replication id to the next are remembered."""


class Claim(Enum):
    """What a server says of itself."""

    UNHEARD = "has not been asked yet"
    SILENT = "does not answer"
    MUTE = "does not tell its role"
    LEADER = "says that it leads"
    REPLICA = "says that it is a replica"


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one server. `replication_id`, `former_id`, `left_at`, `link_up`: as it told last (`probe.Health`).
    `sound`: it answered its last probe, which began after the last trouble with it; `fresh`: that probe began after
    the last time that the leader was doubted.
    """

    claim: Claim = Claim.UNHEARD
    replication_id: str = ""
    former_id: str = ""
    left_at: int = 0
    link_up: bool = False
    sound: bool = True
    fresh: bool = True

    @property
    def proven(self) -> bool:
        """What it claims is proved by its last probe."""
        return self.sound and self.fresh

    def follows(self, other: View) -> bool:
        """It is a replica with a link, and holds the other's data."""
        return (
            self.claim is Claim.REPLICA
            and self.link_up
            and bool(other.replication_id)
            and self.replication_id == other.replication_id
        )


Views = Mapping[Server, View]


class Doubt(Enum):
    """Why nobody leads now."""

    NONE = ""
    STARTING = "not all servers have been asked yet"
    ASKED = "{leader} is asked whether it still leads"
    SILENT = "{leader} does not answer, and no successor is seen"
    DEMOTED = "{leader} is a replica now, and no successor is seen"
    SPLIT = "several say that they lead ({rivals})"
    TIE = "several say that they lead ({rivals}), and none of them is followed by more replicas than the others"
    NOBODY = "no server is seen to lead the others"
    UNNAMED = "no Sentinel has named a leader yet"
    NAMED = "the Sentinels name {rivals}, which does not say that it leads"


@dataclass(frozen=True, slots=True)
class Ruling:
    """Who leads, or was the last to; `doubt`: why nobody does now, and `rivals`: between whom. `moved` says why it is another one than before.
    `others`: what there is to say of servers that say they lead, and don't. `lost`: bytes that were proved to be on a replica, and that this leader lacks.
    """

    leader: Server
    doubt: Doubt = Doubt.NONE
    rivals: tuple[Server, ...] = ()
    moved: str = ""
    others: Mapping[Server, str] = field(default_factory=dict)
    lost: int = 0

    @property
    def words(self) -> str:
        """Why nobody leads now, for people."""
        return self.doubt.value.format(leader=self.leader.name, rivals=", ".join(server.name for server in self.rivals))


class Configured:
    """With `discovery = "static"`: the first server leads, whatever anybody says."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self._ruling = Ruling(servers[0])

    def decide(self, views: Views, proven: tuple[str, int], now: float) -> Ruling:
        """Always the same."""
        return self._ruling


class Succession:
    """The rule of this file. `budget`: seconds for which nobody leads when two say that they do."""

    def __init__(self, servers: tuple[Server, ...], budget: float) -> None:
        self.leader = servers[0]
        self._first = servers[0]
        self._budget = budget
        self._known = False
        self._ids: set[str] = set()
        """The replication ids of the leader's data: the one it has, and those it had which no replica has left."""
        self._kin: set[Server] = set()
        """Who was seen to hold that data."""
        self._switches: dict[str, tuple[str, int]] = {}
        """New id: the one before it, and the offset at the switch."""
        self._contested_since: float | None = None
        self._refuted: set[Server] = set()
        """Who has claimed to lead this leader's data, and was not followed: saying so again changes nothing, until a replica follows it."""

    def change(self, servers: tuple[Server, ...], budget: float, known_as: Mapping[Server, Server]) -> bool:
        """The settings name these servers now; `known_as`: those of before that stay, as they are now. False where the leader is not among them."""
        leader = known_as.get(self.leader)
        if leader is None:
            return False
        self.leader, self._first, self._budget = leader, servers[0], budget
        self._kin = {known_as[server] for server in self._kin if server in known_as}
        self._refuted = {known_as[server] for server in self._refuted if server in known_as}
        return True

    def decide(self, views: Views, proven: tuple[str, int], now: float) -> Ruling:
        """`proven`: a replication id and the offset in it that some replica was seen to have reached; ("", 0) for none."""
        self._learn(views)
        if not self._known:
            found = self._find_first(views)
            if isinstance(found, Doubt):
                return self._nobody(found)
            self._known = True
            moved = (
                ""
                if found is self._first or self._first not in views
                else f"{self._first.name} {views[self._first].claim.value}, and the others follow this one"
            )
            self._lead(found, views)
            if moved:
                return Ruling(found, moved=moved)
        return self._go_on(views, proven, now)

    def _go_on(self, views: Views, proven: tuple[str, int], now: float) -> Ruling:
        claim = views[self.leader].claim
        others = {server: self._standing(view, proven, _votes(view, views)) for server, view in self._claimants(views)}
        successors = [server for server, (lacks, _) in others.items() if lacks == 0]
        ruling = self._choose(claim, successors, views, now)
        if ruling.doubt in (Doubt.SILENT, Doubt.DEMOTED):
            heir = self._heir(views)
            if heir is not None:
                known = (
                    "all others that held its data follow this one"
                    if self._ids
                    else "this is the only one that says that it leads"
                )
                why = f"{self.leader.name} {claim.value}, and {known}"
                ruling = self._follow(heir, views, why, others[heir][0] or 0)
        return replace(ruling, others={server: words for server, (_, words) in others.items() if server != ruling.leader})

    def _choose(self, claim: Claim, successors: list[Server], views: Views, now: float) -> Ruling:
        """By the table."""
        leads = claim in (Claim.LEADER, Claim.MUTE)
        if claim is Claim.LEADER:
            successors = [server for server in successors if server not in self._refuted or _votes(views[server], views)]
        if claim is Claim.LEADER and successors:
            return self._contest([self.leader, *successors], views, now)
        if len(successors) > 1 and not leads:
            return self._contest(successors, views, now)
        self._contested_since = None
        if leads:
            return self._stay(views)
        if successors and views[successors[0]].proven:
            return self._follow(successors[0], views, f"{self.leader.name} {claim.value}, and this one continues its data")
        return self._nobody(Doubt.DEMOTED if claim is Claim.REPLICA else Doubt.SILENT)

    def _learn(self, views: Views) -> None:
        """Remember switches, the ids of the leader's data, and who holds it."""
        for view in views.values():
            known = self._switches.get(view.replication_id)
            if view.former_id and (known is None or view.left_at > known[1]):
                self._switches[view.replication_id] = (view.former_id, view.left_at)
        while len(self._switches) > MOST_SWITCHES:
            del self._switches[next(iter(self._switches))]
        leader = views[self.leader]
        if self._known and leader.claim is Claim.LEADER and leader.sound and leader.replication_id:
            if any(view.follows(leader) for view in views.values()):
                self._ids = {leader.replication_id}
            self._ids.add(leader.replication_id)
        self._kin |= {server for server, view in views.items() if view.replication_id in self._ids}

    def _find_first(self, views: Views) -> Server | Doubt:
        """At the start: the first server if it says that it leads, else the one that the others follow. One that none
        follows must have been promoted, and what replicas answer must hold its data.
        """
        if any(view.claim is Claim.UNHEARD for view in views.values()):
            return Doubt.STARTING
        if self._first in views and views[self._first].claim in (Claim.LEADER, Claim.MUTE):
            return self._first
        claimants = [(server, view) for server, view in self._claimants(views) if view.proven]
        found = [server for server, view in claimants if _votes(view, views)]
        if not found:
            replicas = [view for view in views.values() if view.claim is Claim.REPLICA]
            found = [
                server
                for server, view in claimants
                if view.former_id and all(replica.replication_id in (view.replication_id, view.former_id) for replica in replicas)
            ]
        if not found and (only := _only_leader(views)) is not None:
            found = [only]
        return found[0] if len(found) == 1 else Doubt.NOBODY

    def _claimants(self, views: Views) -> Iterator[tuple[Server, View]]:
        """The servers beside the leader that say that they lead."""
        for server, view in views.items():
            if view.claim is Claim.LEADER and not (self._known and server == self.leader):
                yield server, view

    def _lacks(self, view: View, proven: tuple[str, int]) -> int | None:
        """How many proved bytes of the leader's data a server lacks that descends from it; None for one that doesn't."""
        lost = 0
        replication_id = view.replication_id
        if replication_id in self._ids:
            return lost  # the process that leads, under another name
        for _ in range(MOST_SWITCHES):
            switch = self._switches.get(replication_id)
            if switch is None:
                return None
            former, left_at = switch
            if former == proven[0]:
                lost = max(lost, proven[1] - left_at)
            if former in self._ids:
                return lost
            replication_id = former
        return None

    def _standing(self, view: View, proven: tuple[str, int], votes: int) -> tuple[int | None, str]:
        """What a server lacks that says it leads, and what there is to say of it as long as it doesn't."""
        lacks = self._lacks(view, proven)
        if lacks is None and not view.replication_id:
            return lacks, f"it says that it leads, and so did {self.leader.name} last; nobody tells what data it holds"
        if lacks is None:
            return lacks, f"it says that it leads, and its data is not that of {self.leader.name}"
        if lacks:
            words = f"it says that it leads, but lacks {lacks} bytes of {self.leader.name}'s data that a replica had"
            followed = f"; it has {votes} replicas behind it all the same, and is followed when {self.leader.name} leads no more"
            return lacks, words + (followed if votes else "")
        return lacks, f"it says that it leads, but so does {self.leader.name}, whose data it continues"

    def _heir(self, views: Views) -> Server | None:
        if not self._ids:
            return _only_leader(views)
        for server, view in self._claimants(views):
            answering = [
                views[kin] for kin in self._kin if kin != server and kin in views and views[kin].claim is not Claim.SILENT
            ]
            if view.proven and answering and all(kin.follows(view) and kin.sound for kin in answering):
                return server
        return None

    def _contest(self, candidates: list[Server], views: Views, now: float) -> Ruling:
        """Several say that they lead. A successor that most of all replicas follow is followed at once, for they don't go back; whoever else it is, not before
        replicas have had the budget to move on.
        """
        if self._contested_since is None:
            self._contested_since = now
        votes = {server: _votes(views[server], views) for server in candidates}
        most = max(votes.values())
        winners = [server for server, count in votes.items() if count == most]
        voters = len(views) - len(candidates)
        moved_on = winners[0] != self.leader and 2 * most > voters
        if now - self._contested_since < self._budget and not moved_on:
            return self._nobody(Doubt.SPLIT, candidates)
        if self.leader in winners and (len(winners) == 1 or not voters):
            self._refuted |= set(candidates) - {self.leader}
            return self._stay(views)
        if len(winners) > 1:
            return self._nobody(Doubt.TIE, candidates)
        if not views[winners[0]].proven:
            return self._nobody(Doubt.SPLIT, candidates)
        return self._follow(winners[0], views, f"several say that they lead, and most replicas follow this one ({most})")

    def _stay(self, views: Views) -> Ruling:
        return Ruling(self.leader) if views[self.leader].fresh else self._nobody(Doubt.ASKED)

    def _nobody(self, doubt: Doubt, rivals: Sequence[Server] = ()) -> Ruling:
        return Ruling(self.leader, doubt, tuple(rivals))

    def _follow(self, server: Server, views: Views, why: str, lost: int = 0) -> Ruling:
        self._lead(server, views)
        return Ruling(server, moved=why, lost=lost)

    def _lead(self, server: Server, views: Views) -> None:
        self.leader = server
        self._ids = {views[server].replication_id} - {""}
        self._kin = {server} | {other for other, view in views.items() if view.replication_id in self._ids}
        self._contested_since = None
        self._refuted = set()


def _only_leader(views: Views) -> Server | None:
    """Where no server tells what data it holds (INFO is not for everybody): the only one that says that it leads."""
    if any(view.replication_id for view in views.values()):
        return None
    leaders = [server for server, view in views.items() if view.claim is Claim.LEADER and view.proven]
    return leaders[0] if len(leaders) == 1 else None


def _votes(leader: View, views: Views) -> int:
    """How many replicas follow it."""
    return sum(view.follows(leader) for view in views.values())
