"""`rproxy config init --django`: from a Django site's CACHES to the settings of rproxy, and the LOCATION that goes to Django in its place.

Called by the command line. It reads a LOCATION as Django does (the first server is written to, OPTIONS count where the URL is silent), and says what it
leaves behind. It must never overwrite a file unasked, nor put a password into a message.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.settings import Settings
from rproxy.urls import SERVER_SCHEMES, check_servers, masked, parse_server, split_list

CREDENTIALS = ("username", "password", "db")
"""What redis-py takes from OPTIONS where a URL says nothing (`ConnectionPool.from_url`)."""


class Start(NamedTuple):
    """The `settings` as TOML, the new `location`, and `remarks` about what a person must know or do; `secret` if there are passwords."""

    settings: str
    location: str
    remarks: list[str]
    secret: bool


def caches_of(module: str) -> Mapping[str, Any]:
    """CACHES of a Django settings module, which is imported as `manage.py` would, from the current folder. Raises SettingsError."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", module)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        caches = getattr(importlib.import_module(module), "CACHES", None)
    except Exception as error:  # whatever a site's settings raise is the answer
        raise SettingsError(
            f"the Django settings {module} can't be imported: {type(error).__name__}: {error}; "
            "call this where manage.py stands, with the Python that the site uses"
        ) from None
    if not isinstance(caches, dict) or not caches:
        raise SettingsError(f"the Django settings {module} have no CACHES")
    return caches


def start_of(caches: Mapping[str, Any], alias: str, source: str) -> Start:
    """What `source` comes to for the cache `alias`. Raises SettingsError with what is wrong there."""
    name = f'CACHES["{alias}"]'
    if alias not in caches:
        raise SettingsError(f"{source} has no {name}; it has {', '.join(caches)}: name one with --cache")
    options = caches[alias].get("OPTIONS") or {}
    if "SENTINELS" in options:
        raise SettingsError(
            f'{name} asks Sentinels: give rproxy discovery = "sentinel", sentinels and service, in place of servers'
        )
    places = [_Place(url, options, name) for url in _location(caches[alias], name)]
    servers: list[Server] = []
    try:
        for place in places:
            servers.append(parse_server(place.server, len(servers)))
            check_servers(servers)
    except SettingsError as error:
        raise SettingsError(f"{name} in {source}: {masked(place.server)}: {error}") from None
    if len({place.database for place in places}) > 1:
        raise SettingsError(f"{name} in {source}: its servers have several databases; a replica holds those of its leader")
    listen = Settings().listen[0]
    query = urlencode(places[0].kept)
    location = (
        listen.replace("tcp:", "redis:") + (f"/{places[0].database}" if places[0].database else "") + (query and f"?{query}")
    )
    lines = [
        f"# From {name} in {source}. Every other setting has its default: `rproxy config reference`.",
        f"listen = [{json.dumps(listen)}]",
        "servers = [",
        *(
            f"    {json.dumps(place.server, ensure_ascii=False)},  # {what}"
            for place, what in zip(places, _roles(), strict=False)
        ),
        "]",
    ]
    secret = any(server.password for server in servers)
    return Start("\n".join(lines) + "\n", location, [*_remarks(places, options), *(_ABOUT_SECRETS if secret else ())], secret)


_ABOUT_SECRETS = (
    "user and password stand in the settings of rproxy now: whoever reaches its listener has their rights. Keep the file for those who may know them,"
    " or put servers into the variable RPROXY_SERVERS.",
)


def write(start: Start, path: str, force: bool) -> None:
    """Write the settings to a file, which only its owner may read if they hold passwords. Raises SettingsError if it is there and not `force`."""
    try:
        if force:
            Path(path).unlink(missing_ok=True)
        with open(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if start.secret else 0o644), "w", encoding="utf-8"
        ) as file:
            file.write(start.settings)
    except FileExistsError:
        raise SettingsError(f"{path} is there already, and stays as it is; --force replaces it") from None
    except OSError as error:
        raise SettingsError(f"{path} can't be written: {error.strerror}") from None


def _roles() -> list[str]:
    return ["the leader", *["a replica"] * 99]


def _location(cache: Mapping[str, Any], name: str) -> list[str]:
    """The URLs of a cache. Raises SettingsError where they are none of Redis."""
    location = cache.get("LOCATION") or ""
    urls = split_list(location) if isinstance(location, str) else [str(url).strip() for url in location]
    for url in urls:
        if url.partition("://")[0] not in (*SERVER_SCHEMES, "unix"):
            raise SettingsError(f"{name} is no Redis cache: its LOCATION is {masked(url)}, and one of Redis begins with redis://")
    if not urls:
        raise SettingsError(f"{name} is no Redis cache: it has no LOCATION (BACKEND {cache.get('BACKEND', 'not set')})")
    return urls


class _Place:
    """One URL of a LOCATION: the `server` as rproxy takes it, the client's `database`, and the query as it is divided."""

    def __init__(self, url: str, options: Mapping[str, Any], name: str) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        unix = parts.scheme == "unix"
        path = "" if unix else unquote(parts.path).strip("/")
        database = query.pop("db", "") or path or options.get("db") or 0
        if not str(database).isdecimal():
            raise SettingsError(f"{name}: {masked(url)}: bad database {database}")
        self.database = int(database)
        user = parts.username or quote(str(options.get("username") or ""), safe="")
        password = parts.password or quote(str(options.get("password") or ""), safe="")
        address = parts.netloc.rpartition("@")[2]
        netloc = f"{user}{':' + password if password else ''}@{address}" if user or password else address
        self.server = f"{parts.scheme}://{netloc}{parts.path if unix else ''}"
        self.dropped: list[str] = []
        self.kept: dict[str, str] = {}
        for key, value in query.items():
            if not key.startswith("ssl_"):
                self.kept[key] = value
            elif not self._take(key, value):
                self.dropped.append(key)
        for key, value in options.items():
            if key.startswith("ssl_") and not (isinstance(value, str) and key not in query and self._take(key, value)):
                self.dropped.append(key)

    def _take(self, key: str, value: str) -> bool:
        """Whether rproxy knows this of a server, too; then it goes to the server's URL."""
        try:
            longer = f"{self.server}{'&' if '?' in self.server else '?'}{key}={quote(value)}"
            parse_server(longer, 0)
        except SettingsError:
            return False
        self.server = longer
        return True


def _remarks(places: list[_Place], options: Mapping[str, Any]) -> list[str]:
    said = []
    given = [key for key in CREDENTIALS if options.get(key)]
    if given:
        said.append(f"OPTIONS has {', '.join(given)}: carried over; they may stay there as well.")
    dropped = sorted({key for place in places for key in place.dropped})
    if dropped:
        said.append(
            f"not carried over: {', '.join(dropped)}. The servers' certificates are checked by rproxy, as its own settings say."
        )
    tls = sorted(key for key in options if key.startswith("ssl_"))
    if tls:
        said.append(f"remove {', '.join(tls)} from OPTIONS: the connection to rproxy is one without TLS, on this machine.")
    others = sorted(key for key in options if key not in CREDENTIALS and not key.startswith("ssl_"))
    if others:
        said.append(f"OPTIONS that stay where they are: {', '.join(others)}.")
    return said
