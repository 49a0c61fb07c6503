"""The life of one rproxy: start, serve, drain, stop.

Called by the command line and the demo. It puts the rooms together: it makes the data plane, hands it the outside, binds, starts the control plane,
and ends them in the other order. Signals and systemd are answered here.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import rproxy
from rproxy import dataplane
from rproxy.config import Settings
from rproxy.controlplane.clock import FreshnessClock
from rproxy.controlplane.nomination import NOBODY
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.plane import Options, Plane, Ports, Transport
from rproxy.dataplane.topology import Server, Topology
from rproxy.service import systemd
from rproxy.service.dialer import Dialer
from rproxy.service.listener import Listeners
from rproxy.service.peers import peer
from rproxy.urls import parse_listener

log = logging.getLogger("rproxy")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
DRAIN_LOOK = 0.02
"""Seconds between two looks at whether the last session has ended."""


class Running:
    """A started rproxy: its data plane, the `addresses` on which it listens, and how to end it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.listeners = Listeners()
        self._suspects: list[tuple[Server, str]] = []
        self._monitor: asyncio.Task[None] | None = None
        self._suspect = self._suspect_early
        self._demoted = self._suspect_early
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self.code = 0
        topology = _first_topology(settings)
        self._dialer = Dialer(settings.timeouts.connect)
        self.plane = Plane(
            topology, CommandTable(settings.commands, settings.scripts_declare_keys), _options(settings), self._ports()
        )
        self.clock = FreshnessClock(self.plane, self._dialer.dial, time.monotonic)
        self._started = time.monotonic()
        self.plane.about = self._about

    @property
    def addresses(self) -> list[str]:
        """The URLs of the listeners, with the ports that they got."""
        return self.listeners.addresses

    def _about(self) -> dict[str, object]:
        """What the status says beside the data plane's own."""
        return {
            "version": rproxy.__version__,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "discovery": self.settings.discovery,
            "clock_rounds": self.clock.rounds,
            "clock_rests": self.plane.resting,
        }

    def stop(self, number: int = 0) -> None:
        """Drain and end; the second time, end at once."""
        if self._stop.is_set():
            self.code = 128 + number
            self._now.set()
        self._stop.set()

    def _ports(self) -> Ports:
        loop = asyncio.get_running_loop()
        return Ports(
            dial=self._dialer.dial,
            hang_up=self._dialer.hang_up,
            clock=time.monotonic,
            random=random.random,
            later=loop.call_later,
            soon=loop.call_soon,
            suspect=lambda server, reason: self._suspect(server, reason),
            notice=log.warning,
            clock_ns=time.monotonic_ns,
            demoted=lambda server, reason: self._demoted(server, reason),
            send=os.write,
            descriptor=_descriptor,
            peer=peer,
            stamped=lambda: self.clock.wake(),
        )

    def _suspect_early(self, server: Server, reason: str) -> None:
        """A server failed before the control plane was there to judge it: it is left alone until it is."""
        self._suspects.append((server, reason))
        now = self.plane.topology
        readers = tuple(reader for reader in now.readers if reader is not server)
        self.plane.follow(replace(now, readers=readers, leader_up=now.leader_up and server is not now.leader))

    async def start(self) -> None:
        """Bind. Raises OSError where that can't be."""
        await self.listeners.open(self.settings.listen, self.plane)
        if self.plane.stamping:
            self.clock.wake()
        self._monitor = asyncio.get_running_loop().create_task(self._watch(), name="control plane")
        self._monitor.add_done_callback(self._watch_ended)

    async def _watch(self) -> None:
        """Run the control plane. It brings redis-py, 0.3 s of CPU to import: not in the way of the first clients."""
        loop = asyncio.get_running_loop()
        monitoring = await loop.run_in_executor(None, importlib.import_module, "rproxy.controlplane.monitor")
        learning = await loop.run_in_executor(None, importlib.import_module, "rproxy.controlplane.learn")
        settings, timeouts = self.settings, self.settings.timeouts

        async def learn() -> None:
            await learning.learn_commands(self.plane.topology.leader, self.plane.table, timeouts.probe)

        monitor = monitoring.Monitor(
            settings.servers,
            self.plane.follow,
            timeouts.probe_interval,
            timeouts.probe,
            on_leader_up=learn,
            discovery=settings.discovery,
            budget=timeouts.budget,
            max_lag=settings.max_lag,
            max_lag_bytes=settings.max_lag_bytes,
            max_clock_skew=settings.max_clock_skew,
            proven=self.clock.proven,
            sentinels=settings.sentinels,
            service=settings.service,
        )
        self._suspect = monitor.suspect
        self._demoted = monitor.demoted
        for server, reason in self._suspects:
            monitor.suspect(server, reason)
        await monitor.run()

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("the control plane has ended: rproxy stops", exc_info=task.exception())
            self.code = 1
            self._stop.set()

    async def wait(self) -> None:
        """Until it is told to stop."""
        await self._stop.wait()

    async def drain(self) -> None:
        """Accept no more, let what is in flight finish (as long as `timeouts.drain`, or until the second signal), then close."""
        self.listeners.close()
        self.plane.draining = True
        deadline = time.monotonic() + self.settings.timeouts.drain
        for session in self.plane.clients:
            session.wake()
        while len(self.plane.clients) and time.monotonic() < deadline and not self._now.is_set():
            await asyncio.sleep(DRAIN_LOOK)
        for session in self.plane.clients:
            session.close()

    async def end(self) -> None:
        """Close what is left."""
        self.listeners.close()
        if self._monitor is not None:
            self._monitor.cancel()
            await asyncio.wait([self._monitor])
        self.clock.stop()
        self.plane.close()
        await asyncio.sleep(0)


