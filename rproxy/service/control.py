"""The control plane at work: the monitor and the freshness clock, in the process that has them.

Owned by `lifecycle` where one process does all, and by the supervisor of several workers. It passes on what the data plane doubts, also before the monitor
is there, and must never serve a client.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from rproxy.controlplane.clock import FreshnessClock
from rproxy.controlplane.credentials import CREDENTIALS
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.tallies import CHANGES
from rproxy.dataplane.topology import Server, Topology
from rproxy.service.assembly import doubting, keeps_tables
from rproxy.service.dialer import Dialer
from rproxy.service.turning import Turning
from rproxy.settings import Settings

EJECTED_FOR = (
    "failed",
    "unproven",
    "drained",
    "duplicate",
    "clustered",
    "loading",
    "leads",
    "empty",
    "syncing",
    "link",
    "stranger",
    "lag",
    "skew",
)
"""Why replicas are taken out of the reads: a server that failed, or has not proved well since the leader changed, or what `fitness.Reason` says."""

READY = 2.0
"""Seconds within which the first clients are let in, whether it is known by then who leads or not."""

log = logging.getLogger("rproxy")


class Control:
    """`publish(topology)` is told who serves what, `learn(rows)` what the leader's COMMAND says, and returns the names that were new. `ended()` is called if it
    fails: then rproxy can't go on. `plane` is the serving one, or stands for those of all workers; `oldest_write` as the clock's.
    """

    def __init__(
        self,
        settings: Settings,
        plane: Plane,
        dialer: Dialer,
        publish: Callable[[Topology], None],
        learn: Callable[[Sequence[Sequence[object]]], list[bytes]],
        ended: Callable[[], None],
        oldest_write: Callable[[], int] | None = None,
    ) -> None:
        self._settings = settings
        self._plane = plane
        self._dialer = dialer
        self._told = publish
        self._led: Server | None = None
        self._changes = 0
        self._readers: tuple[Server, ...] = ()
        self._learn = learn
        self._ended = ended
        self.clock = FreshnessClock(plane, dialer.dial, time.monotonic, oldest_write, self._look_at_leader)
        self._logins = CREDENTIALS.listen(self.clock.authenticate_anew)
        self._monitor: Any = None
        self._doubts: list[tuple[Server, str]] = []
        self._drained: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._turning: Turning | None = None
        self._known = asyncio.Event()

    def start(self) -> None:
        """Begin to probe, and to mark."""
        self._turning = Turning(self._plane)
        self._turning.start()
        if keeps_tables(self._settings):
            self.clock.wake()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="control plane")
        self._task.add_done_callback(self._done)

    async def ready(self) -> None:
        """Returns when probes have told who leads; without an answer in time, or if the control plane has failed, all the same."""
        known = asyncio.get_running_loop().create_task(self._known.wait())
        waiting = [known] if self._task is None else [known, self._task]
        await asyncio.wait(waiting, timeout=READY, return_when=asyncio.FIRST_COMPLETED)
        known.cancel()

    async def stop(self) -> None:
        """End every connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.clock.stop()
        if self._turning is not None:
            self._turning.stop()

    def _look_at_leader(self) -> None:
        """The freshness clock has not heard the leader for a moment."""
        if self._monitor is not None:
            self._monitor.look_at_leader()

    def suspect(self, server: Server, reason: str) -> None:
        """A connection to this server failed."""
        if self._monitor is not None:
            self._monitor.suspect(server, reason)
        else:
            self._doubt_early(server, reason)

    def demoted(self, server: Server, reason: str) -> None:
        """The leader refuses writes."""
        if self._monitor is not None:
            self._monitor.demoted(server, reason)
        else:
            self._doubt_early(server, reason, demoted=True)

    def drain(self, names: frozenset[str]) -> None:
        """The servers of these names, and no others, are not to be read: an administrator says so."""
        self._drained = names
        if self._monitor is not None:
            self._monitor.drain(names)

    def change(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings
        self._dialer.timeout = settings.timeouts.connect
        self._dialer.reload_certificates()
        CREDENTIALS.keep((*settings.servers, *settings.sentinels))
        if self._monitor is not None:
            timeouts = settings.timeouts
            self._monitor.change(
                settings.servers,
                timeouts.probe_interval,
                timeouts.probe,
                resolve=timeouts.resolve,
                sentinels=settings.sentinels,
                **_bounds(settings),
            )
        if self._plane.options.keeps_tables:
            self.clock.wake()

    def _found(self, topology: Topology) -> None:
        """The monitor has decided."""
        self._publish(topology)
        if topology.settled:
            self._known.set()

    def _publish(self, topology: Topology) -> None:
        """Pass on what was decided, and count how often another server leads than before."""
        self._count_ejections(topology)
        if topology.settled:
            self._changes += self._led not in (None, topology.leader)
            self._led = topology.leader
            self._plane.tallies.put(CHANGES, self._changes)
        self._told(topology)

    def _count_ejections(self, topology: Topology) -> None:
        """How often each replica was read, and then not any more."""
        reasons, ejected = dict(topology.reasons), self._plane.tallies.ejected
        for server in self._readers:
            if server in topology.replicas and server not in topology.readers:
                key = (server.name, reasons.get(server.index, "failed"))
                ejected[key] = ejected.get(key, 0) + 1
        self._readers = topology.readers

    def _doubt_early(self, server: Server, reason: str, demoted: bool = False) -> None:
        """A server failed before the monitor was there to judge it: it is left alone until it is."""
        self._doubts.append((server, reason))
        self._publish(doubting(self._plane.topology, server, demoted))

    async def _run(self) -> None:
        """The monitor brings redis-py, 0.3 s of CPU to import: not in the way of the first clients."""
        loop = asyncio.get_running_loop()
        monitoring = await loop.run_in_executor(None, importlib.import_module, "rproxy.controlplane.monitor")
        learning = await loop.run_in_executor(None, importlib.import_module, "rproxy.controlplane.learn")
        settings, timeouts = self._settings, self._settings.timeouts

        async def learn() -> None:
            await learning.learn_commands(self._plane.topology.leader, self._learn, self._settings.timeouts.probe)

        self._monitor = monitoring.Monitor(
            settings.servers,
            self._found,
            timeouts.probe_interval,
            timeouts.probe,
            on_leader_up=learn,
            resolve=timeouts.resolve,
            discovery=settings.discovery,
            **_bounds(settings),
            proven=self.clock.proven,
            sentinels=settings.sentinels,
            service=settings.service,
        )
        self._monitor.drain(self._drained)
        for server, reason in self._doubts:
            self._monitor.suspect(server, reason)
        await self._monitor.run()

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("the control plane has ended: rproxy stops", exc_info=task.exception())
            self._ended()


def _bounds(settings: Settings) -> dict[str, float]:
    """How long writes may be held, and how far a replica may be off."""
    return {
        "budget": settings.timeouts.budget,
        "max_lag": settings.max_lag,
        "max_lag_bytes": settings.max_lag_bytes,
        "max_clock_skew": settings.max_clock_skew,
    }
