"""Asks one server how it is: role, version, link to its leader, replication offset, latency.

Called by `monitor` (a `Prober` per server, its connection kept) and by `rproxy check` (`probe`, once). It
must never raise for what a server does or fails to do, never change a server, and never show a password.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, ResponseError

from rproxy.dataplane.topology import Server

NEVER_SYNCED = 1
"""What a replica's `slave_repl_offset` says while it has had no data of any leader (server.c,
genRedisInfoString; seen on Redis 7.0 and Valkey 9.1).
"""


@dataclass(frozen=True, slots=True)
class Health:
    """What one probe of a server found.

    `error` is empty when all is known, else one sentence, and what was not asked holds its default. `role` is
    Redis's word: "master" or "slave". `link_up`, `syncing`: a replica's link to its leader, and that its data
    is being copied now. `offset`: bytes of the replication stream that a leader has written or a replica has
    applied. `latency`: seconds from the question to its answer. `answered`: it replied, if only with an
    error; `refused`: that error says that this user may not ask (NOAUTH, WRONGPASS, NOPERM), so nothing is
    known of its state.
    """

    server: Server
    error: str = ""
    role: str = ""
    version: str = ""
    link_up: bool = False
    syncing: bool = False
    loading: bool = False
    offset: int = 0
    replication_id: str = ""
    latency: float = 0.0
    run_id: str = ""
    answered: bool = True
    refused: bool = False


def connection(server: Server) -> Connection:
    """An unconnected redis-py connection for control traffic: RESP2, raw replies, no retries, no time-outs of
    its own (the caller has one).
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "username": server.user or None,
        "password": server.password or None,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "health_check_interval": 0,
    }
    if server.path:
        return UnixDomainSocketConnection(path=server.path, **options)  # type: ignore[return-value]  # the same methods
    kind = SSLConnection if server.tls else Connection
    return kind(host=server.host, port=server.port, **options)


class Prober:
    """Probes one server, over one connection that it keeps, and opens anew after any trouble. One probe at a
    time.
    """

    def __init__(self, server: Server, timeout: float) -> None:
        self.server = server
        self._timeout = timeout
        self._connection: Connection | None = None
        self._facts: dict[str, str] = {}
        """`INFO server` of this connection: a process does not change its version."""

    async def probe(self) -> Health:
        """Ask now; answers within the time-out. Never raises for what the server does."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ask()
        except (OSError, RedisError, ValueError) as problem:
            await self.close()
            return failed(self.server, problem, self._timeout)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection. The next probe opens another."""
        closing, self._connection = self._connection, None
        if closing is not None:
            await closing.disconnect(nowait=True)

    async def _ask(self) -> Health:
        if self._connection is None:
            self._connection = connection(self.server)
            await self._connection.connect()  # type: ignore[no-untyped-call]
            self._facts = await self._info("server")
        started = time.monotonic()
        facts = await self._info("replication", "persistence")
        return read(self.server, {**self._facts, **facts}, time.monotonic() - started)

    async def _info(self, *sections: str) -> dict[str, str]:
        """The lines of these sections, asked in one packet: only servers from 7.0 on take several sections in
        one INFO.
        """
        assert self._connection is not None
        await self._connection.send_packed_command(self._connection.pack_commands([("INFO", section) for section in sections]))
        lines: list[str] = []
        for _ in sections:
            reply = await self._connection.read_response()
            if not isinstance(reply, bytes):
                raise ValueError("its reply to INFO is not text")
            lines += reply.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


async def probe(server: Server, timeout: float) -> Health:
    """One probe over a connection for it alone, within `timeout` seconds. Never raises for what the server
    does.
    """
    prober = Prober(server, timeout)
    try:
        return await prober.probe()
    finally:
        await prober.close()


def read(server: Server, facts: dict[str, str], latency: float) -> Health:
    """The health that INFO's lines tell. Raises ValueError where they are not those of a Redis or Valkey
    server.
    """
    role = facts.get("role", "")
    if role not in ("master", "slave"):
        raise ValueError(f"its role is {role!r}, which is no server's" if role else "INFO tells no role")
    replica = role == "slave"
    valkey = facts.get("valkey_version")
    return Health(
        server,
        role=role,
        version=f"valkey {valkey}" if valkey else f"redis {facts.get('redis_version', '')}".rstrip(),
        link_up=replica and facts.get("master_link_status") == "up",
        syncing=replica and facts.get("master_sync_in_progress", "0") != "0",
        loading=facts.get("loading", "0") != "0",
        offset=int(facts.get("slave_repl_offset" if replica else "master_repl_offset", 0)),
        replication_id=facts.get("master_replid", ""),
        latency=latency,
        run_id=facts.get("run_id", ""),
    )


def failed(server: Server, problem: Exception, timeout: float) -> Health:
    """The health of a server whose probe raised `problem`."""
    refused = isinstance(problem, AuthenticationError | AuthorizationError | NoPermissionError)
    answered = refused or isinstance(problem, ResponseError | ValueError)
    return Health(server, error=sentence(problem, timeout), answered=answered, refused=refused)


def sentence(problem: BaseException, timeout: float) -> str:
    """One clear sentence for what went wrong, without redis-py's numbers and wrapping."""
    if isinstance(problem, AuthenticationError | AuthorizationError | NoPermissionError | ResponseError):
        return f"it refuses: {problem}"
    cause: BaseException | None = problem
    while cause is not None and (isinstance(cause, RedisError) or not isinstance(cause, OSError)):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        text = str(problem).rstrip(".") or type(problem).__name__
        return text[0].lower() + text[1:]
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return f"nothing heard for {timeout:g} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not accepted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS fails: {cause.reason or cause}"
    if isinstance(cause, socket.gaierror):
        return f"its name is not found: {cause.strerror}"
    # asyncio puts the errors of several addresses into one text
    number = cause.errno or next(map(int, re.findall(r"Errno (\d+)", str(cause))), 0)
    return os.strerror(number).lower() if number else str(cause) or type(cause).__name__
