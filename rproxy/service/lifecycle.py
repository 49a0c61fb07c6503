"""The life of one rproxy: start, serve, drain, stop.

Called by the command line and the demo. With one worker it is all of it: it makes the data plane, hands it the outside, binds, starts the control plane,
and ends them in the other order; with several it hands over to the supervisor. systemd is told here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Protocol

from rproxy.config import Loaded
from rproxy.controlplane.credentials import CREDENTIALS
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.renewal import renew, stamp_from_now
from rproxy.dataplane.roster import answer
from rproxy.dataplane.tallies import CLIENTS
from rproxy.service import assembly, descriptors, logs, signals, systemd
from rproxy.service.control import Control
from rproxy.service.dialer import Dialer
from rproxy.service.inherited import Inherited, of_systemd
from rproxy.service.listener import Listeners
from rproxy.service.reload import Reload
from rproxy.service.steering import Steering
from rproxy.service.supervisor import Supervisor
from rproxy.service.takeover import Takeover
from rproxy.settings import Settings

log = logging.getLogger("rproxy")


class Running(Protocol):
    """A started rproxy. `plane` is the data plane, or what the supervisor knows in place of its workers'; `code` the exit code.
    `steering` is for administrators."""

    plane: Plane
    code: int
    steering: Steering

    @property
    def draining(self) -> bool:
        """Whether it has been told to stop."""

    @property
    def addresses(self) -> list[str]:
        """The URLs of the listeners, with the ports that they got."""

    @property
    def sockets(self) -> list[socket.socket]:
        """What listens."""

    def wake(self) -> None:
        """Have the freshness clock look again."""

    def stop(self, number: int = 0) -> None:
        """Drain and end; the second time, end at once."""

    def own(self, paths: bool) -> None:
        """Whether what is at the listeners' paths is removed at the end: not where another process has them."""

    def give_way(self) -> None:
        """Another rproxy has the listeners and serves: drain without delay."""

    async def start(self, inherited: Inherited) -> None:
        """Bind, or take what is inherited; then, when the control plane has found out who leads or has had its time for it, let clients connect. Raises OSError
        where it can't bind, and where something inherited is left over.
        """

    async def wait(self) -> None:
        """Until it is told to stop."""

    async def drain(self) -> None:
        """Accept no more, let what is in flight finish (as long as `timeouts.drain`, or until the second signal), then close."""

    async def end(self) -> None:
        """Close what is left."""

    async def change(self, settings: Settings) -> None:
        """Go by these settings, of which those that can't change are the same. Raises SettingsError, with nothing changed."""

    async def ask(self, *words: bytes) -> list[bytes]:
        """What every worker answers (`dataplane.roster.answer`); without those that don't within a second."""


class Beside(Protocol):
    """What lives and ends with rproxy: the admin listeners."""

    @property
    def sockets(self) -> list[socket.socket]:
        """What listens."""

    def own(self, paths: bool) -> None:
        """As `Running.own`."""

    def bind(self, inherited: Inherited | None = None) -> None:
        """Before anything else. Raises OSError where that is the end."""

    def begin(self) -> None:
        """When clients are served."""

    async def end(self) -> None:
        """When all clients have gone."""


