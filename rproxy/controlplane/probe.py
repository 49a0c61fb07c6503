"""Asks one server how it is: role, version, link to its leader, replication ids and offsets, clock, latency.

Called by `monitor` (a `Prober` per server, its connection kept) and by `rproxy check` (`probe`, once). It
must never raise for what a server does or fails to do, never change a server, and never show a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from redis import CredentialProvider
from redis._parsers.hiredis import _AsyncHiredisParser
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from rproxy.controlplane import happy_eyeballs
from rproxy.controlplane.credentials import CREDENTIALS, CredentialError
from rproxy.controlplane.local_errors import LOCAL
from rproxy.controlplane.resolver import RESOLVER
from rproxy.dataplane.topology import Server

LOST = (OSError, RedisError, RuntimeError)
"""What a connection raises that cannot be had or is lost. RuntimeError is uvloop's word for writing to one that was closed a moment ago."""

NEVER_SYNCED = 1
"""What a replica's `slave_repl_offset` says while it has had no data of any leader (server.c,
genRedisInfoString; seen on Redis 7.0 and Valkey 9.1).
"""

MOST_REPLY = 8 * 1024 * 1024
"""Bytes of one reply of a server to control traffic: COMMAND, the longest, has 300 KB."""

CONNECT = 0.5
"""Seconds within which every address of a name is tried: the default of `timeouts.probe`."""

ROLES = {b"master": "master", b"slave": "slave", b"replica": "slave"}
"""What HELLO and ROLE call them, and what INFO does."""

TIME = "server_time_usec"
"""The line of `INFO server` that tells the server's clock: the user that may ask INFO need not be allowed TIME."""


@dataclass(frozen=True, slots=True)
class Health:
    """What one probe of a server found.

    `error` is empty when all is known, else one sentence, and what was not asked holds its default. `role` is
    Redis's word: "master" or "slave". `link_up`, `syncing`: a replica's link to its leader, and that its data
    is being copied now. `offset`: bytes of the replication stream that a leader has written or a replica has
    applied, of the stream `replication_id`; `former_id` is the stream before it, "" without one, and
    `left_at` how far the server had come in that when it left it. `source` is where a replica says that its
    data comes from: a hint for people, and no identity (NAT, containers). `last_io`: seconds since it had a
    byte from there, -1 when unknown; `link_down`: for how many seconds it has had no link to there.

    `asked`, `heard`: when the question went and the answer was there, by our monotonic clock; `latency`: the
    seconds between. `clock`: the server's time less that clock, None where it does not tell, and
    `clock_doubt`: by how much that may be wrong at most. `maxclients`: how many clients it takes, 0 where it
    does not tell (Redis before 7.0).

    `answered`: it replied, if only with an error; `refused`: that error says that this user may not ask
    (NOAUTH, WRONGPASS, NOPERM) or that it has no INFO, so nothing is known of its state but, at best, its `role`.
    `unasked`: it could not be asked for want of something on this side, such as file descriptors or ports; that says
    nothing of it. `clustered`: it is a node of a Redis Cluster.
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
    former_id: str = ""
    left_at: int = 0
    source: str = ""
    last_io: int = -1
    link_down: float = 0.0
    latency: float = 0.0
    asked: float = 0.0
    heard: float = 0.0
    clock: float | None = None
    clock_doubt: float = 0.0
    run_id: str = ""
    maxclients: int = 0
    answered: bool = True
    refused: bool = False
    unasked: bool = False
    clustered: bool = False


class BoundedParser(_AsyncHiredisParser):
    """Reads replies as redis-py does, but no more than `MOST_REPLY` bytes for one: a server that never comes to an end is no reason to run out of memory."""

    def on_connect(self, connection: Any) -> None:
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        self._came = 0

    async def read_from_socket(self) -> bool:
        assert self._stream is not None and self._reader is not None
        buffer = await self._stream.read(self._read_size)
        if not buffer:
            raise ConnectionError("connection closed by server")
        self._came += len(buffer)
        if self._came > MOST_REPLY:
            raise ConnectionError("its reply has no end")
        self._reader.feed(buffer)
        return True

    async def read_response(self, *args: Any, **options: Any) -> Any:
        self._came = 0
        return await super().read_response(*args, **options)


class _TcpConnection(Connection):
    async def _connect(self) -> None:
        self._reader, self._writer = await _streams(self.host, self.port)


class _TlsConnection(SSLConnection):
    """`host` is what the certificate must name, and `dial_host` what is connected to."""

    def __init__(self, dial_host: str, **options: Any) -> None:
        super().__init__(**options)
        self._dial_host = dial_host

    async def _connect(self) -> None:
        name = self.host.partition("%")[0]  # a certificate has no IPv6 zone
        tls = {"ssl": self._connection_arguments()["ssl"], "server_hostname": name}
        self._reader, self._writer = await _streams(self._dial_host, self.port, **tls)


async def _streams(host: str, port: int, **tls: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """What redis-py reads and writes, connected as the data plane connects: a resolver that does not answer delays no other name, a silent address no other."""
    connected = await happy_eyeballs.connect(host, port, CONNECT)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await asyncio.open_connection(sock=connected, **tls)
    except BaseException:
        connected.close()
        raise


class _Login(CredentialProvider):
    """The login of a server, which may come from a file or a command, each time that a connection is made."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """The user, if there is one, and the password; a password may be all that there is."""
        user, password = CREDENTIALS.login(self._server)
        return (user, password) if user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """As `get_credentials`, of now. Raises CredentialError."""
        await CREDENTIALS.renew(self._server)
        return self.get_credentials()


def connection(server: Server) -> Connection:
    """An unconnected redis-py connection for control traffic: RESP2, raw replies, no retries, no time-outs of
    its own (the caller has one).
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "credential_provider": _Login(server) if server.user or server.has_password else None,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "health_check_interval": 0,
        "parser_class": BoundedParser,
    }
    if server.path:
        return UnixDomainSocketConnection(path=server.path, **options)  # type: ignore[return-value]  # the same methods
    if server.tls:
        return _tls_connection(server, options)
    return _TcpConnection(host=server.dial_host, port=server.port, **options)


