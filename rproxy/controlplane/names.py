"""Names that stand for several servers (service discovery by DNS): with `?resolve=all` in its URL, each address of a name is a server of its own.

Used by `monitor`, which asks again and again, and by `rproxy check`. Where a name can't be looked up, its servers stay those that it had last. It must never
give one index to two servers at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from rproxy.controlplane.resolver import RESOLVER, Resolver
from rproxy.dataplane.topology import Server

log = logging.getLogger("rproxy.topology")

INDICES = range(128, 255)
"""Those that addresses of names are given, in turn, so that one that is free again is not given soon. Servers of the settings count up from 0."""


class Names:
    """The servers of the settings, those with `?resolve=all` replaced by one for each address; by themselves until their name has been looked up."""

    def __init__(self, configured: Sequence[Server], resolver: Resolver = RESOLVER) -> None:
        self._configured = tuple(configured)
        self._resolver = resolver
        self._found: dict[Server, dict[str, Server]] = {}
        self._last = INDICES.stop - 1
        self._failed: dict[Server, str] = {}

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them now, in the order of the settings."""
        return tuple(server for each in self._configured for server in (self._found.get(each, {}).values() or (each,)))

    @property
    def any(self) -> bool:
        """Whether there is a name to look up."""
        return any(server.resolve_all for server in self._configured)

    def change(self, configured: Sequence[Server]) -> None:
        """The settings name these servers now. The addresses of names that stay are kept, but for those whose index has another server now."""
        self._configured = tuple(configured)
        taken = {server.index for server in configured}
        self._found = {
            name: {address: server for address, server in found.items() if server.index not in taken}
            for name, found in self._found.items()
            if name in self._configured
        }

    def covers(self, server: Server) -> bool:
        """Whether this server is, or was, an address of a name that the settings still have."""
        names = [each for each in self._configured if each.resolve_all]
        return bool(server.address) and any(
            replace(server, index=each.index, address="", resolve_all=True) == each for each in names
        )

    async def look_up(self, within: float) -> bool:
        """Look all names up, for `within` seconds at most. True where their servers are others than before."""
        before = self.servers
        names = [server for server in self._configured if server.resolve_all]
        for name, answer in zip(names, await asyncio.gather(*(self._addresses(name, within) for name in names)), strict=True):
            if answer and name in self._configured:
                known = self._found.setdefault(name, {})
                # the ones that stay keep their place: the first server of all is the leader until others say who is
                addresses = [address for address in known if address in answer] + [one for one in answer if one not in known]
                self._found[name] = {address: known.get(address) or self._make(name, address) for address in addresses}
        return self.servers != before

    async def _addresses(self, name: Server, within: float) -> list[str]:
        """The addresses of a name, sorted; none where it can't be looked up, which the log tells once."""
        try:
            async with asyncio.timeout(within):
                found = await self._resolver.addresses(name.host, name.port)
        except (OSError, UnicodeError) as problem:
            words = (
                "no answer in time" if isinstance(problem, TimeoutError) else getattr(problem, "strerror", None) or str(problem)
            )
            if self._failed.get(name) != words:
                log.warning("%s can't be looked up, so its servers stay those that it had: %s", name.name, words)
            self._failed[name] = words
            return []
        if self._failed.pop(name, ""):
            log.info("%s can be looked up again", name.name)
        return sorted({where[0] for _, where in found})

    def _make(self, name: Server, address: str) -> Server:
        """A server at this address, with what the URL of its name says."""
        taken = {
            server.index
            for servers in (self._configured, *(found.values() for found in self._found.values()))
            for server in servers
        }
        turn = [*range(self._last + 1, INDICES.stop), *range(INDICES.start, self._last + 1)]
        self._last = next(index for index in turn if index not in taken)
        return replace(name, index=self._last, address=address, resolve_all=False)