def _first_topology(settings: Settings) -> Topology:
    """Before anything is known. Writes wait until a probe has found who leads, unless only one server can."""
    if not settings.servers:
        return Topology(NOBODY, leader_up=False, settled=False)
    leader, *replicas = settings.servers
    settled = settings.discovery == "static" or (settings.discovery == "roles" and not replicas)
    return Topology(leader, tuple(replicas), tuple(replicas), settled=settled)


def _descriptor(transport: Transport) -> int:
    """The socket of a transport that adds nothing to the bytes; -1 under TLS."""
    known = cast(asyncio.Transport, transport)
    return -1 if known.get_extra_info("ssl_object") is not None else int(known.get_extra_info("socket").fileno())


def _options(settings: Settings) -> Options:
    return Options(
        consistency=settings.consistency,
        tables="fresh" in (settings.consistency, *(parse_listener(url).consistency for url in settings.listen)),
        command=settings.timeouts.command,
        read_policy=settings.read_policy,
        zone=settings.zone,
        leader_reads=settings.leader_reads,
        leaderless_reads=settings.leaderless_reads,
        budget=settings.timeouts.budget,
        connect=settings.timeouts.connect,
        idle_lane=settings.timeouts.idle_lane,
        session_output=settings.limits.session_output,
        clients=settings.limits.clients,
    )


@contextmanager
def _signals(running: Running) -> Iterator[None]:
    """The first SIGTERM or SIGINT drains, the second ends at once."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, running.stop, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def serve(settings: Settings, ready: Callable[[Running], None] | None = None) -> int:
    """Serve until told to stop; return the exit code: 0 drained, 1 could not bind or failed, 128 + n ended by a second signal n.

    `ready` is called once it listens.
    """
    running = Running(settings)
    with _signals(running):
        return await _serve(running, ready)


async def _serve(running: Running, ready: Callable[[Running], None] | None) -> int:
    settings = running.settings
    try:
        await running.start()
    except OSError as problem:
        log.error("cannot listen on %s: %s", ", ".join(settings.listen), problem)
        return 1
    mode = "compiled" if dataplane.compiled() else "interpreted"
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    log.info("rproxy %s, data plane %s, loop %s, listening on %s", rproxy.__version__, mode, loop, ", ".join(running.addresses))
    named = [server.name for server in settings.servers]
    if named:
        log.info("leader %s, replicas %s", named[0], ", ".join(named[1:]) or "none")
    if settings.sentinels:
        log.info("sentinels %s, service %s", ", ".join(server.name for server in settings.sentinels), settings.service)
    watchdog = systemd.start_watchdog()
    systemd.notify("READY=1")
    if ready is not None:
        ready(running)
    await running.wait()
    systemd.notify("STOPPING=1")
    log.info("draining %d clients", len(running.plane.clients))
    await running.drain()
    if watchdog is not None:
        watchdog.cancel()
    await running.end()
    log.info("stopped")
    return running.code