def _tls_connection(server: Server, options: Mapping[str, Any]) -> _TlsConnection:
    return _TlsConnection(
        server.dial_host,
        host=server.host,
        port=server.port,
        ssl_check_hostname=True,
        ssl_ca_certs=server.ca or None,
        ssl_certfile=server.cert or None,
        ssl_keyfile=server.key or server.cert or None,
        **options,
    )


class Prober:
    """Probes one server, over one connection that it keeps, and opens anew after any trouble. One probe at a
    time.
    """

    def __init__(self, server: Server, timeout: float) -> None:
        self.server = server
        self._timeout = timeout
        self._connection: Connection | None = None
        self._opened = 0.0
        self._login = ("", "")
        self._facts: dict[str, str] = {}
        """`INFO server` of this connection: a process does not change its version."""
        self._untold = ""
        """Why INFO can't be asked over this connection. It is not asked again there: each refusal is a line in the server's ACL LOG."""

    async def probe(self) -> Health:
        """Ask now; answers within the time-out. Never raises for what the server does."""
        try:
            if self._login != CREDENTIALS.login(self.server):
                await self.close()
            async with asyncio.timeout(self._timeout):
                return await self._ask()
        except AuthenticationError as problem:
            CREDENTIALS.refused(self.server)
            await self.close()
            return failed(self.server, problem, self._timeout)
        except (*LOST, ValueError) as problem:
            await self.close()
            return failed(self.server, problem, self._timeout)
        except BaseException:
            await self.close()
            raise

    async def probe_anew(self) -> Health:
        """As `probe`, over a new connection, so that its opening is part of the proof. Where none can be had, the last one is asked: a server that answers over
        that is there all the same.
        """
        kept, facts = self._connection, self._facts
        self._connection = None
        try:
            health = await self.probe()
            if kept is None or health.answered:
                return health
            self._connection, self._facts, kept = kept, facts, None
            return await self.probe()
        finally:
            if kept is not None:
                await kept.disconnect(nowait=True)

    @property
    def age(self) -> float:
        """Seconds since the last attempt to open a connection."""
        return time.monotonic() - self._opened

    async def has_moved(self) -> bool:
        """Whether the server's name has lost the address that is probed."""
        peer = self._connection._writer.get_extra_info("peername") if self._connection and self._connection._writer else None
        if not peer or self.server.path:
            return False
        return not await RESOLVER.has(self.server.dial_host, self.server.port, peer[0])

    async def close(self) -> None:
        """Close the connection. The next probe opens another."""
        closing, self._connection = self._connection, None
        if closing is not None:
            await closing.disconnect(nowait=True)

    async def _ask(self) -> Health:
        if self._connection is None:
            self._opened = time.monotonic()
            self._connection = connection(self.server)
            await self._connection.connect()  # type: ignore[no-untyped-call]
            self._login = CREDENTIALS.login(self.server)
            await self._send(("INFO", "server"))
            try:
                self._facts, self._untold = await self._lines(), ""
            except ResponseError as problem:
                if not (isinstance(problem, NoPermissionError) or str(problem).startswith("unknown command")):
                    raise
                self._untold = sentence(problem, self._timeout)
        asked = time.monotonic()
        if self._untold:
            role = await self._role()
            heard = time.monotonic()
            return Health(self.server, self._untold, role, refused=True, latency=heard - asked, asked=asked, heard=heard)
        time_of = ("INFO", "server") if TIME in self._facts else ("TIME",)
        await self._send(time_of, ("INFO", "replication"), ("INFO", "persistence"), ("INFO", "clients"))
        told = await (self._time_of_info() if TIME in self._facts else self._time())
        halfway = (asked + time.monotonic()) / 2
        facts = await self._lines() | await self._lines() | await self._lines()
        heard = time.monotonic()
        if not facts.get("role"):
            facts["role"] = await self._role()
        clock = None if told is None else told - halfway
        health = read(self.server, {**self._facts, **facts}, heard - asked)
        return replace(health, asked=asked, heard=heard, clock=clock, clock_doubt=halfway - asked)

    async def _role(self) -> str:
        """The role that a server tells which does not answer INFO: by HELLO, or ROLE before 6.0; "" where it tells neither."""
        assert self._connection is not None
        for command in (("HELLO", "2"), ("ROLE",)):
            await self._send(command)
            try:
                reply = await self._connection.read_response()
            except ResponseError:
                continue
            words = list(reply) if isinstance(reply, list) else []
            role = words[words.index(b"role") + 1] if b"role" in words else words[0] if words else b""
            if role in ROLES:
                return ROLES[role]
        return ""

    async def _send(self, *commands: tuple[str, ...]) -> None:
        """In one packet: only servers from 7.0 on take several sections in one INFO."""
        assert self._connection is not None
        await self._connection.send_packed_command(self._connection.pack_commands(commands))

    async def _time_of_info(self) -> float | None:
        """The time in the reply to `INFO server`."""
        try:
            return int((await self._lines())[TIME]) / 1e6
        except LookupError:
            return None

    async def _time(self) -> float | None:
        """The reply to TIME, which servers are asked that do not tell it in INFO; None from one that does not let this user ask."""
        assert self._connection is not None
        try:
            seconds, micros = await self._connection.read_response()
            return int(seconds) + int(micros) / 1e6
        except (ResponseError, TypeError, ValueError):
            return None

    async def _lines(self) -> dict[str, str]:
        """The lines of one reply to INFO."""
        assert self._connection is not None
        reply = await self._connection.read_response()
        if not isinstance(reply, bytes):
            raise ValueError("its reply to INFO is not text")
        lines = reply.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


