"""Connecting to a name that may have several addresses (RFC 8305, "Happy Eyeballs"): one that does not answer costs a moment, not the connection.

Used by the service's dialer for the data plane's connections, and by `probe` for those of the control plane.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest

from rproxy.controlplane.resolver import RESOLVER, Address, Resolver

DELAY = 0.25
"""Seconds after which the next address is tried as well, where the last one has not answered (RFC 8305, section 5)."""

MakeSocket = Callable[[int], socket.socket]
"""Makes a non-blocking stream socket of an address family."""


def make_socket(family: int) -> socket.socket:
    """A non-blocking stream socket of this family, without options."""
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


async def connect(
    host: str, port: int, within: float, make: MakeSocket = make_socket, resolver: Resolver = RESOLVER
) -> socket.socket:
    """A socket that is connected to `host`, a name or an address; every address of a name has been tried after `within` seconds.

    The caller has a time-out of its own: this waits for as long as the system does. Raises OSError, that of the address which failed last.
    """
    addresses = await resolver.addresses(host, port)
    if len(addresses) == 1:
        return await _attempt(addresses[0], make)
    made, address = await _race(_interleaved(addresses), min(DELAY, within / (len(addresses) + 1)), make)
    resolver.connected(host, port, address)
    return made


def _interleaved(addresses: Sequence[Address]) -> list[Address]:
    """The address families in turn, each in its own order, beginning with that of the first address (RFC 8305, section 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain(*zip_longest(*families.values())) if address is not None]


async def _race(addresses: Sequence[Address], delay: float, make: MakeSocket) -> tuple[socket.socket, Address]:
    """Try the addresses one after the other, the next one when the last has failed or has not answered for `delay` seconds; the first that connects."""
    problem = OSError("the name has no address")
    left = deque(addresses)
    attempts: dict[asyncio.Task[socket.socket], Address] = {}
    try:
        while left or attempts:
            if left:
                address = left.popleft()
                attempts[asyncio.create_task(_attempt(address, make))] = address
            done, _ = await asyncio.wait(attempts, timeout=delay if left else None, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                address = attempts.pop(attempt)
                failed = attempt.exception()
                if failed is None:
                    return attempt.result(), address
                if not isinstance(failed, OSError):
                    raise failed
                problem = failed
        raise problem
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_close)
            attempt.cancel()


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """An attempt that nobody waits for any more has ended, one way or the other."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _attempt(address: Address, make: MakeSocket) -> socket.socket:
    """A socket that is connected to this address. The loops' own `sock_connect` will not do: uvloop's looks the address up again, and loses an IPv6 zone."""
    family, where = address
    connection = make(family)
    try:
        try:
            connection.connect(where)
        except BlockingIOError:
            await _writable(connection)
            if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code)) from None
    except BaseException:
        connection.close()
        raise
    return connection


async def _writable(connection: socket.socket) -> None:
    """Wait until a connection attempt has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_writer(connection.fileno(), ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_writer(connection.fileno())
