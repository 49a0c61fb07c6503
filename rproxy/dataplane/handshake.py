"""Logins, lane keys, and the handshake that opens a connection to a server: `AUTH`, `HELLO`, `SELECT` in one packet.

A key says whose connection it is. Requests carry the key that they were made with, and a connection takes requests of its own key alone. Called by `pool`
and `upstream` for each connection that they open, and by `local`, which answers a client's HELLO from what the server said here. It must never keep a
password longer than the key lives, nor show one.
"""

from __future__ import annotations

import hashlib
from typing import Protocol
from weakref import WeakValueDictionary

from rproxy import errors
from rproxy.dataplane import resp
from rproxy.dataplane.topology import Server

URGENT = "urgent"
SCRIPTS = "scripts"
PROCESS = "process"
LOGIN = "login"
_OK = b"+OK\r\n"


class Login:
    """Who a connection authenticates as: this one as nobody. A server may take it for its default user.

    `asks`: a connection with this login asks the server which process it is. None does that any more once a server has refused (-NOPERM): each refusal is a
    line in the server's ACL LOG.
    """

    __slots__ = ("asks", "__weakref__")

    def __init__(self) -> None:
        self.asks = False

    @property
    def user(self) -> bytes | None:
        """The user that a client has logged in as; None for none."""
        return None

    def commands(self, server: Server) -> list[list[bytes]]:
        """The commands by which a connection to `server` logs in."""
        return []

    def count(self, more: int) -> None:
        """So many sessions more have this login, or less."""

    def refused(self, server: Server) -> None:
        """A server does not take it."""

    def may_not_ask(self) -> None:
        """A server has refused to tell this user which process it is."""
        self.asks = False


class Logins(Protocol):
    """The logins that rproxy itself has at servers."""

    def login(self, server: Server) -> tuple[str, str]:
        """The user and the password for a server, each empty where there is none."""

    def refused(self, server: Server) -> None:
        """The server does not take them."""


class LoginsInUrls:
    """Those in the URLs of the servers."""

    def login(self, server: Server) -> tuple[str, str]:
        """The user and the password in the URL of a server."""
        return server.user, server.password

    def refused(self, server: Server) -> None:
        """The URL is all there is."""


class OwnLogin(Login):
    """The login that rproxy itself has at each server, if it has one: for its own questions, and for clients that have none of their own."""

    __slots__ = ("_logins",)

    def __init__(self, logins: Logins) -> None:
        self.asks = True
        self._logins = logins

    def refused(self, server: Server) -> None:
        """The server does not take it."""
        self._logins.refused(server)

    def commands(self, server: Server) -> list[list[bytes]]:
        """AUTH with what rproxy has for `server` now."""
        user, password = (word.encode() for word in self._logins.login(server))
        if not user and not password:
            return []
        return [[b"AUTH", user, password] if user else [b"AUTH", password]]


class ClientLogin(Login):
    """The user and password that the leader has taken of a client. A connection opened for it has no other login, at any time."""

    __slots__ = ("name", "password", "sessions")

    def __init__(self, user: bytes, password: bytes) -> None:
        self.asks = True
        self.name = user
        self.password = password
        self.sessions = 0

    @property
    def user(self) -> bytes:
        """The user that the client has logged in as."""
        return self.name

    def count(self, more: int) -> None:
        """So many sessions more have this login."""
        self.sessions += more

    def commands(self, server: Server) -> list[list[bytes]]:
        """AUTH with both, which a default user that wants no password any more takes too."""
        return [[b"AUTH", self.name, self.password]]

    def renew(self, password: bytes) -> None:
        """The user has a new password: connections that are opened from now on use it."""
        self.password = password


