"""Every connect that rproxy makes for the data plane: TCP, TLS and unix sockets, with a time-out.

Made by `lifecycle` and handed to the data plane as `dial` and `hang_up`. It never retries: when to dial again is the pool's decision.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import cast

from rproxy.dataplane.topology import Server
from rproxy.dataplane.upstream import Upstream
from rproxy.errors import SettingsError

KEEPALIVE_IDLE = 30
"""Seconds of silence after which the kernel asks a server whether it is still there."""
USER_TIMEOUT = 10_000
"""Milliseconds after which bytes that a server's host does not acknowledge end the connection (tcp(7), TCP_USER_TIMEOUT)."""


class Dialer:
    """Connects upstream protocols to servers, each within `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._attempts: set[asyncio.Task[None]] = set()
        self._contexts: dict[tuple[str, str, str], ssl.SSLContext] = {}

    def dial(self, server: Server, protocol: object) -> object:
        """Connect `protocol`, an `Upstream`; it hears `connection_made` or `dial_failed`. The handle is for `hang_up`."""
        attempt = asyncio.get_running_loop().create_task(self._connect(server, cast(Upstream, protocol)))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)
        return attempt

    def hang_up(self, handle: object) -> None:
        """End an attempt that has not succeeded yet."""
        cast("asyncio.Task[None]", handle).cancel()

    def reload_certificates(self) -> None:
        """Take for new connections what the files hold now."""
        self._contexts.clear()

    def _context(self, server: Server) -> ssl.SSLContext:
        """What servers with the same files share: to read them takes milliseconds."""
        from rproxy.tls import of_server

        files = (server.ca, server.cert, server.key)
        if files not in self._contexts:
            self._contexts[files] = of_server(server)
        return self._contexts[files]

    async def _connect(self, server: Server, protocol: Upstream) -> None:
        loop = asyncio.get_running_loop()
        connection = None
        try:
            async with asyncio.timeout(self.timeout):
                if server.path:
                    await loop.create_unix_connection(lambda: protocol, server.path)  # type: ignore[type-var]
                    return
                connection = await _open(server)
                context = self._context(server) if server.tls else None
                name = server.host if server.tls else None
                await loop.create_connection(lambda: protocol, sock=connection, ssl=context, server_hostname=name)  # type: ignore[type-var]
        except (OSError, TimeoutError, SettingsError) as problem:
            if connection is not None:
                connection.close()
            protocol.dial_failed(_words(problem))


def _words(problem: OSError | SettingsError) -> str:
    """Why it failed, the same words under every event loop."""
    if isinstance(problem, SettingsError):
        return str(problem)
    if isinstance(problem, ssl.SSLError):
        from rproxy.tls import words

        return words(problem)
    if isinstance(problem, TimeoutError) and not problem.errno:
        return "no answer in time"
    return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)


async def _open(server: Server) -> socket.socket:
    """A connected socket. The name is looked up anew each time, and each of its addresses is tried."""
    loop = asyncio.get_running_loop()
    problem: OSError = OSError(f"no address for {server.host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
            await loop.sock_connect(connection, address)
            return connection
        except OSError as failed:
            connection.close()
            problem = failed
        except BaseException:
            connection.close()
            raise
    raise problem
