"""The admin listeners: bound with the others, served by uvicorn in the same loop.

Made by the command line for the lifecycle, which tells it when. uvicorn and starlette are imported when rproxy serves its clients already. It must never
take a signal, nor keep rproxy from its end.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
from typing import Any

from rproxy.admin.desk import Desk
from rproxy.service.inherited import Inherited
from rproxy.service.lifecycle import Running
from rproxy.service.listener import Bound, bind, owning, release
from rproxy.service.reload import Reload

log = logging.getLogger("rproxy.admin")

PATIENCE = 1.0
"""Seconds for which finding the leader, which clients wait for, goes before: it has much to import too. Who asks meanwhile waits."""
LOOK = 0.02
ONLY_OWN_GROUP = 0o660
"""The rights on a unix socket: whoever can connect can steer."""


class Door:
    """The methods are those of `lifecycle.Beside`."""

    def __init__(self, running: Running, reload: Reload) -> None:
        self.desk = Desk(running, reload)
        self._bound: list[Bound] = []
        self._probes: list[Bound] = []
        self._serving: asyncio.Task[None] | None = None
        self._servers: list[Any] = []

    @property
    def addresses(self) -> list[str]:
        """Where administrators ask, with the ports that it got."""
        return [bound.address for bound in self._bound]

    @property
    def sockets(self) -> list[socket.socket]:
        """What listens."""
        return [bound.socket for bound in (*self._bound, *self._probes)]

    def own(self, paths: bool) -> None:
        """Whether what is at their paths is removed at the end."""
        self._bound, self._probes = owning(self._bound, paths), owning(self._probes, paths)

    def bind(self, inherited: Inherited | None = None) -> None:
        """Take the addresses. Raises OSError where one that the settings name can't be had; without the default one rproxy goes on."""
        admin = self.desk.loaded.settings.admin
        self._probes = bind(admin.probes, inherited)
        try:
            self._bound = bind(admin.listen, inherited)
        except OSError as problem:
            if "admin.listen" in self.desk.loaded.places:
                raise
            log.warning("no admin listener: %s: %s; admin.listen names another one, or none", ", ".join(admin.listen), problem)
        for bound in self._bound:
            if bound.path:
                os.chmod(bound.path, ONLY_OWN_GROUP)

    def begin(self) -> None:
        """Answer from now on, as soon as what is needed for that is loaded."""
        for what, some in (("admin", self._bound), ("probes", self._probes)):
            if some:
                log.info("%s on %s", what, ", ".join(bound.address for bound in some))
        if self.sockets:
            self._serving = asyncio.get_running_loop().create_task(self._serve(), name="admin")
            self._serving.add_done_callback(_ended)

    async def end(self) -> None:
        """Close what is open."""
        if self._serving is not None:
            if not self._servers:
                self._serving.cancel()
            for server in self._servers:
                server.leave()
            await asyncio.wait([self._serving])
        release([*self._bound, *self._probes])

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + PATIENCE
        while not self.desk.running.plane.topology.settled and loop.time() < latest:
            await asyncio.sleep(LOOK)
        serving = await loop.run_in_executor(None, importlib.import_module, "rproxy.admin.serving")
        made = [(serving.server(self.desk), self._bound), (serving.probe_server(self.desk), self._probes)]
        self._servers = [server for server, bound in made if bound]
        await asyncio.gather(*(server.serve([each.socket for each in bound]) for server, bound in made if bound))


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the admin listeners have failed", exc_info=task.exception())