class LaneKey:
    """Whose connection it is: login, database and RESP version. One object for equal values (`LaneKeys`).

    `purpose`: empty, or that of another lane beside the usual one: `URGENT`, on which nothing is sent that takes time, `SCRIPTS`, on which scripts are,
    `LOGIN`, on which logins are checked, or `PROCESS`, which asks which process the server is. `base` is the key of the usual lane, by which requests are
    matched. `sessions` counts those that have it. `carried`: the session was in this database, and of this version, before it became this user, who may have
    no right to go there.
    """

    __slots__ = ("login", "database", "resp", "purpose", "carried", "base", "sessions", "__weakref__")

    def __init__(
        self, login: Login, database: int, resp: int, purpose: str = "", carried: bool = False, base: LaneKey | None = None
    ) -> None:
        self.login = login
        self.database = database
        self.resp = resp
        self.purpose = purpose
        self.carried = carried
        self.base = self if base is None else base
        self.sessions = 0

    def enter(self) -> None:
        """One more session has this key."""
        self.sessions += 1
        self.login.count(1)

    def leave(self) -> None:
        """One session less has it."""
        self.sessions -= 1
        self.login.count(-1)

    @property
    def user(self) -> bytes | None:
        """The user that the client has authenticated as; None before."""
        return self.login.user

    def __repr__(self) -> str:
        user = "-" if self.user is None else self.user.decode("utf-8", "replace")
        return f"<key {user} db{self.database} resp{self.resp}>"


class LaneKeys:
    """The logins and keys that somebody still uses. `own` is the login that rproxy itself has at the servers."""

    def __init__(self, own: Logins) -> None:
        self._own_logins = own
        self.own = OwnLogin(own)
        self._nobody = Login()
        self._logins: dict[bytes, WeakValueDictionary[bytes, ClientLogin]] = {}
        self._keys: WeakValueDictionary[tuple[Login, int, int, bool, str], LaneKey] = WeakValueDictionary()

    def renew_own(self) -> None:
        """Clients that begin from now on share no connection with those who are there."""
        self.own = OwnLogin(self._own_logins)

    def first(self, database: int) -> LaneKey:
        """The key of a session that has just begun, and of rproxy's own questions."""
        return self._get(self.own, database, 2)

    def stranger(self) -> LaneKey:
        """The key of a connection that has not logged in: whether a login is right is asked there."""
        return self._get(self._nobody, 0, 2)

    def in_database(self, key: LaneKey, database: int) -> LaneKey:
        """The key of the same client in this database."""
        return self._get(key.login, database, key.resp)

    def speaking(self, key: LaneKey, version: int) -> LaneKey:
        """The key of the same client, who speaks this version of RESP from now on."""
        return self._get(key.login, key.database, version, key.carried)

    def logged_in(self, key: LaneKey, user: bytes, password: bytes, version: int) -> LaneKey:
        """The key of a session that had `key`, and of which the leader has just taken this login. The session stays in its database."""
        login = self._login(user, password)
        if login is key.login:
            return self.speaking(key, version)
        return self._get(login, key.database, version, key.database != 0 or key.resp == version == 3)

    def beside(self, key: LaneKey, purpose: str) -> LaneKey:
        """The key of another lane of the same user: `SCRIPTS`, or `URGENT`, in no database, since a busy server selects none."""
        return self._get(key.login, 0 if purpose == URGENT else key.database, key.resp, key.carried, purpose)

    def process(self) -> LaneKey:
        """The key of a connection that asks which process the server is."""
        return self._get(self.own, 0, 2, purpose=PROCESS)

    def renew(self, user: bytes, password: bytes) -> None:
        """This user has a new password: those who are authenticated with the last one stay so, and their next connections are opened with this one."""
        for login in list(self._logins.get(user, {}).values()):
            login.renew(password)

    def logins_of(self, user: bytes) -> int:
        """With how many passwords sessions are logged in as this user."""
        return sum(login.sessions > 0 for login in list(self._logins.get(user, {}).values()))

    def admits(self, key: LaneKey, most: int) -> bool:
        """Whether a session may have this key, where each user may be logged in with `most` passwords at once."""
        return key.user is None or key.sessions > 0 or self.logins_of(key.user) < most

    def _login(self, user: bytes, password: bytes) -> ClientLogin:
        digest = hashlib.sha256(password).digest()
        known = self._logins.get(user)
        if known is None:
            self._logins = {name: logins for name, logins in self._logins.items() if logins}
            known = self._logins[user] = WeakValueDictionary()
        login = known.get(digest)
        if login is None:
            login = known[digest] = ClientLogin(user, password)
        return login

    def _get(self, login: Login, database: int, resp: int, carried: bool = False, purpose: str = "") -> LaneKey:
        """The one key of these values."""
        key = self._keys.get((login, database, resp, carried, purpose))
        if key is None:
            base = self._get(login, database, resp, carried) if purpose else None
            key = self._keys[login, database, resp, carried, purpose] = LaneKey(login, database, resp, purpose, carried, base)
        return key


