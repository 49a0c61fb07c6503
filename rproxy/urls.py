"""The URLs of servers and listeners: parsed, checked, and shown without their passwords.

Called by the settings, and by the service for the parts of a listener's address. It must never put a password
into a message: whatever it says about a URL says it about `masked(url)`. It reads URLs as redis-py does
(`redis.connection.parse_url`), only stricter: what it would have to guess is an error.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import quote, unquote

from rproxy.dataplane.policies import OPEN, Policy
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError

DEFAULT_PORT = 6379
CONSISTENCIES = ("fresh", "eventual", "leader")
SERVER_SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}  # scheme -> with TLS
SOCKET_PATH_LIMIT = 107  # bytes: sun_path of unix(7) less its closing zero
ENCODE = (
    "in a user or password percent-encode what is special: %2C for a comma, %3B for a semicolon, %40 for @,"
    " %2F for /, %23 for #, %3F for ?"
)

TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""What redis-py calls the files for TLS in a URL's query."""
PASSWORD_KEYS = ("password_file", "password_command", "expires")
"""Where a server's password comes from, in place of its URL, and for how long it holds."""
_SHOWN = re.compile(
    r"(?:db|weight)=[0-9]{1,9}|expires=[0-9.a-z]{1,9}|zone=[\w.:-]*|resolve=[a-z]*|(?:consistency|lost_writes|read_only|auth|proxy)=[a-z]*|proxy_from=[0-9A-Fa-f.:/+]*|(?:allow|deny)=[\w+|-]*"
    r"|(?:ssl_(?:ca_certs|certfile|keyfile)|password_file)=[\w./%~-]*",
    re.ASCII,
)
"""What of a query may be shown."""
_PLACE = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]*(?:%[\w.-]*)?\]|[\w.-]*)(?P<port>:[0-9]{1,5})?(?P<path>/[0-9]{0,9})?(?=\?|$)", re.ASCII
)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_USER = re.compile(r"[\w.-]*", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]@]*)\]|(?P<host>[\w.-]*))(?::(?P<port>[0-9]{1,5}))?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smh])")
_DATABASE = re.compile(r"[0-9]{1,9}")
_ZONE = re.compile(r"%25(.+)")
"""Before the zone of an IPv6 address in a URL (RFC 6874); a plain % is understood too."""

_ABSOLUTE = "a unix socket has an absolute path and no host: write unix:///run/redis/redis.sock"
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f]")


class Listener(NamedTuple):
    """Where rproxy listens: `host` and `port` (0: any free one) for TCP, or `path` for a unix socket (then
    `host` is empty). `policy` is what is set for its clients.
    """

    host: str
    port: int
    path: str = ""
    policy: Policy = OPEN
    tls: bool = False

    @property
    def url(self) -> str:
        """The listener's URL, as the settings write it."""
        policy = self.policy
        given = {
            "consistency": policy.consistency,
            "lost_writes": policy.lost_writes,
            "read_only": "true" if policy.read_only else "",
            "auth": "required" if policy.auth else "",
            "proxy": "required" if policy.proxy_from else "",
            "proxy_from": "+".join(policy.proxy_from),
            "allow": "+".join(policy.allow),
            "deny": "+".join(policy.deny),
        }
        query = "&".join(f"{key}={value}" for key, value in given.items() if value)
        return self.address + (query and f"?{query}")

    @property
    def local(self) -> bool:
        """Whether this machine alone reaches it."""
        try:
            return bool(self.path) or self.host.lower() == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name

    @property
    def address(self) -> str:
        """Its URL without what is set for it."""
        if self.path:
            return f"unix://{quote(self.path)}"
        scheme = "tls" if self.tls else "tcp"
        return f"{scheme}://[{self.host}]:{self.port}" if ":" in self.host else f"{scheme}://{self.host}:{self.port}"


class _Parts(NamedTuple):
    scheme: str
    user: str
    password: str
    address: str  # host and port as written
    path: str  # with its leading slash, percent-decoded
    query: str


