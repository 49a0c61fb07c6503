"""Which scripts replicas may run, and the script cache of the leader, as far as it is known.

Each server has a script cache of its own. EVAL whose first line says `flags=no-writes` and EVAL_RO are reads; but the first time that rproxy meets such a
script, and then now and again, the leader runs it, so that EVALSHA, which goes there, finds it as on one server. What a replica doesn't know it answers with
-NOSCRIPT, and the leader is asked. The cache is owned by `plane` and asked by `order` for each script. It must never take a script for a read that does not
say so itself, nor for known what the leader has not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.commands import Command, Kind
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import SCRIPT

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

MOST_KNOWN = 256
"""Scripts that are remembered, by a hash, to be in the leader's cache. Servers keep the 500 of EVAL that were used last (Redis 7.4, Valkey 8: eval.c)."""
KEPT = 10.0
"""Seconds for which a script counts as known. Then the leader runs it once more, which keeps it among those that were used last."""
FORGET_AT_MOST = 1.0
"""Seconds between two -NOSCRIPT of the leader for which all scripts are forgotten."""
_EVALS = (b"EVAL", b"EVAL_RO")
_BRINGERS = (*_EVALS, b"SCRIPT|LOAD")


class Scripts:
    """What the leader's script cache holds, as far as this worker has seen to it: hashes of scripts, with the time until which they count as known."""

    def __init__(self) -> None:
        self._known: dict[int, float] = {}
        self._missed = 0.0
        self.flushes = 0

    def forget(self) -> None:
        """The cache was or may be flushed, or it may be another server's, or a restarted one's. What is on its way now may have run before."""
        self.flushes += 1
        self._known.clear()

    def missing(self, now: float) -> None:
        """The leader does not know a script: it may have evicted others too."""
        if now >= self._missed + FORGET_AT_MOST:
            self._missed = now
            self.forget()

    def is_new(self, plane: Plane, command: Command, words: list[bytes]) -> bool:
        """Whether this command, which only reads, brings a script that the leader is to run first."""
        if command.name not in _EVALS or len(words) < 2 or command.overridden or plane.leaderless:
            return False
        return self._known.get(hash(words[1]), 0.0) < plane.clock()

    def ran(self, source: int, now: float) -> None:
        """The leader has run the script with this hash."""
        self._known.pop(source, None)
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[source] = now + KEPT


class ScriptRequest(Pending):
    """A script on its way to the leader: what its reply proves is noted."""

    __slots__ = ("_source", "_flushes")

    def __init__(self, session: Session, command: Command, words: list[bytes], request: bytes, read: bool) -> None:
        super().__init__(session, 1, request, read, SCRIPT)
        self.command = command
        self._source = hash(words[1]) if command.name in _EVALS and len(words) > 1 else None
        self._flushes = session.plane.scripts.flushes

    def settle(self, plane: Plane) -> None:
        """The reply has come, or an error in its place."""
        scripts = plane.scripts
        if self.head.startswith(b"-NOSCRIPT"):
            scripts.missing(plane.clock())
        elif self._source is not None and not self.head.startswith(b"-") and self._flushes == scripts.flushes and not self.tries:
            scripts.ran(self._source, plane.clock())


def flushed(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """The leader has answered a SCRIPT FLUSH that it was sent alone, on the lease of a client; the reply as it is."""
    session.plane.scripts.forget()
    return reply


def must_wait(session: Session, command: Command) -> bool:
    """Whether this command brings the leader a script while a read of one by its digest is under way: where the replica does not know that, the leader is
    asked, and must not have learnt it meanwhile.
    """
    return command.name in _BRINGERS and any(
        pending.read and pending.command is not None and pending.command.name == b"EVALSHA_RO" for pending in session.fifo
    )


def only_reads(command: Command, words: list[bytes]) -> bool:
    """Whether this command, which runs a script, says that it does not write."""
    if command.kind == Kind.READ:
        return True
    return command.name == b"EVAL" and len(words) > 1 and not command.overridden and declares_no_writes(words[1])


def declares_no_writes(source: bytes) -> bool:
    """Whether the script's own first line has the flag `no-writes` (evalExtractShebangFlags, eval.c)."""
    if not source.startswith(b"#!"):
        return False
    line = source[: source.find(b"\n")].split()
    return any(word.startswith(b"flags=") and b"no-writes" in word[6:].split(b",") for word in line[1:])
