"""The settings: every option once, with its default, unit and reason.

Made by `config` of what the sources say; read by everything above the data plane. An option stands in a Struct below and nowhere else: its flag, its variable
and its line in `config/rproxy.toml` follow by rule (`[timeouts] connect` is `--timeouts.connect` and `RPROXY_TIMEOUTS__CONNECT`). It must never read a value.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from rproxy.dataplane.topology import Server


def _option(title: str, why: str, unit: str, least: float = 0) -> Meta:
    """What an option is for (`title`), one line why, its unit, and the least it may be (in seconds, bytes or
    plain).
    """
    return Meta(title=title, description=why, extra={"unit": unit, "least": least})


def _time(title: str, why: str, least: float = 0.001) -> Meta:
    return _option(title, why, "time", least)


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long things may take, in seconds; written with a unit: "250ms", "2s", "1m"."""

    connect: Annotated[
        float,
        _time("one attempt to connect", "A server near by answers in a millisecond; longer means it is gone."),
    ] = 0.5
    command: Annotated[
        float,
        _time("one command at a server", "After it the connection is closed; 0s: never, a slow command may be a long one.", 0),
    ] = 0.0
    budget: Annotated[
        float,
        _time("all attempts for one command", "After it a command gets an error, so that no client hangs."),
    ] = 1.5
    drain: Annotated[
        float,
        _time(
            "finishing at SIGTERM",
            "Kubernetes kills after 30 s; for Docker, which kills after 10 s, take 8s.",
            0,
        ),
    ] = 25.0
    drain_delay: Annotated[
        float,
        _time(
            "serving on after SIGTERM before the drain",
            "Not ready meanwhile, so that load balancers send nobody any more; 3s behind one.",
            0,
        ),
    ] = 0.0
    idle_lane: Annotated[
        float,
        _time("until an idle lane closes", "Connections of users and databases that nobody uses are given back."),
    ] = 60.0
    keepalive: Annotated[
        float,
        _time(
            "until the kernel asks a silent client whether it is there",
            "One that vanished without a word is gone after twice that; 0s: never asked.",
            0,
        ),
    ] = 300.0
    idle: Annotated[
        float,
        _time(
            "until a client that sends nothing is closed",
            "As a server's timeout, not for subscribers and blocked clients; 0s: never.",
            0,
        ),
    ] = 0.0
    login: Annotated[
        float,
        _time("until a client must have said who it is", "For listeners with ?auth=required; 0s: any time.", 0),
    ] = 10.0
    transaction: Annotated[
        float,
        _time(
            "until a client that sends nothing in MULTI or WATCH is closed", "It keeps a connection to the leader; 0s: never.", 0
        ),
    ] = 0.0
    probe: Annotated[float, _time("one probe of a server", "A server that needs longer to say INFO gets no reads.")] = 0.5
    probe_interval: Annotated[
        float,
        _time(
            "between two probes",
            "How soon a broken replication link is seen; lost connections are seen at once.",
        ),
    ] = 1.0

    resolve: Annotated[
        float,
        _time(
            "between two looks at what a server's name stands for",
            "A name that has moved to another address is followed then; a failover, or any doubt, has it looked up at once.",
        ),
    ] = 5.0


class Limits(Struct, frozen=True, kw_only=True):
    """How much may be used."""

    clients: Annotated[
        int,
        _option("clients at once", "More are refused in Redis's words; each takes a file descriptor.", "number", 1),
    ] = 10000
    clients_per_address: Annotated[
        int,
        _option(
            "of them, of one address",
            "More are refused in Redis's words; each worker has its share, rounded up; 0: any.",
            "number",
        ),
    ] = 0
    clients_per_user: Annotated[
        int,
        _option(
            "of them, of one user",
            "AUTH of more is refused in Redis's words; each worker has its share, rounded up; 0: any.",
            "number",
        ),
    ] = 0
    session_output: Annotated[
        int,
        _option(
            "unread replies of a client",
            "Closed above it is who doesn't read; reads wait from an eighth of it on, 1mb each way before AUTH.",
            "size",
            1,
        ),
    ] = 64 * 2**20
    memory: Annotated[
        int,
        _option(
            "all that is held for clients",
            "Shared by the workers evenly. Above it clients are closed: first who has yet to authenticate, then who holds most; 0: any.",
            "size",
        ),
    ] = 512 * 2**20