def masked(text: str, piece: bool = False) -> str:
    """A URL as a message shows it: only what is known to be no secret, and `***` for everything else. Safe for any text.

    Shown are the scheme, the user before a password, a host with its port and database, the path of a unix socket, and what is known of a query.
    `piece` says that the text was cut from a longer one at a comma or semicolon, which may have stood in a password: then a host alone may be the first half
    of one.
    """
    if _PORT.fullmatch(text):
        return text
    found = _SCHEME.match(text)
    scheme, rest = (found[0], text[found.end() :]) if found else ("", text)
    userinfo, at, address = rest.rpartition("@")
    if scheme.lower() == "unix://" and rest.startswith("/"):
        userinfo, at, address = "", "", rest
    if at:
        user, colon, password = userinfo.partition(":")
        shown = f"{user}:***@" if found and colon and password and _USER.fullmatch(user) else "***@"
        return scheme + shown + (_shown_place(address, unix=scheme.lower() == "unix://") or "***")
    place = _shown_place(address, unix=scheme.lower() == "unix://") if found else ""
    if place and not (piece and ":" not in place and "/" not in place):
        return scheme + place
    user, colon, _ = rest.partition(":")
    return f"{scheme}{user}:***" if found and colon and _USER.fullmatch(user) else f"{scheme}***"


def _shown_place(address: str, unix: bool) -> str:
    """What may be shown of the part behind a user and password; "" where that is not certain."""
    place, question, query = address.partition("?")
    if unix and place.startswith("/"):
        shown = place
    elif found := _PLACE.match(address):
        shown = found[0]
    else:
        return ""
    pairs = (
        pair if _SHOWN.fullmatch(pair) else re.sub(r"^(\w*=)?.*", r"\1***", pair, count=1, flags=re.DOTALL)
        for pair in query.split("&")
    )
    return shown + question + ("&".join(pairs) if query else "")


def described(server: Server) -> str:
    """A server's URL with the password as `***`."""
    userinfo = f"{server.user}{':***' if server.password else ''}@" if server.user or server.password else ""
    given = {
        "db": server.database if server.path else 0,
        "weight": server.weight if server.weight != 1 else 0,
        "zone": quote(server.zone, safe=""),
        "resolve": "all" if server.resolve_all else "",
        **{name: quote(file) for name, file in zip(TLS_FILES, (server.ca, server.cert, server.key), strict=True)},
        "password_file": quote(server.password_file),
        "password_command": server.password_command and "***",
        "expires": server.expires and f"{server.expires:g}s",
    }
    query = "&".join(f"{key}={value}" for key, value in given.items() if value)
    database = f"/{server.database}" if server.database and not server.path else ""
    scheme = "unix" if server.path else "rediss" if server.tls else "redis"
    return f"{scheme}://{userinfo}{server.path or server.name}{database}" + (f"?{query}" if query else "")


def split_list(text: str) -> list[str]:
    """The URLs of one string, separated by `,` or `;` with spaces around them, as in Django's LOCATION. Empty
    pieces don't count.
    """
    return [piece for piece in (piece.strip() for piece in re.split("[,;]", text)) if piece]


def parse_server(text: str, index: int, default_port: int = DEFAULT_PORT) -> Server:
    """The server that a URL names; `index` is its place in the list. Raises SettingsError with the reason,
    without place or value.
    """
    parts = _split(text, f"redis://host:{default_port}")
    query = _query(parts.query)
    weight, zone = _weight(query.get("weight", "1")), unquote(query.get("zone", ""))
    if query.get("resolve", "all") != "all":
        raise SettingsError(
            "resolve must be all: each address of the name is a server then; leave it out for a name of one server"
        )
    if parts.scheme == "unix":
        if parts.address:
            raise SettingsError(_ABSOLUTE)
        if "resolve" in query:
            raise SettingsError("resolve is for names, and a unix socket has none")
        path = _socket_path(parts.path)
        server = Server(index, "", 0, path, False, parts.user, parts.password, _database("", query), weight, zone)
        return _with_changing_password(server, query)
    if parts.scheme not in SERVER_SCHEMES:
        raise SettingsError(f"unknown scheme; a server begins with {', '.join(SERVER_SCHEMES)} or unix, then ://")
    host, port = _host_port(parts.address)
    if port is None:
        port = default_port
    if not 1 <= port <= 65535:
        raise SettingsError(f"bad port {port}; ports are 1 to 65535")
    database = _database(parts.path[1:], query)
    tls = SERVER_SCHEMES[parts.scheme]
    files = [unquote(query.get(name, "")) for name in TLS_FILES]
    if any(files) and not tls:
        raise SettingsError("certificates are for TLS: write rediss://")
    if files[2] and not files[1]:
        raise SettingsError("ssl_keyfile goes with ssl_certfile")
    server = Server(index, host or "localhost", port, "", tls, parts.user, parts.password, database, weight, zone)
    server = replace(server, ca=files[0], cert=files[1], key=files[2], resolve_all="resolve" in query)
    return _with_changing_password(server, query)


