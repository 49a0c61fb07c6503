"""Lane keys, and how an upstream connection is opened for one of them: `AUTH`, `HELLO`, `SELECT` in one packet.

Called by `pool` and `upstream` for each connection that they open, and by `local`, which answers a client's HELLO from what the server said here.
It must never keep a password longer than the key lives, nor show one.
"""

from __future__ import annotations

import hashlib
from weakref import WeakValueDictionary

from rproxy.dataplane import resp
from rproxy.dataplane.topology import Server

_NO_DATABASE = -1


class LaneKey:
    """Whose connection it is: user with password, database and RESP version. One object for equal values (`LaneKeys.get`).

    `user` None: the session has not authenticated itself, and each server is given the credentials of its own URL, if it holds any. `user` empty: the
    default user, as `AUTH password` means it. `asks_run`: its connections ask which process the server is. `urgent`: nothing that takes time is sent there.
    """

    __slots__ = ("user", "password", "database", "resp", "asks_run", "urgent", "__weakref__")

    def __init__(self, user: bytes | None, password: bytes, database: int, resp: int, asks_run: bool = False) -> None:
        self.user = user
        self.password = password
        self.database = database
        self.resp = resp
        self.asks_run = asks_run
        self.urgent = False

    def __repr__(self) -> str:
        user = "-" if self.user is None else self.user.decode("utf-8", "replace") or "default"
        return f"<key {user} db{self.database} resp{self.resp}>"


class LaneKeys:
    """The keys that somebody still uses."""

    def __init__(self) -> None:
        self._keys: WeakValueDictionary[tuple[bytes | None, bytes, int, int], LaneKey] = WeakValueDictionary()

    def urgent(self, key: LaneKey) -> LaneKey:
        """The key of the same user's urgent connection: in no database, since a busy server selects none."""
        urgent = self.get(key.user, key.password, _NO_DATABASE, key.resp)
        urgent.urgent = True
        return urgent

    def get(self, user: bytes | None, password: bytes, database: int, resp: int) -> LaneKey:
        """The one key of these values."""
        digest = hashlib.sha256(password).digest()
        key = self._keys.get((user, digest, database, resp))
        if key is None:
            key = LaneKey(user, password, database, resp)
            self._keys[user, digest, database, resp] = key
        return key

    def renew(self, user: bytes, password: bytes) -> None:
        """This user has a new password: those who are authenticated with the last one stay so, and their next connections are opened with this one."""
        for key in list(self._keys.values()):
            if key.user == user:
                key.password = password


class Handshake:
    """The opening of one upstream connection: `request` is sent first, then `take` is given each reply until `done`.

    `refusal` holds the server's error, as it came, when the server will not have this user or database. `failure` says why the connection is of no use
    at all (the server is full, or answers nonsense). `hello` is the reply to HELLO and `anonymous` tells that the server wants a password and has none.
    `run_id` is the server's, empty where it was not asked or does not tell.
    """

    def __init__(self, server: Server, key: LaneKey) -> None:
        user, password = key.user, key.password
        if user is None:
            user, password = server.user.encode(), server.password.encode()
        self._steps: list[str] = []
        words: list[list[bytes]] = []
        if user or password:
            words.append([b"AUTH", user, password] if user else [b"AUTH", password])
            self._steps.append("AUTH")
        words.append([b"HELLO", b"%d" % key.resp])
        self._steps.append("HELLO")
        if key.database and not key.urgent:
            words.append([b"SELECT", b"%d" % key.database])
            self._steps.append("SELECT")
        if key.asks_run:
            words.append([b"INFO", b"server"])
            self._steps.append("INFO")
        self.request = b"".join(resp.encode(command) for command in words)
        self._resp = key.resp
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
        if step == "HELLO":
            self.hello = reply
        if step == "INFO":
            self.run_id = reply.partition(b"\r\nrun_id:")[2].partition(b"\r\n")[0]
            return
        if not reply.startswith(b"-"):
            return
        text = reply[1:].decode("utf-8", "replace").strip()
        if text.startswith(("ERR max number of clients", "DENIED", "LOADING")):
            self.failure = text
        elif step == "HELLO" and self._resp == 2 and text.startswith(("NOAUTH", "NOPERM", "ERR unknown command")):
            self.anonymous = text.startswith("NOAUTH")
        elif (step == "SELECT" and self.anonymous) or (step == "AUTH" and "without any password" in text):
            pass  # the default user wants no password any more
        else:
            self.refusal = reply


def hello_reply(reply: bytes, client: int) -> bytes:
    """What a client is told to its HELLO: the server's own reply, with the session's id, and as from a leader."""
    reply = reply.replace(b"$4\r\nrole\r\n$7\r\nreplica\r\n", b"$4\r\nrole\r\n$6\r\nmaster\r\n")
    before, mark, after = reply.partition(b"$2\r\nid\r\n:")
    if not mark:
        return reply
    return b"%b%b%d\r\n%b" % (before, mark, client, after.partition(b"\r\n")[2])
