"""Commands that every server must get although they don't replicate: SCRIPT LOAD and FLUSH, ACL SETUSER, DELUSER, LOAD and SAVE.

The leader gets the command first, and its reply is the client's; where it is no error the other servers get a copy, and the client its reply when they have
answered, or have had their time. What a server could not be given it is owed: it is not read until it has it. Called by `dispatch`; `plane` asks who is
owed something. It must never give a server what the leader refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import order, resp, users
from rproxy.dataplane.commands import Command
from rproxy.dataplane.handshake import LaneKey
from rproxy.dataplane.pending import InternalRequest, Pending
from rproxy.dataplane.states import QUIET, STEP

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session

RETRY = 0.5
"""Seconds between two attempts to give a server what it is owed."""
MOST_OWED = 1000
"""Commands that one server may be owed; beyond it the oldest is forgotten, and the log says so."""
_NOT_OWED = (b"SCRIPT|LOAD",)
"""A server without it answers -NOSCRIPT, and the leader is asked."""
_NOT_NOW = (b"-ERR rproxy", b"-MASTERDOWN", b"-LOADING", b"-BUSY ", errors.TOO_MANY_CLIENTS)
"""Replies after which a copy is tried again: rproxy's own, and those of a server that can't yet."""


def take(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """Send it to the leader, then to all others; the session's next commands wait for the reply."""
    plane = session.plane
    if not plane.topology.replicas and command.name.startswith(b"SCRIPT"):
        return order.send_one(session, command, words, frame)
    if command.name == b"SCRIPT|FLUSH":
        plane.scripts.forget()
    if command.name == b"SCRIPT|LOAD" and len(words) == 3 and plane.table.script_keys is not None:
        plane.table.script_keys.learn(words[2])
    broadcast = Broadcast(session, command.name, frame)
    session.track(broadcast)
    session.halt(QUIET)
    plane.broadcasts.send(plane.leader, session.key, frame, broadcast.led, session)
    return True