def _with_changing_password(server: Server, query: Mapping[str, str]) -> Server:
    """The server, with where its password comes from in place of its URL."""
    file, command = (unquote(query.get(name, "")) for name in PASSWORD_KEYS[:2])
    for name in PASSWORD_KEYS:
        if query.get(name) == "":
            raise SettingsError(f"{name} has no value")
    if not file and not command:
        if "expires" in query:
            raise SettingsError("expires goes with password_file or password_command: it says for how long such a password holds")
        return server
    if file and command:
        raise SettingsError("password_file and password_command are both given; a password comes from one of them")
    if server.password:
        raise SettingsError(
            f"there is a password in the URL, and {'password_file' if file else 'password_command'} too; remove one"
        )
    try:
        words = shlex.split(command)
    except ValueError:
        raise SettingsError("password_command has a quote that does not end") from None
    if command and not words:
        raise SettingsError("password_command names no program")
    return replace(server, password_file=file, password_command=command, expires=_expires(query.get("expires", "0s")))


def _expires(text: str) -> float:
    """The seconds of `?expires=`."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise SettingsError("bad expires; write for how long a password holds, as 10m, 3600s or 1h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def check_servers(servers: Sequence[Server]) -> None:
    """Raises SettingsError where two servers are one and the same, or where the last one's database is not
    the others'.
    """
    *others, server = servers
    for other in others:
        if (server.host.lower(), server.port, server.path) == (other.host.lower(), other.port, other.path):
            raise SettingsError(f"{server.name} stands twice in the list of servers")
        if server.database != other.database:
            raise SettingsError(
                f"{other.name} has database {other.database} and {server.name} has {server.database};"
                " a replica holds the same databases as its leader, so give all servers the same one"
            )


def parse_listener(text: str) -> Listener:
    """The address that a listener's URL names. Raises SettingsError with the bare reason."""
    parts = _split(text, "tcp://127.0.0.1:7379")
    if parts.scheme not in ("tcp", "tls", "unix"):
        raise SettingsError("unknown scheme; a listener is tcp://host:port, tls://host:port or unix:///path")
    if parts.user or parts.password:
        raise SettingsError("a listener has no user or password; write tcp://host:port or unix:///path")
    policy = _policy(parts.query)
    if parts.scheme == "unix":
        if parts.address:
            raise SettingsError(_ABSOLUTE)
        return Listener("", 0, _socket_path(parts.path), policy)
    if parts.path:
        raise SettingsError("a listener has no path; write tcp://host:port")
    host, port = _host_port(parts.address)
    if not host:
        raise SettingsError("the host is missing; write tcp://127.0.0.1:7379, or tcp://0.0.0.0:7379 for every address")
    if port is None:
        raise SettingsError("the port is missing; write tcp://HOST:7379")
    if port > 65535:
        raise SettingsError(f"bad port {port}; a listener's ports are 0 (any free one) to 65535")
    return Listener(host, port, "", policy, parts.scheme == "tls")


_OF_A_LISTENER = {
    "consistency": CONSISTENCIES,
    "lost_writes": ("error", "close"),
    "read_only": ("true", "false"),
    "auth": ("required",),
    "proxy": ("required",),
}
_THIS_MACHINE = ("127.0.0.0/8", "::1/128")


def _policy(query: str) -> Policy:
    """What is set for a listener behind its `?`."""
    given: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        key, _, value = pair.partition("=")
        if key not in (*_OF_A_LISTENER, "allow", "deny", "proxy_from"):
            raise SettingsError(
                f"unknown query key {key if '=' in pair else '***'} of a listener; it has consistency, lost_writes, read_only, auth, proxy,"
                " proxy_from, allow and deny, as in ?consistency=leader&deny=keys+flushall"
            )
        choices = _OF_A_LISTENER.get(key)
        if choices and value not in choices:
            wanted = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
            raise SettingsError(f"{key} of a listener must be {wanted}")
        if given.setdefault(key, value) != value or not value:
            raise SettingsError(
                f"{key} of a listener is given {'twice' if value else 'without a value'}; names of commands stand in one list: keys+flushall"
            )
    allow, deny = (tuple(given[key].split("+")) if key in given else () for key in ("allow", "deny"))
    return Policy(
        given.get("consistency", ""),
        given.get("read_only") == "true",
        "auth" in given,
        allow,
        deny,
        given.get("lost_writes", ""),
        _proxy_from(given),
    )