class Alone:
    """One process does all. The methods are those of `Running`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.listeners = Listeners()
        self.code = 0
        self._gives_way = False
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._started = time.monotonic()
        dialer = Dialer(settings.timeouts.connect)
        ports = assembly.outside(
            dialer,
            lambda server, reason: self._control.suspect(server, reason),
            lambda server, reason: self._control.demoted(server, reason),
            lambda: self._control.clock.wake(),
        )
        self.plane = Plane(assembly.first_topology(settings), assembly.table(settings), assembly.options(settings), ports)
        self.plane.about = lambda: assembly.about(self.plane, settings, self._started)
        self._logins = CREDENTIALS.listen(self.plane.reauthentication.begin)
        self._control = Control(settings, self.plane, dialer, self.plane.follow, self.plane.table.learn, self._fail)
        self.steering = Steering(self.plane, self._control, self.ask)

    @property
    def addresses(self) -> list[str]:
        """The URLs of the listeners, with the ports that they got."""
        return self.listeners.addresses

    @property
    def sockets(self) -> list[socket.socket]:
        """What listens."""
        return self.listeners.sockets

    def wake(self) -> None:
        """Have the freshness clock look again."""
        self._control.clock.wake()

    def own(self, paths: bool) -> None:
        """Whether what is at the listeners' paths is removed at the end."""
        self.listeners.own(paths)

    def give_way(self) -> None:
        """Another rproxy has the listeners and serves."""
        self._gives_way = True
        self._stop.set()

    def stop(self, number: int = 0) -> None:
        """Drain and end; the second time, end at once."""
        if self._stop.is_set():
            self.code = 128 + number
            self._now.set()
        self._stop.set()

    @property
    def draining(self) -> bool:
        """Whether it has been told to stop."""
        return self._stop.is_set()

    async def change(self, settings: Settings) -> None:
        """Go by these settings."""
        self.listeners.change(settings.tls, settings.timeouts.keepalive)
        self.settings = settings
        if assembly.keeps_tables(settings):
            stamp_from_now(self.plane)
        renew(self.plane, assembly.options(settings), settings.commands, settings.scripts_declare_keys)
        logs.set_up(settings.log)
        self._control.change(settings)

    async def ask(self, *words: bytes) -> list[bytes]:
        """What the one worker answers."""
        return [answer(self.plane, list(words))]

    def _fail(self) -> None:
        self.code = 1
        self._stop.set()

    async def start(self, inherited: Inherited) -> None:
        """Bind, and serve as soon as it is known who leads."""
        self.listeners.bind(self.settings.listen, inherited)
        inherited.end()
        self._control.start()
        await self._control.ready()
        if not self._stop.is_set():
            self.listeners.serve(self.plane, self.settings.tls, self.settings.timeouts.keepalive)

    async def wait(self) -> None:
        """Until it is told to stop."""
        await self._stop.wait()

    async def drain(self) -> None:
        """Accept no more, let what is in flight finish, then close."""
        if not self.code and not self._gives_way:
            await assembly.linger(self.settings.timeouts.drain_delay, self._now)
        self.listeners.close()
        await assembly.drain(self.plane, self.settings.timeouts.drain, self._now)

    async def end(self) -> None:
        """Close what is left."""
        self.listeners.close()
        await self._control.stop()
        self.plane.close()
        await asyncio.sleep(0)


class Nothing:
    """There is nothing beside."""

    sockets: list[socket.socket] = []

    def own(self, paths: bool) -> None:
        """Nothing is."""

    def bind(self, inherited: Inherited | None = None) -> None:
        """Nothing is."""

    def begin(self) -> None:
        """Nothing does."""

    async def end(self) -> None:
        """Nothing does."""


async def serve(
    settings: Settings,
    ready: Callable[[Running], None] | None = None,
    beside: Callable[[Running, Reload], Beside] = lambda running, reload: Nothing(),
    again: Callable[[], Loaded] | None = None,
    places: dict[str, str] | None = None,
) -> int:
    """Serve until told to stop; return the exit code: 0 drained, 1 could not bind or failed, 128 + n ended by a second signal n.

    `ready` is called once it listens; `beside` makes what lives with it; `again` reads the settings once more, which came from
    `places`.
    """
    running: Running = Alone(settings) if settings.workers == 1 else Supervisor(settings)
    loaded = Loaded(settings, places or {})
    reload = Reload(loaded, again or (lambda: loaded), running.change)
    with signals.heard(running, reload):
        return await _serve(running, settings, ready, beside(running, reload))


async def _serve(running: Running, settings: Settings, ready: Callable[[Running], None] | None, beside: Beside) -> int:
    descriptors.raise_limit()
    urls: tuple[str, ...] = (settings.takeover,)
    takeover = Takeover(settings.takeover, running, beside)
    try:
        inherited = of_systemd() or takeover.inherit()
        urls = (*settings.admin.listen, *settings.admin.probes)
        beside.bind(inherited)
        urls = settings.listen
        await running.start(inherited)
    except OSError as problem:
        log.error("cannot listen on %s: %s", ", ".join(urls), problem)
        await beside.end()
        await takeover.end()
        return 1
    assembly.say_hello(settings, running.addresses)
    if too_many := descriptors.warning(settings):
        log.warning("%s", too_many)
    watchdog = systemd.start_watchdog()
    systemd.notify("READY=1")
    beside.begin()
    takeover.begin()
    if ready is not None:
        ready(running)
    await running.wait()
    systemd.notify("STOPPING=1")
    log.info("draining %d clients", running.plane.tallies.total(CLIENTS))
    if takeover.given:
        await beside.end()  # the next one answers for both
    await running.drain()
    if watchdog is not None:
        watchdog.cancel()
    await beside.end()
    await running.end()
    await takeover.end()
    log.info("stopped")
    return running.code