def executed(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """EXEC has run it on the leader, and this is its reply: the other servers get it, and none of them is read before it has it. The reply as it is."""
    name = b"|".join(words[:2]).upper()
    plane = session.plane
    if name == b"SCRIPT|FLUSH":
        plane.scripts.forget()
    elif name == b"SCRIPT|LOAD" and plane.table.script_keys is not None:
        plane.table.script_keys.learn(words[2])
    if not reply.startswith(b"-"):
        users.changed(plane, name, words, session.key)
        if name not in _NOT_OWED:
            plane.broadcasts.owe_all(session.key, resp.encode(words))
    return reply


class Broadcast(Pending):
    """Holds the place of the reply in the client's FIFO. `waits_for` are servers whose copies are on their way."""

    __slots__ = ("name", "frame", "made_by", "plane", "reply", "waits_for")

    def __init__(self, session: Session, name: bytes, frame: bytes) -> None:
        super().__init__(session, 1, b"", False, STEP)
        self.name = name
        self.frame = frame
        self.made_by = session.key
        self.plane = session.plane
        self.reply = b""
        self.waits_for: set[Pool] = set()

    def led(self, reply: bytes) -> None:
        """The leader has answered, or can't."""
        self.reply = reply
        plane = self.plane
        if self.name == b"SCRIPT|FLUSH":
            plane.scripts.forget()
        if not reply.startswith(b"-"):
            users.changed(plane, self.name, resp.split(self.frame), self.made_by)
            for pool in list(plane.pools.values()):
                if pool is not plane.leader:
                    self._copy(pool)
        if self.waits_for:
            plane.later(plane.options.budget, self._out_of_time)
        else:
            self._finish()

    def _copy(self, pool: Pool) -> None:
        if pool in self.plane.readers:
            self.waits_for.add(pool)
            self.plane.broadcasts.send(pool, self.made_by, self.frame, lambda reply: self._answered(pool, reply))
        else:
            self._owe(pool)

    def _owe(self, pool: Pool) -> None:
        if self.name not in _NOT_OWED:
            self.plane.broadcasts.owe(pool, self.made_by, self.frame)

    def _answered(self, pool: Pool, reply: bytes) -> None:
        if pool not in self.waits_for:
            return
        self.waits_for.discard(pool)
        if reply.startswith(_NOT_NOW):
            self._owe(pool)
        elif reply.startswith(b"-"):
            self.plane.broadcasts.complain(pool, self.frame, reply)
        if not self.waits_for:
            self._finish()

    def _out_of_time(self) -> None:
        late, self.waits_for = self.waits_for, set()
        for pool in late:
            self._owe(pool)
        if late:
            self._finish()

    def _finish(self) -> None:
        self.left = 0
        if self.session is not None:
            self.session.deliver(self, self.reply, 1, True)


class Broadcasts:
    """The copies of one worker, and what its servers are owed. `owner` is a session without a client, to which copies belong."""

    def __init__(self, plane: Plane, owner: Session) -> None:
        self._plane = plane
        self._owner = owner
        self._owed: dict[Pool, list[tuple[LaneKey, bytes]]] = {}
        self._giving: set[Pool] = set()
        self._trying = False

    def owes(self, pool: Pool) -> bool:
        """Whether this server lacks something that others have: it is not read then."""
        return pool in self._owed

    def send(self, pool: Pool, key: LaneKey, frame: bytes, done: Callable[[bytes], None], behind: Session | None = None) -> None:
        """Give one server a copy, as the user of the client that sent it, and behind what that client has under way there."""
        pool.writes += 1
        pool.lane_for(key, behind).send(InternalRequest(self._owner, key.base, frame, done))

    def owe(self, pool: Pool, key: LaneKey, frame: bytes) -> None:
        """This server gets it as soon as it can."""
        owed = self._owed.setdefault(pool, [])
        owed.append((key, frame))
        if len(owed) > MOST_OWED:
            self.complain(pool, owed.pop(0)[1], b"-it has been away for too long")
        if len(owed) == 1:
            self._plane.refresh()
        self._try_later()

    def owe_all(self, key: LaneKey, frame: bytes) -> None:
        """All but the leader get it, at once where they can."""
        for pool in list(self._plane.pools.values()):
            if pool is not self._plane.leader:
                self.owe(pool, key, frame)
        self._give_all()

    def complain(self, pool: Pool, frame: bytes, reply: bytes) -> None:
        """A server does not have what the leader has, and won't."""
        name = b" ".join(resp.split(frame)[:2]).decode("utf-8", "replace").upper()
        self._plane.notice(f"{pool.server.name} did not get {name}: {_why(reply)}")

    def _try_later(self) -> None:
        if not self._trying and self._owed:
            self._trying = True
            self._plane.later(RETRY, self._try)

    def _try(self) -> None:
        self._trying = False
        self._give_all()
        self._try_later()

    def _give_all(self) -> None:
        """Give each server that answers the first of what it is owed."""
        plane = self._plane
        for pool in [pool for pool in self._owed if plane.pools.get(pool.server) is not pool]:
            del self._owed[pool]
        for pool in list(self._owed):
            if pool not in self._giving and (pool is plane.leader or pool.server in plane.topology.readers):
                self._give(pool)

    def _give(self, pool: Pool) -> None:
        key, frame = first = self._owed[pool][0]
        self._giving.add(pool)

        def done(reply: bytes) -> None:
            self._giving.discard(pool)
            owed = self._owed.get(pool)
            if owed is None or owed[0] is not first or reply.startswith(_NOT_NOW):
                return
            if reply.startswith(b"-"):
                self.complain(pool, frame, reply)
            del owed[0]
            if owed:
                self._give(pool)
            else:
                del self._owed[pool]
                self._plane.refresh()

        self.send(pool, key, frame, done)


def _why(reply: bytes) -> str:
    """What the log says of an error: of a server's its code, since the rest may repeat a password that the client sent."""
    text = reply[1:120].decode("utf-8", "replace").strip()
    code = text.partition(" ")[0]
    return code if code.isupper() else text
