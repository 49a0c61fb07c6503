"""How the settings are read: `load` makes one checked object of all sources.

Called by the command line. It must never bind, connect or log, and never put a password into a message; what can be set stands in `settings` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from rproxy.config_sources import Given, Keys, gather, ignored
from rproxy.config_values import (
    read_choice,
    read_duration,
    read_name,
    read_number,
    read_percent,
    read_size,
    read_switch,
    read_text,
    read_workers,
    write_duration,
    write_size,
)
from rproxy.dataplane.policies import OPEN
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.settings import Admin, Limits, Log, Settings, Timeouts, Tls
from rproxy.urls import DEFAULT_PORT, ENCODE, check_servers, described, parse_listener, parse_server, split_list

SENTINEL_PORT = 26379
MOST_SERVERS = 100
ROUTES = ("leader", "replica", "deny")  # what `[commands]` may say of a command
SERVERS_MISSING = (
    "no servers: give the leader and then its replicas, as flags: -s redis://HOST:6379 (one -s each); "
    'as a variable: RPROXY_SERVERS="redis://HOST:6379,redis://HOST2:6379"; or in the file: servers = ["redis://HOST:6379"]'
)


UNPROTECTED = (
    "listen: {url} is no address of this machine alone, and whoever reaches it has the rights of rproxy at its servers: neither a password nor a client"
    " certificate is asked for. Add ?auth=required, take tls:// with tls.client_ca, listen on 127.0.0.1 or a unix socket, or, where others cannot reach"
    " it, set protected = false"
)


class Option(NamedTuple):
    """One option, as its Struct declares it. Units: time, size, number, workers, percent, switch, name, word, secret, path, text, listeners, servers,
    sentinels, routes.
    """

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
            return _listeners(given, int(self.least))
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
                case "secret" | "path" | "text":
                    return read_text(given.value)
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
            case "secret":
                return "***" if value else ""
            case _:
                return str(value)


class Loaded(NamedTuple):
    """The settings, and for each key that some source gave, the place of its value (`rproxy.toml:7`, `flag --servers`). `warnings` are sentences about what was
    given and ignored.
    """

    settings: Settings
    places: dict[str, str]
    warnings: tuple[str, ...] = ()


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
    """Raises SettingsError where nothing says which servers there are, or where a listener is open to other machines."""
    for url in settings.listen if settings.protected else ():
        listener = parse_listener(url)
        if not (listener.local or listener.policy.auth or (listener.tls and settings.tls.client_ca)):
            raise SettingsError(UNPROTECTED.format(url=url))
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
        admin=_admin(values.get("admin", {}), gathered),
        tls=Tls(**values.get("tls", {})),
        commands=values.get("commands", {}),
    )
    _check_sentinels(settings, gathered)
    _check_names(settings, gathered)
    settings = _with_certificates(settings, gathered)
    return Loaded(settings, {key: given.place for key, given in gathered.items()}, tuple(ignored(env, keys)))


def _admin(values: dict[str, Any], gathered: Mapping[str, Given]) -> Admin:
    """The admin section, with the token that its file holds."""
    if not values.get("token_file"):
        return Admin(**values)
    given = gathered["admin.token_file"]
    if values.get("token"):
        raise given.wrong(f"there is admin.token too ({gathered['admin.token'].place}); give one of them")
    try:
        token = Path(values["token_file"]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise given.wrong(f"the file can't be read: {getattr(error, 'strerror', None) or error}") from None
    if not token:
        raise given.wrong("the file is empty")
    return Admin(**values | {"token": token})


def _check_sentinels(settings: Settings, gathered: Mapping[str, Given]) -> None:
    """Sentinels and `discovery = "sentinel"` go together."""
    if settings.discovery == "sentinel" and not settings.sentinels:
        raise gathered["discovery"].wrong('no sentinels; add sentinels = ["redis://HOST:26379"] with their addresses')
    if settings.sentinels and settings.discovery != "sentinel":
        raise gathered["sentinels"].wrong('they are asked only with discovery = "sentinel": set that, or remove them')


def _check_names(settings: Settings, gathered: Mapping[str, Given]) -> None:
    """Where `?resolve=all` can't be: with Sentinels, who name every server, and for the one that leads by its place in the list."""
    if settings.discovery == "sentinel" and any(server.resolve_all for server in settings.servers):
        raise gathered["servers"].wrong('the Sentinels name every server with discovery = "sentinel": leave out ?resolve=all')
    if settings.discovery == "static" and settings.servers and settings.servers[0].resolve_all:
        raise gathered["servers"].wrong(
            'the first server leads with discovery = "static", so it is one server: leave out its ?resolve=all, or set discovery = "roles"'
        )


