"""What administrators change while rproxy runs: pauses, replicas that are not to be read, clients that are to go.

Owned by `lifecycle` where one process does all, and by the supervisor of several workers; called by the admin listeners. It says in the log what it does. It
must never change anything without a sentence that says what has become of it, nor outlive the process: a restart forgets it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rproxy.config_values import write_duration
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.topology import Server
from rproxy.service.control import Control
from rproxy.urls import masked, parse_server

log = logging.getLogger("rproxy.admin")

LONGEST_PAUSE = 300.0
"""Seconds. Whoever needs more asks again."""
SETTLING = 1.5
"""Seconds that a pause waits for what is under way, before it says how much still is."""
LOOK = 0.02

Ask = Callable[..., Awaitable[list[bytes]]]


class Refused(Exception):
    """It is not done. The text is one sentence that says why."""


class Unknown(Refused):
    """There is no such server or client."""


class Steering:
    """`ask` as `Running.ask`; `control`: who decides who is read."""

    def __init__(self, plane: Plane, control: Control, ask: Ask) -> None:
        self._plane = plane
        self._control = control
        self._ask = ask
        self._drained: frozenset[str] = frozenset()

    async def pause(self, seconds: float) -> str:
        """Take no command from any client for so long, or until `resume`. Returns when nothing is under way any more, or soon."""
        if not 0 < seconds <= LONGEST_PAUSE:
            raise Refused(f"a pause lasts longer than 0s and at most {write_duration(LONGEST_PAUSE)}")
        log.warning("paused for %s: clients wait", write_duration(seconds))
        loop = asyncio.get_running_loop()
        patience = loop.time() + min(SETTLING, seconds)
        self._plane.intermission.begin(seconds)
        under_way = await self._hold(seconds)
        while under_way and loop.time() < patience:
            await asyncio.sleep(LOOK)
            under_way = sum(map(int, await self._ask(b"HOLD")))
        rest = f"{under_way} clients still wait for an answer to what they sent before" if under_way else "nothing is under way"
        return f"paused for {write_duration(seconds)}; {rest}"

    async def _hold(self, seconds: float) -> int:
        return sum(map(int, await self._ask(b"HOLD", b"%d" % (seconds * 1000))))

    async def resume(self) -> str:
        """End a pause."""
        if not self._plane.intermission.until:
            raise Refused("there is no pause")
        log.warning("resumed: clients go on")
        self._plane.intermission.end()
        await self._hold(0)
        return "resumed"

    def standing(self) -> list[tuple[bytes, ...]]:
        """What a worker must be asked that has just begun."""
        left = self._plane.intermission.left()
        return [(b"HOLD", b"%d" % max(1, left * 1000))] if left else []

    def drain(self, name: str) -> str:
        """Read this replica no more. What it was asked is answered."""
        server = self._find(name)
        if server == self._plane.topology.leader:
            raise Refused(f"{server.name} leads: who would take the writes? Promote another server first")
        if server.name in self._drained:
            raise Refused(f"{server.name} is drained already")
        log.warning("%s is drained: it gets no new reads", server.name)
        self._tell(self._drained | {server.name})
        left = len(self._plane.topology.readers)
        read = f"{left} {'replica is' if left == 1 else 'replicas are'} read" if left else "no replica is read any more"
        return f"{server.name} is drained; {read}"

    def ready(self, name: str) -> str:
        """Read this replica again, if nothing else speaks against it."""
        server = self._find(name)
        if server.name not in self._drained:
            raise Refused(f"{server.name} is not drained")
        log.warning("%s is drained no more", server.name)
        self._tell(self._drained - {server.name})
        return f"{server.name} is read again as soon as probes find it well"

    def _tell(self, drained: frozenset[str]) -> None:
        self._drained = drained
        self._control.drain(drained)

    def _find(self, name: str) -> Server:
        """The server of this name, or of this URL. Raises Unknown."""
        servers = self._plane.topology.servers
        try:
            wanted = parse_server(name if "://" in name else f"redis://{name}", 0).name
        except ValueError:
            wanted = ""
        found = next((server for server in servers if server.name == wanted), None)
        if found is None:
            raise Unknown(f"no server {masked(name)}; there are {', '.join(server.name for server in servers)}")
        return found

    async def kill(self, client: str) -> str:
        """Close the connection of the client with this id."""
        if not client.isdecimal():
            raise Refused("a client's id is a number: `id` in CLIENT LIST")
        if not sum(map(int, await self._ask(b"KILL", b"ID", client.encode()))):
            raise Unknown(f"no client {client}")
        log.warning("client %s is closed", client)
        return f"client {client} is closed"
