"""What an operator wants to know of single commands: the slow ones, the keys that are asked for most, the biggest values.

Owned by `plane`. `run` gives it one plain command of about `EVERY`, `upstream` what took longer than `slow.threshold`. All is bounded, and all is this
worker's alone (`accounts` tells it). It must never keep a value, nor name a key to anything but `accounts`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rproxy.dataplane import resp
from rproxy.dataplane.clients import peer_of

if TYPE_CHECKING:
    from rproxy.dataplane.commands import Command
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool

EVERY = 500
"""Commands of which one is looked at, by chance, so that no rhythm of a client's escapes it."""
KEYS = 128
BIGGEST = 16
SLOWEST = 128
HALF_LIFE = 60.0
"""Seconds after which what was counted of keys counts half."""
BIG_REPLY = 64 * 1024
"""Bytes from which on each piece of a reply is looked at. Measured: to look at each of 16 KB was half of the time that a GET of such a value took rproxy."""
LONGEST_KEY = 128
LOOK = 0.05
LOOKS = 40
"""How often, and how many times at most, it is looked whether a client has taken the reply to a slow command."""

Slow = dict[str, object]


class Watch:
    """`countdown` commands are let go by until one is looked at; `slow` is the threshold in nanoseconds."""

    __slots__ = ("plane", "countdown", "slow", "commands", "sampled", "keys", "biggest", "_halve_at", "_last", "_size", "_floor")

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.countdown = 1
        self.slow = int(plane.options.slow * 1e9)
        self.commands: deque[Slow] = deque(maxlen=SLOWEST)
        self.sampled = 0.0
        self.keys: dict[bytes, float] = {}
        self.biggest: dict[bytes, tuple[int, str]] = {}
        self._halve_at = plane.clock() + HALF_LIFE
        self._last: Pending | None = None
        self._size = 0
        self._floor = 0  # sizes that are none of the biggest

    def sample(self, command: Command, frame: bytes) -> None:
        """Look at this command."""
        self.countdown = 1 + int(self.plane.random() * 2 * EVERY)
        self._fade()
        self.sampled += 1
        for key in command.keys(resp.split(frame))[:1]:
            self._count(key[:LONGEST_KEY])
            self._weigh(key, len(frame), command)

    def _count(self, key: bytes) -> None:
        """Space-saving (Metwally, Agrawal, El Abbadi 2005): a new key takes the place, and the count, of the least."""
        if key not in self.keys and len(self.keys) >= KEYS:
            least = min(self.keys, key=self.keys.__getitem__)
            self.keys[key] = self.keys.pop(least)
        self.keys[key] = self.keys.get(key, 0.0) + 1

    def _fade(self) -> None:
        now = self.plane.clock()
        if now >= self._halve_at:
            self._halve_at = now + HALF_LIFE
            self.sampled /= 2
            self.keys = {key: count / 2 for key, count in self.keys.items() if count >= 1}

    def _weigh(self, key: bytes, size: int, command: Command) -> None:
        key = key[:LONGEST_KEY]
        self.biggest[key] = max(self.biggest.get(key, (0, "")), (size, command.name.decode(errors="backslashreplace")))
        if len(self.biggest) > BIGGEST:
            del self.biggest[min(self.biggest, key=self.biggest.__getitem__)]
            self._floor = min(self.biggest.values())[0]

    def big(self, pending: Pending, size: int) -> None:
        """`size` bytes of a read's reply have come, `BIG_REPLY` or more. Pieces of one reply that come one after the other are added up."""
        command = pending.command
        if command is None or pending.count != 1 or not pending.request.startswith(b"*"):
            return
        self._size = self._size + size if pending is self._last else size
        self._last = pending if pending.left else None
        if self._size <= self._floor:
            return
        for key in command.keys(resp.split(pending.request))[:1]:
            self._weigh(key, self._size, command)

    def took_long(self, pool: Pool, pending: Pending, spent: int, size: int) -> None:
        """A command, or a run of them, was answered after `spent` nanoseconds at its server; `size` bytes of the reply came last."""
        session = pending.session
        if session is None:
            return
        plane = self.plane
        now, now_ns = plane.clock(), plane.clock_ns()
        waiting = max(0.0, now - pending.since - (now_ns - pending.left_at) / 1e9) if pending.since else 0.0
        command = pending.command or session.run.command
        address = peer_of(session).address if session.transport is not None else b""
        record: Slow = {
            "at": round(plane.ports.wall(), 3),
            "command": command.name.decode(errors="backslashreplace") if command is not None else "",
            "commands": pending.count,
            "server": pool.server.name,
            "client": session.id,
            "addr": address.decode(errors="backslashreplace"),
            "waiting_ms": round(waiting * 1000, 3),
            "upstream_ms": round(spent / 1e6, 3),
            "writing_ms": 0.0,
            "total_ms": round(waiting * 1000 + spent / 1e6, 3),
            "request_bytes": pending.cost,
            "reply_bytes": size,
        }
        self.commands.append(record)
        looks = 0

        def look() -> None:
            """Whether the client has taken all that it is owed."""
            nonlocal looks
            looks += 1
            writing = (plane.clock() - now) * 1000
            record["writing_ms"] = round(writing, 3)
            record["total_ms"] = round(waiting * 1000 + spent / 1e6 + writing, 3)
            if session.transport is not None and (session.held or session.choked) and looks < LOOKS:
                plane.later(LOOK, look)

        plane.later(0, look)
