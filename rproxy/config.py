"""The settings: every option once, with its default, unit and reason; and `load`, which makes one checked
object of all sources.

Called by the command line; read by everything above the data plane. It must never bind, connect or log, and
never put a password into a message. Every option stands in a Struct below and nowhere else: its flag, its
variable and its line in `config/rproxy.toml` follow by rule (`[timeouts] connect` is `--timeouts.connect` and
`RPROXY_TIMEOUTS__CONNECT`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from rproxy.config_sources import Given, Keys, gather
from rproxy.config_values import (
    read_choice,
    read_duration,
    read_name,
    read_number,
    read_percent,
    read_size,
    read_switch,
    read_workers,
    write_duration,
    write_size,
)
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.urls import DEFAULT_PORT, ENCODE, check_servers, described, parse_listener, parse_server, split_list

SENTINEL_PORT = 26379
MOST_SERVERS = 100
ROUTES = ("leader", "replica", "deny")  # what `[commands]` may say of a command
SERVERS_MISSING = (
    "no servers: give the leader and then its replicas, as flags: -s redis://HOST:6379 (one -s each); "
    'as a variable: RPROXY_SERVERS="redis://HOST:6379,redis://HOST2:6379"; or in the file: servers = ["redis://HOST:6379"]'
)


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
    idle_lane: Annotated[
        float,
        _time("until an idle lane closes", "Connections of users and databases that nobody uses are given back."),
    ] = 60.0
    probe: Annotated[float, _time("one probe of a server", "A server that needs longer to say INFO gets no reads.")] = 0.5
    probe_interval: Annotated[
        float,
        _time(
            "between two probes",
            "How soon a broken replication link is seen; lost connections are seen at once.",
        ),
    ] = 1.0


class Limits(Struct, frozen=True, kw_only=True):
    """How much may be used."""

    clients: Annotated[
        int,
        _option("clients at once", "More are refused in Redis's words; each takes a file descriptor.", "number", 1),
    ] = 10000
    session_output: Annotated[
        int,
        _option("unread replies of a client", "A client that asks and doesn't read is closed above it.", "size", 1),
    ] = 64 * 2**20


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


class Settings(Struct, frozen=True, kw_only=True):
    """All that can be set. `servers` is the leader and then its replicas; `listen` holds listeners' URLs."""

    listen: Annotated[
        tuple[str, ...],
        _option(
            "where clients connect",
            "A list, or one string with commas; port 0 takes a free one.",
            "listeners",
        ),
    ] = ("tcp://127.0.0.1:7379",)
    servers: Annotated[
        tuple[Server, ...],
        _option(
            "the leader, then its replicas",
            "A list, or one string with commas, as in Django's LOCATION.",
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
            "false: EVAL and FCALL count as writes of all keys, for fresh reads.",
            "switch",
        ),
    ] = True
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
    commands: Annotated[
        dict[str, str],
        _option(
            "where one command goes",
            'leader, replica or deny: KEYS = "deny", "CONFIG|GET" = "leader".',
            "routes",
        ),
    ] = msgspec.field(default_factory=dict)


class Option(NamedTuple):
    """One option, as its Struct declares it. Units: time, size, number, workers, percent, switch, name, word, listeners, servers, sentinels, routes."""

    key: str
    unit: str
    default: Any
    title: str
    why: str
    least: float
    choices: tuple[str, ...]

    def read(self, given: Given) -> Any:
        """The checked value. Raises SettingsError with all of key, value, place and reason."""
        if self.unit == "listeners":
            return _listeners(given)
        if self.unit in ("servers", "sentinels"):
            return _servers(given, self.unit == "sentinels")
        try:
            match self.unit:
                case "time":
                    return read_duration(given.value, self.least)
                case "size":
                    return read_size(given.value, int(self.least))
                case "number":
                    return read_number(given.value, int(self.least))
                case "workers":
                    return read_workers(given.value)
                case "percent":
                    return read_percent(given.value)
                case "switch":
                    return read_switch(given.value)
                case "name":
                    return read_name(given.value)
                case _:
                    return read_choice(given.value, self.choices)
        except SettingsError as error:
            raise given.wrong(str(error)) from None

    def write(self, value: Any) -> str:
        """A value as the settings write it, with its unit and without passwords."""
        match self.unit:
            case "time":
                return write_duration(value)
            case "size":
                return write_size(value)
            case "listeners":
                return ", ".join(value)
            case "servers" | "sentinels":
                return ", ".join(map(described, value))
            case "switch":
                return str(value).lower()
            case _:
                return str(value)


class Loaded(NamedTuple):
    """The settings, and for each key that some source gave, the place of its value (`rproxy.toml:7`, `flag
    --servers`).
    """

    settings: Settings
    places: dict[str, str]


def load(path: str | None, env: Mapping[str, str], flags: Mapping[str, str | list[str]]) -> Settings:
    """The settings of the file, the environment and the flags, checked. Raises SettingsError: one message,
    for people.

    `path` names the file; without it `RPROXY_CONFIG` in `env` does; without both there is none. `flags` is by
    key: `{"timeouts.connect": "2s", "servers": ["redis://a", "redis://b"], "commands.KEYS": "deny"}`.
    """
    loaded = load_with_places(path, env, flags)
    need_servers(loaded.settings)
    return loaded.settings


