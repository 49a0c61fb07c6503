"""Watches every server, for ever, and publishes a topology whenever who serves what has changed.

Called by `lifecycle`, which runs it beside the service and hands it the data plane's `follow`; the data plane
tells it `suspect`. `Judge` decides, and touches neither clock nor network; `Monitor` only asks, waits and
publishes. It must never fail for what a server does, nor change a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rproxy.controlplane.probe import NEVER_SYNCED, Health, Prober
from rproxy.dataplane.topology import Server, Topology

log = logging.getLogger("rproxy.topology")

FAILURES = 2
"""Failed probes in a row after which a server is out. One may be a hiccup of the network."""
PROOFS = 2
"""Good probes in a row that bring a suspected replica back: one may have met a server that was just about to
go.
"""
PROOF_DISTANCE = 0.1
"""Seconds between those two."""
FIRST_BACKOFF = 0.05
"""Seconds until a server that is not fit is probed again; doubles up to the interval."""


@dataclass(slots=True)
class Standing:
    """What is held of one server. `health`: of the last probe that was answered, None before it. `error`:
    what failed last. `failures`: probes failed in a row. `owed`: good probes that it owes before it serves
    again; `price`: what it owes after a failure. `misses`: probes in a row that found it unfit. `suspicions`:
    how often it was suspected. `said`: what the log says of it: whether it serves, and the kind of reason.
    """

    server: Server
    health: Health | None = None
    error: str = ""
    failures: int = 0
    owed: int = 0
    price: int = 1
    misses: int = 0
    suspicions: int = 0
    said: tuple[bool, str] = (True, "")


class Judge:
    """Decides who serves what, from what probes and the data plane tell. The roles are the configured ones:
    the first server leads.

    The leader is up unless it is suspected, failed twice, or is loading. A replica is read unless it is
    suspected, failed twice, or says that it is no replica, has no link to its leader, copies its data or
    loads it. While the leader is away every replica has lost its link: those that hold data are read then. A
    server that refuses to tell (NOAUTH) is taken as fit: its clients may bring passwords of their own. Before
    its first probe a server is taken as fit.
    """

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self.leader, *self.replicas = servers
        self._standings = {server: Standing(server) for server in servers}
        self.topology = self._decide()

    def suspicions(self, server: Server) -> int:
        """To be read before a probe begins and handed to `observe` with its result."""
        return self._standings[server].suspicions

    def suspect(self, server: Server, reason: str) -> bool:
        """The data plane lost a connection to it, or could not open one: it is out until probes prove it
        well. True: probe it at once.
        """
        standing = self._standings[server]
        standing.suspicions += 1
        known = standing.owed > 0
        standing.price = 1 if server is self.leader else PROOFS
        standing.owed = standing.price
        if not known:
            standing.error = reason
            standing.misses = 0
        self._conclude()
        return not known

    def observe(self, health: Health, suspicions: int) -> bool:
        """A probe is through. A good one proves nothing if its server was suspected since it began. True: the
        leader ought to be probed at once, because a replica has just lost its link to it.
        """
        standing = self._standings[health.server]
        before = standing.health
        good = not health.error or health.refused or (health.answered and health.server is self.leader)
        if good and suspicions != standing.suspicions:
            return False
        if good:
            standing.failures = 0
            standing.owed = max(0, standing.owed - 1)
            standing.health = health
        else:
            standing.failures += 1
            standing.error = f"no answer: {health.error}" if not health.answered else health.error
            if standing.owed or standing.failures >= FAILURES:
                standing.owed = standing.price
        if not standing.owed:
            standing.price = 1
        self._conclude()
        fit = good and not self._unfit(standing, self.topology.leader_up)[0]
        standing.misses = 0 if fit else standing.misses + 1
        return (
            good and self.topology.leader_up and before is not None and before.link_up and not (health.link_up or health.refused)
        )

    def proven(self, server: Server) -> bool:
        """It has answered its last probe, and owes no other."""
        standing = self._standings[server]
        return standing.health is not None and not standing.failures and not standing.owed

    def pause(self, server: Server, interval: float) -> float:
        """Seconds until the next probe of this server, without jitter."""
        standing = self._standings[server]
        if standing.misses:
            return float(min(interval, FIRST_BACKOFF * 2 ** min(standing.misses - 1, 20)))
        return min(interval, PROOF_DISTANCE) if standing.owed else interval

    def _conclude(self) -> None:
        self.topology = self._decide()
        readers = self.topology.readers
        for server, standing in self._standings.items():
            serves = self.topology.leader_up if server is self.leader else server in readers
            self._say(standing, serves, *self._reason(standing))

    def _decide(self) -> Topology:
        standings = self._standings
        leader = standings[self.leader]
        leader_up = not leader.owed and not (leader.health and leader.health.loading)
        paid = (server for server in self.replicas if not standings[server].owed)
        readers = tuple(server for server in paid if not self._unfit(standings[server], leader_up)[0])
        told = [standing.health for standing in standings.values() if standing.health and not standing.health.error]
        offsets = tuple((health.server.index, health.offset) for health in told)
        return Topology(self.leader, tuple(self.replicas), readers, offsets, leader_up)

    def _unfit(self, standing: Standing, leader_up: bool) -> tuple[str, str]:
        """The kind of reason, and the reason in words, for which what it said last forbids to use it; ("",
        "") when nothing does.
        """
        health = standing.health
        if health is None or health.error:
            return "", ""
        if health.loading:
            return "loading", "it loads its data"
        if standing.server is self.leader:
            return "", ""
        if health.role != "slave":
            return "role", f"the settings call it a replica of {self.leader.name}, but it is a leader itself"
        if health.syncing:
            return "syncing", "it copies its leader's data"
        if not health.link_up and (leader_up or health.offset == NEVER_SYNCED):
            return "link", "its link to its leader is down"
        return "", ""

    def _reason(self, standing: Standing) -> tuple[str, str]:
        """What there is to say of a server, fit or not: its kind and its words."""
        if standing.owed:
            return "failed" if standing.failures else "suspect", standing.error
        health = standing.health
        if health is not None and health.error:
            return "refuses", f"it does not tell how it is, and is taken as well: {health.error}"
        if health is not None and standing.server is self.leader and health.role == "slave":
            return "role", "the settings call it the leader, but it is a replica, and refuses writes"
        return self._unfit(standing, self.topology.leader_up)

    def _say(self, standing: Standing, serves: bool, kind: str, reason: str) -> None:
        """One line in the log per change."""
        before = standing.said
        if before == (serves, kind):
            return
        standing.said = (serves, kind)
        server = standing.server
        what, verb = ("leader", "is up") if server is self.leader else ("replica", "is read")
        if serves and not reason:
            log.info("%s %s %s again", what, server.name, verb)
        elif serves:
            log.warning("%s %s: %s", what, server.name, reason)
        else:
            log.warning("%s %s %s: %s", what, server.name, verb.replace("is", "is not"), reason)


class Monitor:
    """Probes all servers, each by a task and over a connection of its own, and hands each new topology to
    `publish`.

    `interval` and `timeout` of probes in seconds. `on_leader_up` runs when the leader has answered for the
    first time, and after each return. Offsets alone are published at most once per interval.
    """

    def __init__(
        self,
        servers: tuple[Server, ...],
        publish: Callable[[Topology], None],
        interval: float,
        timeout: float,
        on_leader_up: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._servers = servers
        self._publish = publish
        self._interval = interval
        self._timeout = timeout
        self._on_leader_up = on_leader_up
        self._judge = Judge(servers)
        self._published = self._judge.topology
        self._published_at = 0.0
        self._greeted = False
        self._wakes = {server: asyncio.Event() for server in servers}

    @property
    def topology(self) -> Topology:
        """Who serves what now."""
        return self._judge.topology

    def suspect(self, server: Server, reason: str = "a connection to it failed") -> None:
        """The data plane lost a connection to this server or could not open one: it serves nothing until it
        has proved well, and is probed at once. Publishes before it returns. Cheap when said again and again.
        """
        if self._judge.suspect(server, reason):
            self._wakes[server].set()
        self._tell(0.0)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for turn, server in enumerate(self._servers, start=1):
                tasks.create_task(self._watch(server, turn / len(self._servers), tasks), name=f"probe {server.name}")

    async def _watch(self, server: Server, first: float, tasks: asyncio.TaskGroup) -> None:
        """Probe one server for ever. `first` (a part of the interval) sets its turn among the others."""
        prober = Prober(server, self._timeout)
        wake = self._wakes[server]
        suspicions = 0
        try:
            while True:
                wake.clear()
                if suspicions != self._judge.suspicions(server):
                    suspicions = self._judge.suspicions(server)
                    await prober.close()  # that a connection could be opened is part of the proof
                if self._judge.observe(await prober.probe(), suspicions):
                    self._wakes[self._judge.leader].set()
                self._tell(self._interval)
                if server is self._judge.leader:
                    self._greet(tasks)
                pause = self._judge.pause(server, self._interval)
                pause *= first if pause >= self._interval else random.uniform(0.5, 1.0)
                first = 1.0
                with contextlib.suppress(TimeoutError):
                    # not wait_for, which in Python 3.11 swallows a cancellation that comes together with the event
                    async with asyncio.timeout(pause):
                        await wake.wait()
        finally:
            await prober.close()

    def _tell(self, patience: float) -> None:
        """Publish what has changed; offsets alone only if nothing was published for `patience` seconds (0:
        not at all).
        """
        now, old, new = time.monotonic(), self._published, self._judge.topology
        changed = (new.readers, new.leader_up) != (old.readers, old.leader_up)
        if changed or (patience and new != old and now - self._published_at >= patience):
            self._published, self._published_at = new, now
            self._publish(new)

    def _greet(self, tasks: asyncio.TaskGroup) -> None:
        """The leader was probed: if it is up and was not before, call `on_leader_up`."""
        if not self._judge.topology.leader_up:
            self._greeted = False
        elif not self._greeted and self._judge.proven(self._judge.leader) and self._on_leader_up is not None:
            self._greeted = True
            tasks.create_task(self._call(self._on_leader_up))

    async def _call(self, on_leader_up: Callable[[], Awaitable[None]]) -> None:
        try:
            await on_leader_up()
        except Exception:
            log.exception("what was to be done when the leader came up failed")
