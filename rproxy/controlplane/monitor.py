"""Watches every server, for ever, and publishes a topology whenever who serves what has changed.

Called by `lifecycle`, which runs it beside the service and hands it the data plane's `follow`; the data plane
tells it `suspect` and `demoted`. It only asks, waits and publishes: `judge` decides. It must never fail for what a
server does, nor change a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from rproxy.controlplane.fitness import Limits
from rproxy.controlplane.judge import Begun, Judge, nothing_proven
from rproxy.controlplane.names import Names
from rproxy.controlplane.probe import Prober
from rproxy.controlplane.sentinel import Sentinels
from rproxy.dataplane.topology import Server, Topology

log = logging.getLogger("rproxy.topology")

SETTLED = 0.2
"""Seconds after which a connection is opened anew whose server has another role than it is used for: its name, or address, may lead to another one now."""


class Monitor:
    """Probes all servers, each by a task and over a connection of its own, and hands each new topology to
    `publish`.

    `interval` and `timeout` of probes in seconds, and `resolve`, between two looks whether a server's name still has the address that is probed.
    `on_leader_up` runs when a leader has answered for the
    first time, and after each return. `discovery`: "roles", "static" or "sentinel", with `sentinels` that are asked for `service` (then `servers` may be
    empty or not all); `budget`: seconds for which writes may be held while two servers say
    that they lead; `max_lag` (seconds), `max_lag_bytes` and `max_clock_skew` (seconds): how far a reader may be off, 0 without limit; `proven`: what the
    freshness clock has proved. What changes beside leader, readers and whether there is a leader is published at most once per interval, and not before all
    servers have been asked: until then nobody knows who leads, and the service may have guessed.
    """

    def __init__(
        self,
        servers: tuple[Server, ...],
        publish: Callable[[Topology], None],
        interval: float,
        timeout: float,
        on_leader_up: Callable[[], Awaitable[None]] | None = None,
        *,
        resolve: float = 5.0,
        discovery: str = "roles",
        budget: float = 1.5,
        max_lag: float = 10.0,
        max_lag_bytes: int = 64 * 2**20,
        max_clock_skew: float = 0.05,
        proven: Callable[[], tuple[str, int]] = nothing_proven,
        sentinels: Sequence[Server] = (),
        service: str = "mymaster",
    ) -> None:
        self._publish = publish
        self._interval = interval
        self._timeout = timeout
        self._resolve = resolve
        self._on_leader_up = on_leader_up
        self._names, self._sentinel_names = Names(servers), Names(sentinels)
        self._names_wake = asyncio.Event()
        self._bounds = Limits(max_lag, max_lag_bytes, max_clock_skew), budget
        self._discovery, self._proven = discovery, proven
        self._drained: frozenset[str] = frozenset()
        self._judge: Judge = self._new_judge(servers)
        self._published = self._judge.topology
        self._published_at = 0.0
        self._started = False
        self._hurried = False
        self._greeted: Server | None = None
        self._wakes: dict[Server, asyncio.Event] = {}
        self._watches: dict[Server, asyncio.Task[None]] = {}
        judge = self._judge
        self._sentinels: Sentinels | None = None
        if discovery == "sentinel":
            self._sentinels = Sentinels(
                sentinels, service, servers, timeout, interval, judge.run_ids, lambda: judge.hurried, self._found
            )

    def _new_judge(self, servers: tuple[Server, ...]) -> Judge:
        """One that knows nothing of these servers yet."""
        return Judge(servers, self._discovery, *self._bounds, self._proven)

    @property
    def topology(self) -> Topology:
        """Who serves what now."""
        return self._judge.topology

    def suspect(self, server: Server, reason: str = "a connection to it failed") -> None:
        """The data plane lost a connection to this server or could not open one: all are probed at once. A replica serves nothing until it has proved well, the
        leader serves on until a probe fails. Publishes before it returns. Cheap when said again and again.
        """
        if self._judge.suspect(server, reason):
            self._wake_all()
        self._tell(0.0)

    def look_at_leader(self) -> None:
        """The leader is silent for a moment: it is probed at once."""
        if self._judge.leader in self._wakes:
            self._wakes[self._judge.leader].set()

    def demoted(self, server: Server, reason: str = "it refuses writes") -> None:
        """The leader answered that it is none (-READONLY, -UNBLOCKED): all are probed at once, and nobody leads until that has proved one.
        Publishes before it returns. Cheap when said again and again.
        """
        if self._judge.demoted(server, reason):
            self._wake_all()
        self._tell(0.0)

    def drain(self, names: frozenset[str]) -> None:
        """The servers of these names are not to be read. Publishes before it returns."""
        self._drained = names
        self._judge.drain(names)
        self._tell(0.0)

    def change(
        self,
        servers: tuple[Server, ...],
        interval: float,
        timeout: float,
        *,
        resolve: float = 5.0,
        budget: float,
        max_lag: float,
        max_lag_bytes: int,
        max_clock_skew: float,
        sentinels: Sequence[Server] = (),
    ) -> None:
        """The settings say so now; as for a new one, but what is known of servers that stay is kept. Publishes before it returns."""
        if timeout != self._timeout:
            self._stop_watching(tuple(self._watches))
        self._interval, self._timeout, self._resolve = interval, timeout, resolve
        self._bounds = Limits(max_lag, max_lag_bytes, max_clock_skew), budget
        self._names.change(servers)
        self._sentinel_names.change(sentinels)
        if self._sentinels is not None:
            self._sentinels.change(self._sentinel_names.servers, timeout, interval)
        self._take_names()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            if self._names.any:
                await self._names.look_up(self._timeout)
                self._judge = self._new_judge(self._names.servers)
                self._judge.drain(self._drained)
            await self._look_up()
            self._watch_all()
            self._tasks.create_task(self._follow_names(), name="names")
            if self._sentinels is not None:
                self._tasks.create_task(self._sentinels.run(), name="sentinels")

    async def _follow_names(self) -> None:
        """Look up for ever which servers the names stand for: every `resolve` seconds, and where there is any doubt."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._resolve):
                    await self._names_wake.wait()
            self._names_wake.clear()
            await self._look_up()
            await asyncio.sleep(SETTLED)

    async def _look_up(self) -> None:
        """Look all names up, and go by the servers that they stand for."""
        found = await self._sentinel_names.look_up(self._timeout)
        if found and self._sentinels is not None:
            self._sentinels.change(self._sentinel_names.servers, self._timeout, self._interval)
        if self._names.any and (await self._names.look_up(self._timeout) or set(self._judge.servers) != set(self._named())):
            self._take_names()

    def _named(self) -> tuple[Server, ...]:
        """The servers that the names stand for. A leader whose name has lost its address stays until another leads."""
        servers, leader = self._names.servers, self._judge.leader
        return servers if leader in servers or not self._names.covers(leader) else (*servers, leader)

    def _take_names(self) -> None:
        """Go by what the settings, and names in them, stand for now. Publishes before it returns."""
        self._judge.change(self._named(), *self._bounds)
        self._watch_all()
        self._wake_all()
        self._tell(0.0)

    def _found(self, leader: Server, servers: tuple[Server, ...]) -> None:
        """The Sentinels know these servers, and name this leader."""
        self._judge.found(leader, servers)
        self._watch_all()
        self._wake_all()
        self._tell(0.0)

    def _watch_all(self) -> None:
        """Have a task for each server that ought to be probed, in turns, and none for others."""
        servers = self._judge.servers
        if servers == tuple(self._watches):
            return
        self._stop_watching([server for server in self._watches if server not in servers])
        for turn, server in enumerate(servers, start=1):
            if server not in self._watches:
                self._wakes[server] = asyncio.Event()
                watch = self._watch(server, turn / len(servers))
                self._watches[server] = self._tasks.create_task(watch, name=f"probe {server.name}")

    def _stop_watching(self, servers: Sequence[Server]) -> None:
        for server in servers:
            self._watches.pop(server).cancel()
            del self._wakes[server]

    async def _watch(self, server: Server, place: float) -> None:
        """Probe one server for ever. `place` (a part of the interval) sets its turn among the others."""
        prober = Prober(server, self._timeout)
        wake = self._wakes[server]
        begun, unasked, looked_up = Begun(0, 0), False, time.monotonic()
        try:
            while True:
                wake.clear()
                before, begun = begun, self._judge.begin(server)
                suspected, leads = begun.suspicions != before.suspicions, server == self._judge.leader
                if suspected and not leads:
                    await prober.close()  # that a connection could be opened is part of the proof
                anew = (suspected and leads) or (self._judge.has_wrong_role(server) and prober.age >= SETTLED)
                if not anew and time.monotonic() - looked_up >= self._resolve:
                    looked_up = time.monotonic()
                    anew = await prober.has_moved()
                health = await (prober.probe_anew() if anew else prober.probe())
                if health.unasked and not unasked:
                    log.error("cannot ask %s how it is: %s; that is no fault of the server", server.name, health.error)
                unasked = health.unasked
                if self._judge.observe(health, begun) and self._judge.leader in self._wakes:
                    self._wakes[self._judge.leader].set()
                self._tell(self._interval)
                self._greet()
                if self._sentinels is not None:
                    self._sentinels.consider()
                    self._watch_all()
                pause = self._judge.pause(server, self._interval)
                if pause >= self._interval:
                    pause = until_turn(time.monotonic(), self._interval, place)
                else:
                    pause *= random.uniform(0.5, 1.0)
                with contextlib.suppress(TimeoutError):
                    # not wait_for, which in Python 3.11 swallows a cancellation that comes together with the event
                    async with asyncio.timeout(pause):
                        await wake.wait()
        finally:
            await prober.close()

    def _wake_all(self) -> None:
        for wake in self._wakes.values():
            wake.set()
        self._names_wake.set()
        if self._sentinels is not None:
            self._sentinels.wake()

    def _tell(self, patience: float) -> None:
        """Publish what has changed; what is of less weight only if nothing was published for `patience` seconds (0:
        not at all). When a failover may be under way, probe everyone.
        """
        now, old, new = time.monotonic(), self._published, self._judge.topology
        if self._judge.hurried and not self._hurried:
            self._wake_all()
        self._hurried = self._judge.hurried
        weighty = _weight(new) != _weight(old)
        weighty = weighty or self._judge.started and not self._started
        due = patience and self._started and new != old and now - self._published_at >= patience
        self._started = self._judge.started
        if weighty or due:
            self._published, self._published_at = new, now
            self._publish(new)

    def _greet(self) -> None:
        """If the leader has proved to be up and was not before, or is another one, call `on_leader_up`."""
        leader = self._judge.leader
        if not self._judge.topology.leader_up:
            self._greeted = None
        elif self._greeted != leader and self._judge.proved(leader) and self._on_leader_up is not None:
            self._greeted = leader
            self._tasks.create_task(self._call(self._on_leader_up))

    async def _call(self, on_leader_up: Callable[[], Awaitable[None]]) -> None:
        try:
            await on_leader_up()
        except Exception:
            log.exception("what was to be done when the leader came up failed")


def until_turn(now: float, interval: float, place: float) -> float:
    """Seconds until the turn of the server that has this place (a part of the interval, 0 to 1), at most the interval: whatever woke all of them at once,
    they go on one after the other.
    """
    return interval * (1 - (now / interval - place) % 1)


def _weight(topology: Topology) -> tuple[object, ...]:
    """What must be published at once when it changes."""
    return topology.servers, topology.readers, topology.leader_up, topology.settled, topology.contested, topology.processes
