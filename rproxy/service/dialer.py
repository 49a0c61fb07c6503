"""Every connect that rproxy makes for the data plane: TCP, TLS and unix sockets, with a time-out.

Made by `lifecycle` and handed to the data plane as `dial` and `hang_up`. It never retries: when to dial again is the pool's decision.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Protocol, cast

from rproxy.controlplane import happy_eyeballs
from rproxy.controlplane.credentials import CREDENTIALS
from rproxy.controlplane.happy_eyeballs import make_socket
from rproxy.controlplane.local_errors import is_local
from rproxy.controlplane.resolver import RESOLVER
from rproxy.dataplane.ports import Transport
from rproxy.dataplane.topology import Server
from rproxy.dataplane.upstream import Upstream
from rproxy.errors import SettingsError
from rproxy.service import descriptors

log = logging.getLogger("rproxy")

NO_ANSWER = "no answer in time"

KEEPALIVE_IDLE = 5
"""Seconds of silence after which the kernel asks a server's host whether it is still there."""
KEEPALIVE_PAUSE = 1
"""Seconds between two such questions."""
USER_TIMEOUT = 10_000
"""Milliseconds for which a server's host may acknowledge nothing, neither bytes nor those questions, before the connection ends (tcp(7), TCP_USER_TIMEOUT). Not
shorter: it also counts while a busy server takes no bytes, which `unheard` tells apart.
"""
_OPTIONS = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", KEEPALIVE_IDLE), ("TCP_KEEPINTVL", KEEPALIVE_PAUSE), ("TCP_USER_TIMEOUT", USER_TIMEOUT))
    if hasattr(socket, name)  # as the platform has them
}
_TCP_INFO = struct.Struct("=8B13I")  # linux/tcp.h, struct tcp_info, up to tcpi_last_ack_recv


_NOBODY_LISTENS = (ConnectionRefusedError, FileNotFoundError)  # at an address, or at the path of a socket

QUIET = 10.0
"""Seconds after a line about this side's own trouble, in which there is no other."""


class Caller(Protocol):
    """Who wants a connection, and becomes its protocol when it is made (`asyncio.Protocol`)."""

    def connection_made(self, transport: Transport, /) -> None: ...
    def dial_failed(self, reason: str, refused: bool = False, /) -> None: ...


class Dial(asyncio.Protocol):
    """One attempt to connect `caller`, TLS included. It ends once, and `_settle` decides how: made, failed, or hung up.

    Until then it is itself the protocol of the socket, so whatever comes late (the connection behind the time-out, the time-out behind the connection, an
    error of TLS) finds the attempt ended and tells the caller nothing.
    """

    def __init__(self, caller: Caller, timeout: float, connect: Callable[[Dial], Coroutine[None, None, None]]) -> None:
        loop = asyncio.get_running_loop()
        self._caller: Caller | None = caller
        self._timer = loop.call_later(timeout, self._time_out)
        self.task = loop.create_task(self._run(connect))

    def hang_up(self) -> None:
        """End it, if it has not ended yet. The caller hears nothing more."""
        if self._settle() is not None:
            self.task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected, and TLS agreed on."""
        made = cast(asyncio.Transport, transport)
        caller = self._settle()
        if caller is None:
            made.abort()
            return
        made.set_protocol(cast(asyncio.Protocol, caller))
        caller.connection_made(made)

    def _settle(self) -> Caller | None:
        """Whoever is to be told how the attempt has ended; None where it had ended before."""
        caller, self._caller = self._caller, None
        self._timer.cancel()
        return caller

    def _time_out(self) -> None:
        caller = self._settle()
        if caller is not None:
            self.task.cancel()
            caller.dial_failed(NO_ANSWER)

    async def _run(self, connect: Callable[[Dial], Coroutine[None, None, None]]) -> None:
        try:
            await connect(self)
        except Exception as problem:
            caller = self._settle()
            if caller is not None:
                caller.dial_failed("" if is_local(problem) else _words(problem), isinstance(problem, _NOBODY_LISTENS))


class Dialer:
    """Connects upstream protocols to servers, each within `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._dials: set[Dial] = set()
        self._contexts: dict[tuple[str, str, str], ssl.SSLContext] = {}
        self._quiet_until = 0.0

    def dial(self, server: Server, protocol: object) -> object:
        """Connect `protocol`, a `Caller`, which hears either `connection_made` or `dial_failed`, and that once; without a reason where the attempt failed for
        want of something on this side, which tells nothing of the server. The handle is for `hang_up`.
        """
        lease = isinstance(protocol, Upstream) and protocol.owner is not None
        dial = Dial(cast(Caller, protocol), self.timeout, partial(self._connect, server, lease))
        self._dials.add(dial)
        dial.task.add_done_callback(lambda task: self._dials.discard(dial))
        return dial

    def hang_up(self, handle: object) -> None:
        """End an attempt that has not succeeded yet."""
        cast(Dial, handle).hang_up()

    def wrong_process(self, server: Server) -> None:
        """A connection was not to the process that the server is: the next one is to another address, where its name has several."""
        RESOLVER.avoid(server.dial_host, server.port)

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

    async def _connect(self, server: Server, lease: bool, dial: Dial) -> None:
        await CREDENTIALS.renew(server)
        try:
            connection = await _open(server, lease, self.timeout)
        except OSError as problem:
            if is_local(problem):
                self._complain(server, problem)
            raise
        loop = asyncio.get_running_loop()
        try:
            if server.path:
                await loop.create_unix_connection(lambda: dial, sock=connection)
                return
            context = self._context(server) if server.tls else None
            name = server.host.partition("%")[0] if server.tls else None  # a certificate has no IPv6 zone
            await loop.create_connection(lambda: dial, sock=connection, ssl=context, server_hostname=name)
        except BaseException:
            connection.close()
            raise

    def _complain(self, server: Server, problem: OSError) -> None:
        """Say now and then that this side can't connect."""
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            log.error("cannot connect to %s: %s; that is no fault of the server", server.name, problem.strerror)


def unheard(transport: Transport) -> float:
    """Seconds for which the host at the other end has acknowledged nothing of what was sent to it and sent again; 0 where it does, or nobody knows."""
    connection = cast(asyncio.Transport, transport).get_extra_info("socket")
    if connection is None or not hasattr(socket, "TCP_INFO") or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return 0.0
    try:
        found = _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    except (OSError, struct.error):
        return 0.0
    retransmits, unacknowledged, last_heard = found[2], found[12], found[20]
    return float(last_heard) / 1000 if unacknowledged and retransmits >= 2 else 0.0


def _words(problem: Exception) -> str:
    """Why it failed, the same words under every event loop."""
    if isinstance(problem, SettingsError):
        return str(problem)
    if isinstance(problem, ssl.SSLError):
        from rproxy.tls import words

        return words(problem)
    if not isinstance(problem, OSError):
        return f"{type(problem).__name__}: {problem}"  # such as a name that can't be one (UnicodeError), or no memory
    return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem) or NO_ANSWER


async def _open(server: Server, lease: bool, within: float) -> socket.socket:
    """A connected socket; for a `lease` only while enough descriptors are left."""

    def make(family: int) -> socket.socket:
        made = make_socket(family)
        try:
            if lease and made.fileno() >= descriptors.for_leases():
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            if not server.path:
                _keep_alive(made)
        except BaseException:
            made.close()
            raise
        return made

    if not server.path:
        return await happy_eyeballs.connect(server.dial_host, server.port, within, make)
    connection = make(socket.AF_UNIX)
    try:
        await asyncio.get_running_loop().sock_connect(connection, server.path)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _OPTIONS.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