def _proxy_from(given: Mapping[str, str]) -> tuple[str, ...]:
    """The networks from which a listener takes headers of the PROXY protocol; none where it takes no such headers."""
    if "proxy" not in given:
        if "proxy_from" in given:
            raise SettingsError("proxy_from of a listener goes with proxy=required: add that")
        return ()
    networks = tuple(given["proxy_from"].split("+")) if "proxy_from" in given else _THIS_MACHINE
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise SettingsError(
                "proxy_from of a listener must be addresses or networks, as in proxy_from=10.0.0.0/8+192.0.2.7"
            ) from None
    return networks


def _split(text: str, example: str) -> _Parts:
    """The parts of any URL that rproxy knows, user, password and path percent-decoded."""
    found = _SCHEME.match(text)
    if not found:
        raise SettingsError(f"not a URL; write for example {example}")
    if _NOT_IN_A_URL.search(text):
        raise SettingsError(f"a URL has no spaces or control characters; write %20 for a space; {ENCODE}")
    if "#" in text:
        raise SettingsError(f"a URL here has no #; {ENCODE}")
    rest, question, query = text[found.end() :].partition("?")
    if question and "@" in query:
        raise SettingsError(f"there is an @ after the ?; {ENCODE}")
    authority, slash, path = rest.partition("/")
    if "@" in path and "@" not in authority and found[1].lower() != "unix":
        raise SettingsError(f"there is an @ after the first /; {ENCODE}")
    userinfo, _, address = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    try:
        decoded = [unquote(part, errors="strict") for part in (user, password, slash + path)]
    except UnicodeDecodeError:
        raise SettingsError("the percent-encoded bytes of a URL must be UTF-8") from None
    return _Parts(found[1].lower(), decoded[0], decoded[1], address, decoded[2], query)


def _host_port(address: str) -> tuple[str, int | None]:
    found = _HOST_PORT.fullmatch(address)
    if not found:
        if address.count(":") > 1 and "[" not in address:
            raise SettingsError("IPv6 addresses stand in brackets: write [::1]:6379")
        raise SettingsError(f"bad host or port; write HOST:PORT, the port a number; {ENCODE}")
    host = found["host"] or ""
    if found["v6"] is not None:
        host = _ZONE.sub(r"%\1", found["v6"])
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise SettingsError("what stands in the brackets is not an IPv6 address") from None
    return host, int(found["port"]) if found["port"] else None


def _query(text: str) -> dict[str, str]:
    """What stands behind the `?` of a server's URL."""
    given: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        key, _, value = pair.partition("=")
        if key not in ("db", "weight", "zone", "resolve", *PASSWORD_KEYS, *TLS_FILES):
            raise SettingsError(
                f"unknown query key {key if '=' in pair else '***'}; a server has db, weight, zone, resolve, {', '.join(PASSWORD_KEYS[:-1])} and"
                f" {PASSWORD_KEYS[-1]}, as in ?db=1&weight=2&zone=a, and with TLS {', '.join(TLS_FILES[:-1])} and {TLS_FILES[-1]}"
            )
        if given.setdefault(key, value) != value:
            problem = "the database is given twice and differs" if key == "db" else f"{key} is given twice and differs"
            raise SettingsError(f"{problem}; write it once")
    return given


def _weight(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise SettingsError("bad weight; it is a whole number from 1 to 1000")
    return int(text)


def _database(path: str, query: Mapping[str, str]) -> int:
    """The database of `/N`, or of `?db=N`, or 0."""
    given = ([path] if path else []) + ([query["db"]] if "db" in query else [])
    for text in given:
        if not _DATABASE.fullmatch(text):
            raise SettingsError("bad database; write its number, as in redis://host:6379/1 or ?db=1")
    if len({int(text) for text in given}) > 1:
        raise SettingsError("the database is given twice and differs; write it once")
    return int(given[0]) if given else 0


def _socket_path(path: str) -> str:
    if path in ("", "/"):
        raise SettingsError("the path of the unix socket is missing; write unix:///run/redis/redis.sock")
    if re.search(r"[\x00-\x1f\x7f]", path):
        raise SettingsError("the path of a unix socket has no control characters")
    if len(path.encode()) > SOCKET_PATH_LIMIT:
        raise SettingsError(f"the path of a unix socket has at most {SOCKET_PATH_LIMIT} bytes")
    return path
