"""Settings that change while rproxy serves: read again from where they came from, checked as a whole, then taken over by everybody, or by nobody.

Made by `lifecycle`; asked by SIGHUP and by the admin listeners. Servers keep their index as long as the process lives, since marks, counters and cursors go by
it, and no index is given twice. It must never change a part of what was asked for, nor drop a client for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec

from rproxy.config import Loaded, changed
from rproxy.dataplane.freshness import SERVERS
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.service import systemd
from rproxy.settings import Settings

log = logging.getLogger("rproxy")

FIXED = ("listen", "takeover", "workers", "admin.listen", "admin.probes", "discovery", "service")
"""What is bound, started or connected once."""
FIXED_WITH_SENTINELS = ("servers",)
MOST_SERVERS = SERVERS - 1
"""One index stands for no server."""


class Indices:
    """Gives every address its index."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._given = {_address(server): server.index for server in servers}
        self._next = max((server.index for server in servers), default=-1) + 1

    def give(self, servers: Sequence[Server]) -> tuple[Server, ...]:
        """These servers, each with the index that its address had before, or with a new one. Raises SettingsError where there is none left."""
        given, following = dict(self._given), self._next
        found = []
        for server in servers:
            if _address(server) not in given:
                given[_address(server)] = following
                following += 1
            found.append(replace(server, index=given[_address(server)]))
        if following > MOST_SERVERS:
            raise SettingsError(f"servers: more than {MOST_SERVERS} were named in the life of this process: that needs a restart")
        self._given, self._next = given, following
        return tuple(found)


def _address(server: Server) -> tuple[object, ...]:
    return server.host.lower(), server.port, server.path, server.tls


class Reload:
    """`loaded` are the settings in use; `again()` reads them once more; `change(settings)` has everybody go by new ones. Both raise SettingsError.
    `asked` and `refused` count; `fine`: the last time they were taken over."""

    def __init__(self, loaded: Loaded, again: Callable[[], Loaded], change: Callable[[Settings], Awaitable[None]]) -> None:
        self.loaded = loaded
        self._again = again
        self._change = change
        self._indices = Indices(loaded.settings.servers)
        self._one_at_a_time = asyncio.Lock()
        self.asked = self.refused = 0
        self.fine = True

    async def reload(self) -> str:
        """Read and take over; the sentence that says what has changed. Raises SettingsError, with nothing changed."""
        async with self._one_at_a_time:
            systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self.asked += 1
            try:
                said = await self._reload()
                self.fine = True
            except SettingsError as problem:
                self.refused += 1
                self.fine = False
                log.error("the settings stay as they were: %s", problem)
                raise
            finally:
                systemd.notify("READY=1")
        log.info("%s", said)
        return said

    async def _reload(self) -> str:
        old, new = self.loaded.settings, await asyncio.to_thread(self._again)  # clients go on meanwhile
        fixed = FIXED + (FIXED_WITH_SENTINELS if old.discovery == "sentinel" else ())
        kept = [key for key, _, _ in changed(old, new.settings) if key in fixed]
        if kept:
            raise SettingsError(f"{', '.join(kept)}: this needs a restart; nothing else was changed either")
        settings = msgspec.structs.replace(new.settings, servers=self._indices.give(new.settings.servers))
        found = list(changed(old, settings))
        if found or _has_certificates(settings):
            await self._change(settings)
        self.loaded = Loaded(settings, new.places)
        return "settings reloaded: " + (_said(found) or "nothing has changed")


def _has_certificates(settings: Settings) -> bool:
    """Whether there are files that may hold something else now."""
    return bool(settings.tls.cert) or any(server.tls for server in (*settings.servers, *settings.sentinels))


def _said(found: Sequence[tuple[str, str, str]]) -> str:
    return "; ".join(f"{key} {before or 'none'} -> {after or 'none'}" for key, before, after in found)
