"""Lane keys, and how an upstream connection is opened for one of them: `AUTH`, `HELLO`, `SELECT` in one packet.

Called by `pool` and `upstream` for each connection that they open, and by `local`, which answers a client's HELLO from what the server said here.
It must never keep a password longer than the key lives, nor show one.
"""

from __future__ import annotations

import hashlib
from weakref import WeakValueDictionary

from rproxy import errors
from rproxy.dataplane import resp
from rproxy.dataplane.topology import Server

URGENT = "urgent"
SCRIPTS = "scripts"
PROCESS = "process"


class LaneKey:
    """Whose connection it is: user with password, database and RESP version. One object for equal values (`LaneKeys.get`).

    `user` None: the session has not authenticated itself, and each server is given the credentials of its own URL, if it holds any. `user` empty: the
    default user, as `AUTH password` means it. `purpose`: empty, or that of another lane beside the usual
    one: `URGENT`, on which nothing is sent that takes time, `SCRIPTS`, on which
    scripts are, or `PROCESS`, which asks which process the server is. `carried`: the session was in this
    database, and of this version, before it became this user, who may have no right to go there.
    """

    __slots__ = ("user", "password", "database", "resp", "purpose", "carried", "__weakref__")

    def __init__(self, user: bytes | None, password: bytes, database: int, resp: int, purpose: str = "") -> None:
        self.user = user
        self.password = password
        self.database = database
        self.resp = resp
        self.purpose = purpose
        self.carried = False

    def __repr__(self) -> str:
        user = "-" if self.user is None else self.user.decode("utf-8", "replace") or "default"
        return f"<key {user} db{self.database} resp{self.resp}>"


class LaneKeys:
    """The keys that somebody still uses."""

    def __init__(self) -> None:
        self._keys: WeakValueDictionary[tuple[bytes | None, bytes, int, int, bool, str], LaneKey] = WeakValueDictionary()

    def beside(self, key: LaneKey, purpose: str) -> LaneKey:
        """The key of another lane of the same user: `SCRIPTS`, or `URGENT`, in no database, since a busy server selects none."""
        return self.get(key.user, key.password, 0 if purpose == URGENT else key.database, key.resp, key.carried, purpose)

    def become(self, key: LaneKey, user: bytes | None, password: bytes, resp: int) -> LaneKey:
        """The key of a session that had `key` and has proved to be this user."""
        return self.get(user, password, key.database, resp, carried=key.database != 0 or key.resp == resp == 3)

    def get(
        self, user: bytes | None, password: bytes, database: int, resp: int, carried: bool = False, purpose: str = ""
    ) -> LaneKey:
        """The one key of these values."""
        digest = hashlib.sha256(password).digest()
        key = self._keys.get((user, digest, database, resp, carried, purpose))
        if key is None:
            key = LaneKey(user, password, database, resp, purpose)
            key.carried = carried
            self._keys[user, digest, database, resp, carried, purpose] = key
        return key

    def renew(self, user: bytes, password: bytes) -> None:
        """This user has a new password: those who are authenticated with the last one stay so, and their next connections are opened with this one."""
        for key in list(self._keys.values()):
            if key.user == user:
                key.password = password


class Handshake:
    """The opening of one upstream connection: `request` is sent first, then `take` is given each reply until `done`.

    `refusal` holds the server's error, as it came, when the server will not have this user or database, or no more clients. `failure` says why the
    connection is of no use at all (the server loads its data, or answers nonsense). `hello` is the reply to HELLO and `anonymous` tells that the server
    wants a password and has none.
    `run_id` is the server's, empty where it was not asked or does not tell.
    """

    def __init__(self, server: Server, key: LaneKey) -> None:
        own = (server.user.encode(), server.password.encode())
        place: list[list[bytes]] = [[b"HELLO", b"%d" % key.resp]]
        if key.database:
            place.append([b"SELECT", b"%d" % key.database])
        words = _auth(*own) + place if key.carried or key.user is None else []
        if key.user is not None:
            words += [*_auth(key.user, key.password), *place]
        if key.purpose == PROCESS:
            words.append([b"INFO", b"server"])
        self._steps = [command[0].decode() for command in words]
        self._before = len(self._steps) - len(place) - 1 if key.carried else 0
        self._there: set[str] = set()
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
        before, self._before = self._before > 0, self._before - 1
        refused = reply.startswith(b"-")
        if step == "HELLO" and not (refused and self.hello):
            self.hello = reply
        if step == "INFO":
            self.run_id = reply.partition(b"\r\nrun_id:")[2].partition(b"\r\n")[0]
            return
        if not refused:
            self._there.add(step)
            return
        if reply.startswith(errors.TOO_MANY_CLIENTS):
            self.refusal = reply
            return
        if before or step != "AUTH" and step in self._there:
            return  # as whom the session was there before, or as whom it is there now: one of them may
        text = reply[1:].decode("utf-8", "replace").strip()
        if text.startswith(("DENIED", "LOADING")):
            self.failure = text
        elif step == "HELLO" and self._resp == 2 and text.startswith(("NOAUTH", "NOPERM", "ERR unknown command")):
            self.anonymous = text.startswith("NOAUTH")
        elif (step == "SELECT" and self.anonymous) or (step == "AUTH" and "without any password" in text):
            pass  # the default user wants no password any more
        else:
            self.refusal = reply


def _auth(user: bytes, password: bytes) -> list[list[bytes]]:
    return [] if not user and not password else [[b"AUTH", user, password] if user else [b"AUTH", password]]


def hello_reply(reply: bytes, client: int) -> bytes:
    """What a client is told to its HELLO: the server's own reply, with the session's id, and as from a leader."""
    reply = reply.replace(b"$4\r\nrole\r\n$7\r\nreplica\r\n", b"$4\r\nrole\r\n$6\r\nmaster\r\n")
    before, mark, after = reply.partition(b"$2\r\nid\r\n:")
    if not mark:
        return reply
    return b"%b%b%d\r\n%b" % (before, mark, client, after.partition(b"\r\n")[2])