class Handshake:
    """The opening of one upstream connection: `request` is sent first, then `take` is given each reply until `done`.

    `refusal` holds the server's error, as it came, when the server will not have this user or database, or no more clients. `failure` says why the
    connection is of no use at all (the server loads its data, or answers nonsense). `hello` is the reply to HELLO and `anonymous` tells that the server
    wants a password and has none.
    `run_id` is that of the server's process, empty where it was not asked (`asks`, or a key for that purpose) or does not tell.
    """

    def __init__(self, server: Server, key: LaneKey, asks: bool = False) -> None:
        place: list[list[bytes]] = [[b"HELLO", b"%d" % key.resp]]
        if key.database:
            place.append([b"SELECT", b"%d" % key.database])
        before = place if key.carried else []
        words = [*before, *key.login.commands(server), *place]
        if (asks and key.login.asks) or key.purpose == PROCESS:
            words.append([b"INFO", b"server"])
        self._login = key.login
        self._steps = [command[0].decode() for command in words]
        self._before = len(before)
        self._there: set[str] = set()
        self.request = b"".join(resp.encode(command) for command in words)
        self._resp = key.resp
        self._logs_in = "AUTH" in self._steps
        self.hello = b""
        self.run_id = b""
        self.refusal = b""
        self.failure = ""
        self.anonymous = False

    @property
    def done(self) -> bool:
        """Whether all replies have come, or one that ends it."""
        return not self._steps or bool(self.refusal or self.failure)

    def take(self, reply: bytes) -> None:
        """The next reply, whole."""
        step = self._steps.pop(0)
        before, self._before = self._before > 0, self._before - 1
        refused = reply.startswith(b"-")
        if step == "HELLO" and not (refused and self.hello):
            self.hello = reply
        if step == "INFO":
            self.run_id = reply.partition(b"\r\nrun_id:")[2].partition(b"\r\n")[0]
            if reply.startswith(b"-NOPERM"):
                self._login.may_not_ask()
        elif reply.startswith(errors.TOO_MANY_CLIENTS):
            self.refusal = reply
        elif not refused:
            self._there.add(step)
            if step != "HELLO" and reply != _OK:
                self.failure = f"it answers {step} with neither OK nor an error"
        elif not (before or step != "AUTH" and step in self._there):  # else as nobody, or as this user, one of them may be there
            self._judge(step, reply)

    def _judge(self, step: str, reply: bytes) -> None:
        """The server answers a step with an error. Whatever is not OK to a login is a refusal: as whom the connection is then is not what was asked."""
        text = reply[1:].decode("utf-8", "replace").strip()
        if text.startswith(("DENIED", "LOADING")):
            self.failure = text
        elif step == "HELLO" and text.startswith("NOAUTH") and self._resp == 2 and not self._logs_in:
            self.anonymous = True
        elif step == "HELLO" and text.startswith(("NOPERM", "ERR unknown command")) and self._resp == 2:
            pass  # it can be used all the same
        elif not (step == "SELECT" and self.anonymous):
            self.refusal = reply


def hello_reply(reply: bytes, client: int) -> bytes:
    """What a client is told to its HELLO: the server's own reply, with the session's id, and as from a leader."""
    reply = reply.replace(b"$4\r\nrole\r\n$7\r\nreplica\r\n", b"$4\r\nrole\r\n$6\r\nmaster\r\n")
    before, mark, after = reply.partition(b"$2\r\nid\r\n:")
    if not mark:
        return reply
    return b"%b%b%d\r\n%b" % (before, mark, client, after.partition(b"\r\n")[2])