class Log(Struct, frozen=True, kw_only=True):
    """What is written to stderr, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _option("the least that is logged", "Changes of servers are info; nothing is logged per command.", "word"),
    ] = "info"
    format: Annotated[
        Literal["auto", "text", "json"],
        _option("how a line looks", "auto: text on a terminal, JSON lines everywhere else.", "word"),
    ] = "auto"


class Admin(Struct, frozen=True, kw_only=True):
    """The HTTP listeners for those who run rproxy."""

    listen: Annotated[
        tuple[str, ...],
        _option(
            "where administrators ask", "HTTP: health, metrics, a page, commands; tcp:// or unix://, [] for none.", "listeners"
        ),
    ] = ("tcp://127.0.0.1:9380",)
    probes: Annotated[
        tuple[str, ...],
        _option(
            "where probes ask, and nobody else",
            "HTTP: only whether rproxy lives and is ready; for a kubelet, on an address of the pod.",
            "listeners",
        ),
    ] = ()
    token: Annotated[
        str, _option("what changes from other machines need", "Sent as Authorization: Bearer TOKEN; empty: none may.", "secret")
    ] = ""
    token_file: Annotated[str, _option("the file that holds the token", "In place of token.", "path")] = ""


class Slow(Struct, frozen=True, kw_only=True):
    """What is remembered of single commands."""

    threshold: Annotated[
        float,
        _time("a command is slow", "What takes longer is shown by /api/slow, without its keys and values."),
    ] = 0.05


class Tls(Struct, frozen=True, kw_only=True):
    """The certificates of `tls://` listeners, and what servers with `rediss://` are shown and believed. Files in PEM, read again by a reload."""

    cert: Annotated[
        str, _option("the certificate of tls:// listeners", "With those between it and its CA behind it.", "path")
    ] = ""
    key: Annotated[str, _option("its key", "Without a passphrase; empty: it stands in the file of the certificate.", "path")] = ""
    client_ca: Annotated[
        str,
        _option("the CAs of clients", "With it a client must show a certificate of theirs; empty: none is asked for.", "path"),
    ] = ""
    min_version: Annotated[
        Literal["1.2", "1.3"],
        _option("the least version that clients may speak", "Older ones than 1.2 are broken.", "word"),
    ] = "1.2"
    ciphers: Annotated[
        str, _option("the ciphers of TLS 1.2", "As OpenSSL lists them; empty: those that Python takes for safe.", "text")
    ] = ""
    server_ca: Annotated[
        str, _option("the CAs of servers", "For rediss:// without ?ssl_ca_certs=; empty: those of the system.", "path")
    ] = ""
    server_cert: Annotated[
        str, _option("the certificate that servers are shown", "For rediss:// without ?ssl_certfile=; empty: none.", "path")
    ] = ""
    server_key: Annotated[str, _option("its key", "As tls.key; in a URL ?ssl_keyfile=.", "path")] = ""


class Settings(Struct, frozen=True, kw_only=True):
    """All that can be set. `servers` is the leader and then its replicas; `listen` holds listeners' URLs."""

    listen: Annotated[
        tuple[str, ...],
        _option(
            "where clients connect",
            "A list, or one string with commas; port 0 takes a free one.",
            "listeners",
            1,
        ),
    ] = ("tcp://127.0.0.1:7379",)
    protected: Annotated[
        bool,
        _option(
            "others than this machine must prove who they are",
            "false: listeners on any address, for whoever reaches them; a firewall or a pod's network must keep others out.",
            "switch",
        ),
    ] = True
    takeover: Annotated[
        str,
        _option(
            "where the next rproxy takes over",
            "A unix socket. Who starts with the same path takes the listeners of the one that runs, which drains: a restart that refuses nobody; empty: none.",
            "text",
        ),
    ] = ""
    servers: Annotated[
        tuple[Server, ...],
        _option(
            "the leader, then its replicas",
            "A list, or one string with commas, as in Django's LOCATION; passwords that change: ?password_file=, ?password_command=.",
            "servers",
        ),
    ] = ()
    consistency: Annotated[
        Literal["fresh", "eventual", "leader"],
        _option(
            "where reads go",
            "fresh: to a replica that has every write which rproxy has acknowledged; eventual: to any replica; leader.",
            "word",
        ),
    ] = "fresh"
    scripts_declare_keys: Annotated[
        bool,
        _option(
            "scripts touch only the keys that they are given",
            "For fresh reads. false: of EVAL and EVALSHA, those whose text shows it; the others, and FCALL, count as writes of all keys.",
            "switch",
        ),
    ] = False
    lost_writes: Annotated[
        Literal["error", "close"],
        _option(
            "writes whose answer was lost with the leader",
            "error: one that says that they may or may not have been executed; close: the client's connection, as a server's end would.",
            "word",
        ),
    ] = "error"
    leaderless_reads: Annotated[
        Literal["serve", "error"],
        _option(
            "reads while no leader answers",
            "serve: from the replica that is furthest; error: refused.",
            "word",
        ),
    ] = "serve"
    read_policy: Annotated[
        Literal["random", "least-pending", "nearest", "round-robin"],
        _option("which replica is read", "Of those that may be read. nearest: the shortest latency in the probes.", "word"),
    ] = "random"
    zone: Annotated[str, _option("the own zone", "Servers with the same ?zone= are read first; empty: none.", "name")] = ""
    leader_reads: Annotated[
        int,
        _option(
            "reads for the leader when all replicas are out",
            "In percent; the others get an error. Spares a leader that could not bear all reads.",
            "percent",
        ),
    ] = 100
    discovery: Annotated[
        Literal["roles", "static", "sentinel"],
        _option("who finds the leader", "roles: follows a promoted replica; static: never; sentinel: asks Sentinels.", "word"),
    ] = "roles"
    sentinels: Annotated[
        tuple[Server, ...],
        _option("the Sentinels to ask", 'A list, as servers; for discovery = "sentinel".', "sentinels"),
    ] = ()
    workers: Annotated[
        int,
        _option("processes that serve", "Each uses one core; auto: as many as there are cores to use.", "workers", 1),
    ] = 1
    service: Annotated[str, _option("what the Sentinels call the leader", 'For discovery = "sentinel".', "name")] = "mymaster"
    max_lag: Annotated[
        float, _time("how long a replica may lag", "Longer, and it is not read; 0s: any time. Unknown counts as too long.", 0)
    ] = 10.0
    max_lag_bytes: Annotated[
        int, _option("how much a replica may lack", "More bytes of the leader's stream, and it is not read; 0: any.", "size")
    ] = 64 * 2**20
    max_clock_skew: Annotated[
        float, _time("how far a replica's clock may be off", "It would take a live key for expired; 0s: any.", 0)
    ] = 0.05
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    log: Log = Log()
    admin: Admin = Admin()
    slow: Slow = Slow()
    tls: Tls = Tls()
    commands: Annotated[
        dict[str, str],
        _option(
            "where one command goes",
            'leader, replica or deny: KEYS = "deny", "CONFIG|GET" = "leader".',
            "routes",
        ),
    ] = msgspec.field(default_factory=dict)