async def probe(server: Server, timeout: float) -> Health:
    """One probe over a connection for it alone, within `timeout` seconds. Never raises for what the server
    does.
    """
    prober = Prober(server, timeout)
    with contextlib.suppress(CredentialError):  # a command may take longer than a server; the probe tells of what fails
        await CREDENTIALS.renew(server)
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
    former = facts.get("master_replid2", "")
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
        former_id=former if former.strip("0") else "",
        left_at=max(0, int(facts.get("second_repl_offset", 0)) - 1),
        source=f"{facts.get('master_host', '')}:{facts.get('master_port', '')}" if replica else "",
        last_io=int(facts.get("master_last_io_seconds_ago", -1)) if replica else -1,
        link_down=max(0.0, float(facts.get("master_link_down_since_seconds", 0))) if replica else 0.0,
        latency=latency,
        run_id=facts.get("run_id", ""),
        maxclients=int(facts.get("maxclients", 0)),
        clustered=facts.get("redis_mode") == "cluster" or facts.get("server_mode") == "cluster",
    )


def failed(server: Server, problem: Exception, timeout: float) -> Health:
    """The health of a server whose probe raised `problem`."""
    refused = isinstance(problem, AuthenticationError | AuthorizationError | NoPermissionError)
    answered = refused or isinstance(problem, ResponseError | ValueError)
    text, unasked = sentence(problem, timeout), _cause(problem)[1] in LOCAL
    return Health(server, error=text, heard=time.monotonic(), answered=answered, refused=refused, unasked=unasked)


def _cause(problem: BaseException) -> tuple[OSError | None, int]:
    """The system's error behind redis-py's, and its number; 0 where it has none."""
    cause: BaseException | None = problem
    while cause is not None and (isinstance(cause, RedisError) or not isinstance(cause, OSError)):
        cause = cause.__cause__ or cause.__context__
    # asyncio puts the errors of several addresses into one text
    number = 0 if cause is None else cause.errno or next(map(int, re.findall(r"Errno (\d+)", str(cause))), 0)
    return cause, number


def sentence(problem: BaseException, timeout: float) -> str:
    """One clear sentence for what went wrong, without redis-py's numbers and wrapping."""
    if isinstance(problem, AuthenticationError | AuthorizationError | NoPermissionError | ResponseError):
        return f"it refuses: {problem}"
    cause, number = _cause(problem)
    if cause is None and isinstance(problem, RuntimeError):
        return "connection closed"  # what uvloop says of that shows its own objects
    if cause is None:
        text = str(problem).rstrip(".") or type(problem).__name__
        return text if text[:2].isupper() else text[0].lower() + text[1:]
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return f"nothing heard for {timeout:g} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not accepted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS fails: {cause.reason or cause}"
    if isinstance(cause, socket.gaierror):
        return f"its name is not found: {cause.strerror}"
    return os.strerror(number).lower() if number else str(cause) or type(cause).__name__
