"""Name resolution: the addresses of the servers and Sentinels that rproxy connects to.

Used by `happy_eyeballs`, and by it for every connection that rproxy makes. Each look-up has a thread of its own, at most one for each name, so a resolver
that does not answer delays nothing but the names that need it. The event loops offer less: uvloop looks up everything, plain addresses too, in the four
threads of its pool, and asyncio in the default executor.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

Address = tuple[int, Any]
"""An address family and an address, as `socket.socket` and its `connect` take them."""

PATIENCE = 0.1
"""Seconds that a look-up may take where an earlier answer is known, which is used then."""
HOLD = 30.0
"""Seconds for which the last answer counts although the resolver says that there is no such name (as long as `hold nx` of HAProxy): a zone that is published
anew, or a resolver that has lost its view of it, says that of servers that are there."""
TEMPORARY = (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM, socket.EAI_MEMORY)
"""Errors of getaddrinfo(3) which say that the resolver could not find out. The others say that there is no such name, or no address of it."""


def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a name, by getaddrinfo(3), the best first. Blocks. Raises socket.gaierror, or UnicodeError for what can't be a name."""
    return [(found[0], found[4]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Resolver:
    """Resolves names. It keeps the last answer for each name, for times when the resolver does not answer, and the address that was connected to last.

    `looking_up` is `look_up`, or a stand-in for it; `patience` and `hold` are in seconds.
    """

    def __init__(
        self, looking_up: Callable[[str, int], list[Address]] = look_up, patience: float = PATIENCE, hold: float = HOLD
    ) -> None:
        self._look_up = looking_up
        self._patience = patience
        self._hold = hold
        self._missing_since: dict[tuple[str, int], float] = {}
        self._under_way: dict[tuple[str, int], Future[list[Address]]] = {}
        self._known: dict[tuple[str, int], list[Address]] = {}
        self._connected: dict[tuple[str, int], Address] = {}
        self._avoided: dict[tuple[str, int], set[Address]] = {}

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of `host`, which may be an address itself, the one that was connected to last first.

        A name is looked up anew each time. Where that takes longer than `patience`, or the resolver can't find out, the last answer counts; without one this
        waits for the resolver. Raises OSError (socket.gaierror among them), or UnicodeError for what can't be a name.
        """
        if plain := _plain(host, port):
            return plain
        name = (host, port)
        found = await self._find(name)
        last, avoided = self._connected.get(name), self._avoided.get(name, set())
        if avoided.issuperset(found):
            avoided.clear()
        return sorted(found, key=lambda address: (address in avoided, address != last))

    def connected(self, host: str, port: int, address: Address) -> None:
        """This address of a name accepted a connection: it is tried first from now on, as long as the name has it."""
        self._connected[host, port] = address

    def avoid(self, host: str, port: int) -> None:
        """The address that was connected to last is not where the caller wants to go: others of the name, if it has any, are tried before it."""
        if last := self._connected.get((host, port)):
            self._avoided.setdefault((host, port), set()).add(last)

    async def has(self, host: str, port: int, address: str) -> bool:
        """Whether the name still has this address, as text; True where that can't be found out, or `host` is an address itself."""
        if _plain(host, port):
            return True
        try:
            found = await self._find((host, port))
        except (OSError, UnicodeError):
            return True
        return any(where[0].partition("%")[0] == address.partition("%")[0] for _, where in found)

    async def _find(self, name: tuple[str, int]) -> list[Address]:
        known = self._known.get(name)
        try:
            async with asyncio.timeout(self._patience if known else None):
                found = await asyncio.wrap_future(self._begin(name))
            self._missing_since.pop(name, None)
            return found
        except TimeoutError:
            if known:
                return known
            raise
        except socket.gaierror as problem:
            if known and (problem.errno in TEMPORARY or self._is_held(name)):
                return known
            self._known.pop(name, None)
            raise

    def _is_held(self, name: tuple[str, int]) -> bool:
        """Whether the last answer counts on for a name that the resolver does not know any more."""
        now = time.monotonic()
        return now - self._missing_since.setdefault(name, now) < self._hold

    def _begin(self, name: tuple[str, int]) -> Future[list[Address]]:
        """The look-up of this name that is under way, or a new one. It goes on when nobody waits for it any more."""
        under_way = self._under_way.get(name)
        if under_way is not None:
            return under_way
        answer: Future[list[Address]] = Future()
        answer.set_running_or_notify_cancel()  # from here on whoever gives up waiting does not cancel it for others
        thread = threading.Thread(target=self._run, args=(name, answer), name=f"resolver {name[0]}", daemon=True)
        self._under_way[name] = answer
        try:
            thread.start()
        except RuntimeError:
            del self._under_way[name]
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from None  # no thread is left
        return answer

    def _run(self, name: tuple[str, int], answer: Future[list[Address]]) -> None:
        """In the thread of a look-up."""
        try:
            found = self._look_up(*name)
        except BaseException as problem:
            self._under_way.pop(name, None)
            answer.set_exception(problem)
            return
        self._known[name] = found
        self._under_way.pop(name, None)
        answer.set_result(found)


def _plain(host: str, port: int) -> list[Address]:
    """The address that `host` is by itself, a zone such as `%eth0` included; nothing for a name. No resolver is asked."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [(family, address) for family, _, _, _, address in found]


RESOLVER = Resolver()
"""That of this process: what a name was resolved to is the same for all of it."""