def need_servers(settings: Settings) -> None:
    """Raises SettingsError where nothing says which servers there are."""
    if not settings.servers and settings.discovery != "sentinel":
        raise SettingsError(SERVERS_MISSING)


def load_with_places(path: str | None, env: Mapping[str, str], flags: Mapping[str, str | list[str]]) -> Loaded:
    """As `load`, with the place of each value; and having no servers is no error here (`rproxy explain` needs
    none).
    """
    keys = Keys(tuple(OPTIONS), "commands")
    gathered = gather(path or env.get("RPROXY_CONFIG"), env, flags, keys)
    values: dict[str, Any] = {}
    for key, given in gathered.items():
        section, _, name = key.rpartition(".")
        if key in OPTIONS:
            values.setdefault(section, {})[name] = OPTIONS[key].read(given)
        else:
            values.setdefault("commands", {})[key.partition(".")[2]] = ROUTE.read(given)
    settings = Settings(
        **values.get("", {}),
        timeouts=Timeouts(**values.get("timeouts", {})),
        limits=Limits(**values.get("limits", {})),
        log=Log(**values.get("log", {})),
        commands=values.get("commands", {}),
    )
    _check_sentinels(settings, gathered)
    return Loaded(settings, {key: given.place for key, given in gathered.items()})


def _check_sentinels(settings: Settings, gathered: Mapping[str, Given]) -> None:
    """Sentinels and `discovery = "sentinel"` go together."""
    if settings.discovery == "sentinel" and not settings.sentinels:
        raise gathered["discovery"].wrong('no sentinels; add sentinels = ["redis://HOST:26379"] with their addresses')
    if settings.sentinels and settings.discovery != "sentinel":
        raise gathered["sentinels"].wrong('they are asked only with discovery = "sentinel": set that, or remove them')


def effective(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every key with its value as the settings would write it, without passwords."""
    for key, option in OPTIONS.items():
        section, _, name = key.rpartition(".")
        yield key, option.write(getattr(getattr(settings, section) if section else settings, name))
    for name, route in settings.commands.items():
        yield f"commands.{name}", route


def _urls(given: Given) -> Iterator[Given]:
    """The single URLs of a list, or of strings that separators divide, each with its own place."""
    listed = given.value if isinstance(given.value, list) else [given.value]
    for index, text in enumerate(listed):
        place = given.items[index] if given.items else given.place
        if not isinstance(text, str):
            raise Given(given.key, text, place).wrong("must be a URL in quotes, or a list of them")
        for piece in split_list(text):
            yield Given(given.key, piece, place, piece=piece != text.strip())


def _servers(given: Given, sentinels: bool) -> tuple[Server, ...]:
    servers: list[Server] = []
    for url in _urls(given):
        try:
            servers.append(parse_server(url.value, len(servers), SENTINEL_PORT if sentinels else DEFAULT_PORT))
            check_servers(servers)
            if len(servers) > MOST_SERVERS:
                raise SettingsError(f"too many; at most {MOST_SERVERS}")
        except SettingsError as error:
            raise url.wrong(str(error) if ENCODE in str(error) or not url.piece else f"{error}; {ENCODE}") from None
    if not servers and not sentinels:
        raise given.wrong(SERVERS_MISSING)
    return tuple(servers)


def _listeners(given: Given) -> tuple[str, ...]:
    listeners: list[str] = []
    for url in _urls(given):
        try:
            listener = parse_listener(url.value)
        except SettingsError as error:
            raise url.wrong(str(error)) from None
        bound = [parse_listener(other).address for other in listeners]
        if listener.address in bound and (listener.port or listener.path):
            raise url.wrong("this listener stands twice in the list")
        listeners.append(listener.url)
    if not listeners:
        raise given.wrong("no listeners; write tcp://127.0.0.1:7379")
    return tuple(listeners)


def _declared(struct: type[Struct], section: str = "") -> Iterator[Option]:
    """The options of a Struct, and of the Structs in it, in the order of their declaration."""
    hints = get_type_hints(struct, include_extras=True)
    for declared in msgspec.structs.fields(struct):
        kind, *notes = get_args(hints[declared.name]) or (hints[declared.name],)
        key = f"{section}.{declared.name}" if section else declared.name
        if not notes:
            yield from _declared(kind, key)
            continue
        meta: Meta = notes[0]
        extra = meta.extra or {}
        default = declared.default if declared.default is not msgspec.NODEFAULT else {}
        choices = {"word": get_args(kind), "routes": ROUTES}.get(extra["unit"], ())
        yield Option(key, extra["unit"], default, meta.title or "", meta.description or "", extra["least"], choices)


_ALL = {option.key: option for option in _declared(Settings)}
ROUTE = _ALL.pop("commands")  # stands for any `commands.NAME`
OPTIONS = _ALL  # every other option, by key
