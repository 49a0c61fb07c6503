"""Decides who serves what, from what probes and the data plane tell, and says so in the log, one line per change.

Called by `monitor`. It must never look at a clock (probes bring their times) nor touch the network. Who leads is
ruled by `succession`, what speaks against a replica by `fitness`.

The leader is up unless it failed two probes, or one after a suspicion, or is loading: a connection that was lost or could not be had is no proof, since others
to it may go on, and what a replica may not answer must not be read there while the leader does. A replica is read unless it is suspected,
failed two probes, or is unfit; it is back after two good probes that found it fit. Of several that are only too far
behind, the one with the highest offset is read: never none while there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

from rproxy.controlplane.fitness import FAILURES, PROOFS, Case, Limits, Reason, Standing, unfit
from rproxy.controlplane.herald import Herald
from rproxy.controlplane.lag import Trail, clock_skew, is_skewed
from rproxy.controlplane.nomination import NOBODY, Nomination
from rproxy.controlplane.probe import Health
from rproxy.controlplane.succession import Configured, Doubt, Ruling, Succession, Views
from rproxy.dataplane.topology import IDLE_CLOSED, Server, Topology

log = logging.getLogger("rproxy.topology")

PROOF_DISTANCE = 0.1
"""Seconds between the two good probes that bring a replica back."""
FIRST_BACKOFF = 0.05
"""Seconds until a server that is not fit is probed again; doubles up to the interval."""
HURRY = 0.03
"""Seconds between probes of all servers while the leader is away or in doubt, so that a promotion is seen at once."""
HURRY_SPAN = 60.0
"""Seconds for which that goes on; then it is every LATER seconds."""
LATER = 0.2
SMOOTHING = 0.25
"""Weight of a new latency against what was held."""


FIT = (Reason.NONE, "")


class Rule(Protocol):
    """Who leads."""

    def decide(self, views: Views, proven: tuple[str, int], now: float) -> Ruling:
        """See `succession`."""
        ...


class Begun(NamedTuple):
    """What was held when a probe began: it proves nothing about what came after."""

    suspicions: int
    doubts: int


def nothing_proven() -> tuple[str, int]:
    """What the freshness clock tells where there is none."""
    return "", 0


class Judge:
    """`discovery`: "roles", "static" or "sentinel" (then without servers at first, if need be). `budget`: seconds for which
    writes may be held. `proven`: see `Succession.decide`.
    """

    def __init__(
        self,
        servers: tuple[Server, ...],
        discovery: str = "roles",
        limits: Limits | None = None,
        budget: float = 1.5,
        proven: Callable[[], tuple[str, int]] = nothing_proven,
    ) -> None:
        self._static = discovery == "static"
        servers = servers or (NOBODY,)
        self._nomination = Nomination(servers[0]) if discovery == "sentinel" else None
        self._rule: Rule = self._nomination or (Configured(servers) if self._static else Succession(servers, budget))
        self._limits = limits or Limits()
        self._proven = proven
        self._herald = Herald(self._static)
        self._standings = {server: Standing(server, owed=int(server == NOBODY)) for server in servers}
        self._wanted = servers
        self._trail = Trail()
        self._doubts = 0
        self._redoubted = False
        self._now = 0.0
        self._hurried_since: float | None = None
        self._drained: frozenset[str] = frozenset()
        doubt = Doubt.NONE if self._static else Doubt.UNNAMED if self._nomination else Doubt.STARTING
        self._ruling = Ruling(servers[0], doubt)
        self._reasons: dict[Server, tuple[Reason, str]] = {}
        self.topology = self._decide()

    @property
    def leader(self) -> Server:
        """Who leads, or was the last to."""
        return self.topology.leader

    @property
    def hurried(self) -> bool:
        """A failover is under way, or may be: all servers ought to be probed at once, and then often."""
        return self._hurried_since is not None

    @property
    def started(self) -> bool:
        """All servers have been asked once, or failed to answer."""
        return self._ruling.doubt is not Doubt.STARTING

    @property
    def servers(self) -> tuple[Server, ...]:
        """All that ought to be probed."""
        return tuple(server for server in self._standings if server != NOBODY)

    def run_ids(self) -> dict[Server, str] | None:
        """Which process each server is; None while not all have been asked once, or failed to answer."""
        if any(
            standing.health is None and not standing.failures for server, standing in self._standings.items() if server != NOBODY
        ):
            return None
        return {server: standing.told.run_id for server, standing in self._standings.items() if standing.told}

    def found(self, leader: Server, servers: tuple[Server, ...]) -> None:
        """The Sentinels know these servers, and name this leader. A new one serves when it has proved well; one that is gone is forgotten, the
        last leader when there is another.
        """
        assert self._nomination is not None
        self._nomination.named = leader
        self._wanted = servers
        known = self._standings
        self._standings = {server: known.get(server) or Standing(server, owed=1, streak=0) for server in servers}
        self._standings |= {server: standing for server, standing in known.items() if server == self.leader}
        self._conclude()

    def drain(self, names: frozenset[str]) -> None:
        """An administrator wants no reads on the servers of these names, and on no others."""
        self._drained = names
        self._conclude()

    def change(self, servers: tuple[Server, ...], limits: Limits, budget: float) -> None:
        """The settings say so now. Who stays, by its index, is held for what it was; a new one serves when it has proved well; where the leader has gone,
        who leads is found as at the start.
        """
        self._limits = limits
        if self._nomination is not None:
            return
        now = {server.index: server for server in servers}
        known_as = {server: now[server.index] for server in self._standings if server.index in now}
        held = {
            known_as[server]: replace(standing, server=known_as[server])
            for server, standing in self._standings.items()
            if server in known_as
        }
        self._standings = {server: held.get(server) or Standing(server, owed=1, streak=0) for server in servers}
        self._wanted = servers
        if self._static:
            self._rule = Configured(servers)
        elif not (isinstance(self._rule, Succession) and self._rule.change(servers, budget, known_as)):
            self._rule = Succession(servers, budget)
            self._doubts += 1
        leader = known_as.get(self._ruling.leader)
        if leader is not None:
            self._ruling = replace(self._ruling, leader=leader)
        self._conclude()

    def begin(self, server: Server) -> Begun:
        """To be taken before a probe begins and handed to `observe` with its result."""
        standing = self._standings.get(server)
        return Begun(standing.suspicions if standing else 0, self._doubts)

    def suspect(self, server: Server, reason: str) -> bool:
        """The data plane lost a connection to it, or could not open one. A replica is out until probes prove it well; the leader is asked, and is
        away if it does not answer then; and so is a replica that has closed idle connections, as servers with a `timeout` do. True: that is new.
        """
        standing = self._standings.get(server)
        if standing is None:
            return False
        standing.suspicions += 1
        only_asked = server == self.leader or reason == IDLE_CLOSED
        known = standing.owed > 0 or (only_asked and standing.suspected)
        if only_asked:
            standing.suspected = True
        else:
            standing.owed = PROOFS
            standing.streak = 0
        if not known:
            standing.error = reason
            standing.misses = 0
        self._conclude()
        return not known

    def demoted(self, server: Server, reason: str) -> bool:
        """The leader said that it does not lead: nobody does until a probe that begins after this proves one. True: that is new. With static
        discovery it is no more than a reason to probe.
        """
        if server != self.leader or self._static:
            return server == self.leader
        if not self.topology.settled and self._redoubted:
            return False  # else a stream of these would leave every probe too old
        self._redoubted = not self.topology.settled
        if not self._redoubted:
            log.info("leader %s is asked anew: %s", server.name, reason)
        self._doubts += 1
        self._conclude()
        return True

    def observe(self, health: Health, begun: Begun) -> bool:
        """A probe is through. A good one proves nothing if its server was suspected since it began, nor does any that could not be asked. True: the
        leader ought to be probed at once, because a replica has just lost its link to it.
        """
        standing = self._standings.get(health.server)
        if standing is None or health.unasked:
            return False
        self._now = max(self._now, health.heard)
        before = standing.health
        good = not health.error or health.refused or (health.answered and health.server == self.leader)
        if good and begun.suspicions != standing.suspicions:
            return False
        if good:
            self._accept(standing, health, begun)
        else:
            self._reject(standing, health)
        leader_up = self.topology.leader_up
        self._conclude(standing if good else None)
        fit = good and (self.topology.leader_up if health.server == self.leader else self._fit(health.server))
        standing.misses = 0 if fit else standing.misses + 1
        return good and leader_up and before is not None and before.link_up and not (health.link_up or health.refused)

    def _accept(self, standing: Standing, health: Health, begun: Begun) -> None:
        standing.failures = 0
        standing.suspected = False
        standing.owed = max(0, standing.owed - 1)
        standing.health = health
        standing.asked_in = begun.doubts
        if health.error:
            return
        before = standing.told.run_id if standing.told else ""
        if before and health.run_id and health.run_id != before and standing.changed_run_id(health.heard):
            log.warning(
                "%s shows another run_id on each connection, as the proxy of a service does: what it tells of its data can't be"
                " believed, so it proves nothing to be fresh",
                health.server.name,
            )
        standing.told = health
        standing.latency += (health.latency - standing.latency) * (SMOOTHING if standing.latency else 1.0)
        if health.server == self.leader:
            self._trail.note(health)
        elif self.topology.leader_up:
            told = self._standings[self.leader].told
            skew = clock_skew(health, told) if told else None
            standing.off = skew[0] if skew else 0.0
            standing.skewed = is_skewed(skew, self._limits.clock_skew, standing.skewed)

    def _reject(self, standing: Standing, health: Health) -> None:
        standing.failures += 1
        standing.error = f"no answer: {health.error}" if not health.answered else health.error
        if standing.owed or standing.failures >= FAILURES or standing.streak < PROOFS:
            standing.streak = 0
        suspected, standing.suspected = standing.suspected, False
        if standing.owed or suspected or standing.failures >= FAILURES:
            standing.owed = 1 if standing.server == self.leader else PROOFS

    def has_wrong_role(self, server: Server) -> bool:
        """It told another role than it is used for: the connection by which it was asked may be to a server that its name stood for once."""
        standing = self._standings.get(server)
        if standing is None or standing.health is None or not standing.health.role:
            return False
        return (standing.health.role == "master") != (server == self.leader)

    def proved(self, server: Server) -> bool:
        """It has answered its last probe, and owes no other."""
        standing = self._standings[server]
        return standing.health is not None and not (standing.failures or standing.owed or standing.suspected)

    def pause(self, server: Server, interval: float) -> float:
        """Seconds until the next probe of this server, without jitter."""
        standing = self._standings.get(server)
        if standing is None:
            return interval
        if self._hurried_since is not None:
            return min(interval, HURRY if self._now - self._hurried_since < HURRY_SPAN else LATER)
        if standing.misses:
            return float(min(interval, FIRST_BACKOFF * 2 ** min(standing.misses - 1, 20)))
        return min(interval, PROOF_DISTANCE) if standing.owed or standing.streak < PROOFS else interval

    def _conclude(self, proved: Standing | None = None) -> None:
        """Decide, and say what is new. `proved` has just answered a probe."""
        before = self._ruling
        duplicates = self._duplicates()
        views = {server: standing.view(self._doubts) for server, standing in self._standings.items() if server not in duplicates}
        self._ruling = self._rule.decide(views, self._proven(), self._now)
        if self._ruling.leader != before.leader:
            self._take_over()
        self.topology = self._decide(proved)
        if self.topology.settled:
            self._redoubted = False
        suspected = self._standings[self._ruling.leader].suspected and not self._static
        if self._static or (self.topology.settled and self.topology.leader_up and not suspected):
            self._hurried_since = None
        elif self._hurried_since is None:
            self._hurried_since = self._now
        self._herald.say_who_leads(before, self._ruling)
        for standing in self._standings.values():
            self._herald.say(standing, self._ruling, self._reasons, self.topology)

    def _duplicates(self) -> dict[Server, Server]:
        """Servers that are the same process as another one, and which: a name may lead to where another one leads, too. Not with static discovery."""
        known: dict[str, Server] = {}
        duplicates: dict[Server, Server] = {}
        first = self._ruling.leader if self._nomination is None else self._nomination.named
        for server, standing in sorted(self._standings.items(), key=lambda item: item[0] != first):
            told = standing.told
            if self._static or told is None or not told.run_id or standing.health is not told or standing.failures:
                continue
            original = known.setdefault(told.run_id, server)
            if original != server:
                duplicates[server] = original
        return duplicates

    def _take_over(self) -> None:
        """Another one leads: what was known of lags and clocks was measured against the one before."""
        self._trail = Trail()
        for standing in self._standings.values():
            standing.skewed, standing.streak = False, 0
        self._standings = {server: standing for server, standing in self._standings.items() if server in self._wanted}
        leader = self._standings[self._ruling.leader]
        leader.owed, leader.suspected = 0, False
        if leader.told is not None:
            self._trail.note(leader.told)

    def _decide(self, proved: Standing | None = None) -> Topology:
        ruling = self._ruling
        leader = self._standings[ruling.leader]
        leader_up = not leader.owed and not (leader.health and leader.health.loading)
        replicas = [standing for standing in self._standings.values() if standing is not leader]
        self._judge_replicas(ruling, leader, replicas, leader_up)
        for standing in replicas:
            if not self._fit(standing.server):
                standing.streak = 0
            elif standing is proved:
                standing.streak = min(PROOFS, standing.streak + 1)
        readers = [
            each for each in replicas if not each.owed and self._fit(each.server) and (each.streak >= PROOFS or not leader_up)
        ]
        readers = readers or self._spare(replicas)
        topology = self._topology(leader_up, replicas, readers)
        whys = ((each.server.index, self._herald.why(each, ruling, self._reasons, topology)) for each in self._standings.values())
        return replace(topology, why=tuple(whys))

    def _judge_replicas(self, ruling: Ruling, leader: Standing, replicas: list[Standing], leader_up: bool) -> None:
        """Find what speaks against reading from each of them."""
        for standing in replicas:
            standing.lag = self._trail.lag(standing.told) if standing.told else None
        duplicates = self._duplicates()
        case = Case(ruling.leader, leader.told, leader_up, self._limits, self._static)
        self._reasons = {
            standing.server: unfit(
                standing,
                case._replace(
                    claimant=ruling.others.get(standing.server, ""),
                    drained=standing.server.name in self._drained,
                    duplicate_of=duplicates.get(standing.server),
                ),
            )
            for standing in replicas
        }

    def _topology(self, leader_up: bool, replicas: list[Standing], readers: list[Standing]) -> Topology:
        """What is ruled and known, without the words for people."""
        ruling = self._ruling
        told = [standing.told for standing in self._standings.values() if standing.told and standing.health is standing.told]
        return Topology(
            ruling.leader,
            tuple(standing.server for standing in replicas),
            tuple(standing.server for standing in readers),
            tuple((health.server.index, health.offset) for health in told),
            leader_up,
            ruling.doubt is Doubt.NONE,
            tuple((each.server.index, float(f"{each.latency:.2g}")) for each in self._standings.values() if each.latency),
            maxclients=tuple(
                (server.index, each.told.maxclients)
                for server, each in self._standings.items()
                if each.told and each.told.maxclients
            ),
            contested=ruling.doubt in (Doubt.SPLIT, Doubt.TIE),
            asked=ruling.doubt is not Doubt.STARTING,
            reasons=tuple((each.server.index, self._reason(each)) for each in replicas if each not in readers),
            links_down=tuple((health.server.index, health.link_down) for health in told if health.role == "slave"),
            processes=tuple(
                (server.index, b"" if each.run_id_unstable else each.told.run_id.encode())
                for server, each in self._standings.items()
                if each.told and each.told.run_id
            ),
        )

    def _reason(self, standing: Standing) -> str:
        """Why a replica is out, in a word."""
        if standing.owed or standing.failures:
            return "failed"
        return "unproven" if self._fit(standing.server) else self._reasons[standing.server][0].value

    def _fit(self, server: Server) -> bool:
        return self._reasons.get(server, FIT)[0] in (Reason.NONE, Reason.UNRELATED)

    def _spare(self, replicas: list[Standing]) -> list[Standing]:
        """Of those that are only too far behind, the one with the highest offset. The one that was spared stays until another is both further
        and less far behind: offsets of different moments leapfrog.
        """
        late = [standing for standing in replicas if not standing.owed and self._reasons[standing.server][0] is Reason.LAG]
        best = max(late, key=_offset, default=None)
        spared = next((standing for standing in late if standing.spared), best)
        if best is not None and spared is not None and _offset(best) > _offset(spared):
            spared = best if best.lag and spared.lag and best.lag.bytes < spared.lag.bytes else spared
        for standing in replicas:
            standing.spared = standing is spared
        return [spared] if spared is not None else []


def _offset(standing: Standing) -> int:
    return standing.told.offset if standing.told else -1
