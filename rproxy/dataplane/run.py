"""Consecutive commands of one piece of input for one server: one slice of bytes, one pending.

Owned by a session, which joins each plain command to it and ends it. Here a read finds its reader, and a write its slots. It must never let a command
join that one server would have run in another order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import octets, order
from rproxy.dataplane.commands import Command, Kind
from rproxy.dataplane.states import FLIGHT, MOST_BYTES
from rproxy.dataplane.touched import need_of, slots_of

if TYPE_CHECKING:
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session

# C integers when compiled (run.pxd).
_READ = int(Kind.READ)
_FLIGHT, _MOST_BYTES = FLIGHT, MOST_BYTES


class Run:
    """The run under way: `count` commands for `pool` since `at`. `reader` serves the reads of this piece of input, as far as its `mark` allows.

    `need` is the highest of its reads' needs, `slots` those of its writes. `command` began the last run, or stood between runs.
    """

    __slots__ = ("pool", "reader", "mark", "reads", "vouched", "at", "count", "need", "slots", "command")

    def __init__(self) -> None:
        self.pool: Pool | None = None
        self.reader: Pool | None = None
        self.mark = 0
        self.reads = False
        self.vouched = False
        self.at = 0
        self.count = 0
        self.need = 0
        self.slots: list[int] | None = None
        self.command: Command | None = None

    def named(self, table: dict[bytes, Command], data: bytes, start: int, stop: int) -> Command | None:
        """The command whose name is `data[start:stop]`: mostly that of the last run, else looked up."""
        # Measured: 460 instructions less for a command that is the same as the last.
        last = self.command
        if last is not None and stop - start == len(last.name) and octets.stands(last.name, data, start):
            return last
        text = data
        return table.get(text[start:stop])

    def join(self, session: Session, command: Command, data: bytes, pos: int, stop: int) -> bool:
        """Add the plain command `data[pos:stop]`, or begin a new run with it; False when it must wait."""
        reads = command.kind == _READ
        if self.pool is not None and reads is not self.reads:
            self.end(session, data, pos)  # its stamps count for this command
        plane = session.plane
        need = 0
        if not reads:
            pool = plane.leader
            if plane.stamping and not self._write(session, slots_of(command, data, pos, stop, session.framer)):
                return False
        else:
            if session.fresh:
                need = need_of(plane.freshness, command, data, pos, stop, session.framer)
            if command.unordered:
                touched = slots_of(command, data, pos, stop, session.framer)
                pool = session.steady_reader(touched[0] if touched else 0, need)
            else:
                pool = self._reader(session, need)
        if pool is not self.pool:
            self.end(session, data, pos)
            self.pool = pool
            self.command = command
            self.reads = reads
            self.vouched = True
            self.at = pos
        if command.relays:
            self.vouched = False
        self.count += 1
        command.calls += 1
        watch = plane.watch
        watch.countdown -= 1
        if watch.countdown <= 0:
            watch.sample(command, data[pos:stop])
        self.need = max(self.need, need)
        if session.inflight + self.count >= session.most_inflight or session.inflight_bytes + stop - self.at >= _MOST_BYTES:
            session.halted |= _FLIGHT
        return True

    def _reader(self, session: Session, need: int) -> Pool:
        """Who answers a read that needs this mark (0: none): the same for all of one piece, if it may."""
        pool = self.reader
        plane = session.plane
        # Measured: 110 instructions less per read of a pipeline than to look its reader's mark up each time.
        if pool is not None and need < self.mark:
            return pool
        if plane.leaderless and need:
            pool = order.reader(session, need)
        else:
            pool = plane.fresh_reader(need) if need else plane.reader_of(session)
        if self.reader is None and pool is not plane.leader:
            self.reader = pool
            self.mark = plane.freshness.mark(pool.index) or 1  # later than no need at all
        return pool

    def _write(self, session: Session, slots: list[int]) -> bool:
        """A write of `slots` is to join; False when it must wait for a read."""
        if slots:
            if session.away and order.conflict(session, slots):
                return False
            if self.slots is None:
                self.slots = slots
            else:
                self.slots += slots
        return True

    def end(self, session: Session, data: bytes, pos: int) -> None:
        """Send the run, which ends before `pos`, if there is one."""
        pool = self.pool
        if pool is not None:
            count, need, slots = self.count, self.need, self.slots
            self.pool = None
            self.count = 0
            self.need = 0
            self.slots = None
            if self.reads:
                session.plane.taken_reads += count
            else:
                session.plane.taken_writes += count
            session.send(pool, data, self.at, pos, count, self.reads, need, slots, self.vouched)