def _with_certificates(settings: Settings, gathered: Mapping[str, Given]) -> Settings:
    """The settings, with the certificates of `[tls]` for servers whose URLs name none; every file has been tried."""
    tls = settings.tls

    def certified(server: Server) -> Server:
        own = (server.cert, server.key) if server.cert else (tls.server_cert, tls.server_key)
        return replace(server, ca=server.ca or tls.server_ca, cert=own[0], key=own[1]) if server.tls else server

    listening = [url for url in settings.listen if parse_listener(url).tls]
    if listening and not tls.cert:
        raise gathered["listen"].wrong("a tls:// listener shows a certificate: set tls.cert")
    settings = msgspec.structs.replace(
        settings, servers=tuple(map(certified, settings.servers)), sentinels=tuple(map(certified, settings.sentinels))
    )
    connected = [server for server in (*settings.servers, *settings.sentinels) if server.tls]
    if listening or connected:
        from rproxy.tls import of_listeners, of_server  # OpenSSL, which others do without

        if listening:
            of_listeners(tls)
        for server in connected:
            of_server(server)
    return settings


def effective(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every key with its value as the settings would write it, without passwords."""
    for key, option in OPTIONS.items():
        yield key, option.write(_value(settings, key))
    for name, route in settings.commands.items():
        yield f"commands.{name}", route


def origins(loaded: Loaded) -> Iterator[tuple[str, str, str]]:
    """Every key with its value as above, and the place that this comes from."""
    for key, value in effective(loaded.settings):
        yield key, value, loaded.places.get(key, "default")


def changed(old: Settings, new: Settings) -> Iterator[tuple[str, str, str]]:
    """Every key whose value differs, with both values as the settings would write them, without passwords: these may look alike."""
    for key, option in OPTIONS.items():
        before, after = _value(old, key), _value(new, key)
        if option.unit in ("servers", "sentinels"):
            before, after = ([replace(server, index=0) for server in servers] for servers in (before, after))
        if before != after:
            yield key, option.write(before), option.write(after)
    for name in sorted({*old.commands, *new.commands}):
        if old.commands.get(name) != new.commands.get(name):
            yield f"commands.{name}", old.commands.get(name, ""), new.commands.get(name, "")


def _value(settings: Settings, key: str) -> Any:
    section, _, name = key.rpartition(".")
    return getattr(getattr(settings, section) if section else settings, name)


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


def _listeners(given: Given, least: int) -> tuple[str, ...]:
    """Those of clients, of which there is one at `least`, or those of administrators, for whom nothing is set but where."""
    listeners: list[str] = []
    for url in _urls(given):
        try:
            listener = parse_listener(url.value)
        except SettingsError as error:
            raise url.wrong(str(error)) from None
        bound = [parse_listener(other).address for other in listeners]
        if listener.address in bound and (listener.port or listener.path):
            raise url.wrong("this listener stands twice in the list")
        if listener.policy != OPEN and not least:
            raise url.wrong("no client is served there, so nothing is set for clients")
        if listener.tls and not least:
            raise url.wrong("administrators are served without TLS; write tcp:// or unix://")
        listeners.append(listener.url)
    if len(listeners) < least:
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
