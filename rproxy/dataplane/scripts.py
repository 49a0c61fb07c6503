"""Which scripts replicas may run, and that the leader knows each script which a client could run by its hash later.

Each server has a script cache of its own. EVAL whose first line says `flags=no-writes` and EVAL_RO are reads; but the first time that rproxy meets such a
script the leader runs it, so that EVALSHA, which goes there, finds it as on one server. What a replica doesn't know it answers with -NOSCRIPT, and the leader
is asked. Owned by `plane`, asked by `order` for each script. It must never take a script for a read that does not say so itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.commands import Command, Kind

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane

MOST_KNOWN = 10_000
"""Scripts that are remembered, by a hash, to be in the leader's cache; beyond it all are forgotten."""


class Scripts:
    """What the leader's script cache holds, as far as this worker has seen to it."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def forget(self) -> None:
        """The cache was flushed, or it may be another server's, or a restarted one's."""
        self._known.clear()

    def is_new(self, plane: Plane, command: Command, words: list[bytes]) -> bool:
        """Whether this command, which only reads, brings a script that the leader is to run first."""
        if command.name not in (b"EVAL", b"EVAL_RO") or len(words) < 2 or command.overridden or plane.leaderless:
            return False
        return hash(words[1]) not in self._known

    def ran(self, words: list[bytes]) -> None:
        """The leader has been sent this one."""
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(hash(words[1]))


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
