"""What the sessions and connections of one worker share: topology, pools, command table, directory of sessions, counters, and the end of a loop pass.

Made by the service, which hands in everything that touches the outside (`Ports`). Called by every session. It must never block, log or look at a clock
of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rproxy.dataplane import router
from rproxy.dataplane.broadcasts import Broadcasts
from rproxy.dataplane.choice import Choice
from rproxy.dataplane.clients import Clients
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.freshness import KEYSPACE, SERVERS, Freshness
from rproxy.dataplane.handover import Handover
from rproxy.dataplane.handshake import LaneKey, LaneKeys
from rproxy.dataplane.outlet import Outlet
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.pool import Pool
from rproxy.dataplane.scripts import Scripts
from rproxy.dataplane.session import Session
from rproxy.dataplane.topology import Server, Topology


class Transport(Protocol):
    """What the data plane asks of a connection (`asyncio.Transport` has it all)."""

    def write(self, data: bytes, /) -> None: ...
    def writelines(self, pieces: list[bytes], /) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...


class Awake(Protocol):
    """What has something to do at the end of the loop pass."""

    def flush(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What is handed in: the outside, as the data plane sees it.

    `dial(server, protocol)` connects and calls `protocol.connection_made` or `protocol.dial_failed(reason)`; `hang_up(handle)` ends an attempt.
    `clock` gives monotonic seconds, `random` numbers in [0, 1). `later(seconds, callback)` and `soon(callback)` call back. `suspect(server, reason)`
    tells the control plane that a server failed, `demoted(server, reason)` that the leader refuses writes; `notice(text)` is for the log. `clock_ns` gives
    the stamps of the freshness table, `stamped()` wakes the freshness clock where it rests. `send(descriptor, data)` writes to a socket, `descriptor`
    gives a transport's socket, or -1 where only the transport may write to it.
    """

    dial: Callable[[Server, object], object]
    hang_up: Callable[[object], None]
    clock: Callable[[], float]
    random: Callable[[], float]
    later: Callable[[float, Callable[[], None]], object]
    soon: Callable[[Callable[[], None]], object]
    suspect: Callable[[Server, str], None]
    notice: Callable[[str], None]
    demoted: Callable[[Server, str], None] = lambda server, reason: None
    clock_ns: Callable[[], int] = lambda: 0
    stamped: Callable[[], None] = lambda: None
    send: Callable[[int, bytes], int] | None = None
    descriptor: Callable[[Transport], int] = lambda transport: -1


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that the data plane reads. Times in seconds, sizes in bytes, `leader_reads` in percent.

    `consistency` is that of listeners without one of their own; `tables`: freshness tables are kept, because some listener wants fresh reads. `command`:
    how long a server may take for one command, 0 for ever.
    """

    consistency: str = "eventual"
    tables: bool = False
    leaderless_reads: str = "serve"
    budget: float = 1.5
    connect: float = 0.5
    idle_lane: float = 60.0
    session_output: int = 64 * 1024 * 1024
    clients: int = 10000
    command: float = 0.0
    read_policy: str = "random"
    zone: str = ""
    leader_reads: int = 100


READS_TOGETHER = 16
"""How many sessions' reads of one loop pass share a reader."""
LOST_WRITE = 1_000_000_000
"""Nanoseconds for which a write that was lost on its way may still be run by the leader, which reads its socket to the end."""
UNKNOWN = Server(SERVERS - 1, "nobody", 0)
"""Stands for the server of pools without one."""


class Plane:
    """The data plane of one worker. Counters only ever grow. `about` tells what the status says of the rest of rproxy."""

    TICK = 0.05
    """Seconds between two looks at what waits. Nothing ticks while nothing waits."""
    LEADERLESS_WAIT = 0.1
    """Seconds that a read waits for a leader that does not answer, before it goes to a replica."""

    __slots__ = (
        "ports", "options", "table", "clients", "keys", "topology", "pools", "leader", "readers", "clock", "clock_ns", "random", "later",
        "dial", "hang_up", "notice", "about", "diverted", "retried", "lost", "leaderless", "_leaderless_since", "leaderless_reads",
        "freshness_reads", "scripts", "broadcasts", "draining", "freshness", "stamping", "resting", "choice", "_plain_choice", "limbo", "nobody", "handover",
        "_awake", "_ending", "_together", "_reader", "_ticking",
    )  # fmt: skip

    def __init__(self, topology: Topology, table: CommandTable, options: Options, ports: Ports) -> None:
        self.ports = ports
        self.options = options
        self.table = table
        self.clients = Clients(options.clients)
        self.keys = LaneKeys()
        self.clock = ports.clock
        self.random = ports.random
        self.later = ports.later
        self.dial = ports.dial
        self.hang_up = ports.hang_up
        self.notice = ports.notice
        self.about: Callable[[], dict[str, object]] = dict
        self.diverted = 0
        self.retried = 0
        self.lost = 0
        self.leaderless_reads = 0
        self.freshness_reads = 0
        self.draining = False
        self.clock_ns = ports.clock_ns
        self.freshness = Freshness()
        self.stamping = options.tables or options.consistency == "fresh"
        self.resting = False
        self.choice = Choice(options.read_policy, options.zone, ports.random)
        self._awake: list[Awake] = []
        self._ending = False
        self._together = 0
        self._ticking = False
        self.topology = topology
        self.pools: dict[Server, Pool] = {}
        self.limbo = Pool(self, UNKNOWN, True)
        self.nobody = Pool(self, UNKNOWN, True)
        self.limbo.dials = self.nobody.dials = False
        self.nobody.refuses = True
        self.leaderless = False
        self._leaderless_since = 0.0
        self.handover = Handover(self)
        self.scripts = Scripts()
        self.broadcasts = Broadcasts(self, Session(self))
        self.leader = self.limbo
        self.follow(topology)
        if self.stamping:
            self.freshness.stamp([KEYSPACE], self.clock_ns())

    def follow(self, topology: Topology) -> None:
        """Route by this topology from now on."""
        self.topology = topology
        for server in topology.servers:
            if server not in self.pools:
                self.pools[server] = Pool(self, server, False)
        self.handover.follow(topology)
        self.refresh()
        for server in [server for server in self.pools if server not in topology.servers]:
            self.pools.pop(server).close()
        self.wake_clock()

    def refresh(self) -> None:
        """Find anew who may answer reads."""
        silent = {pool.server for pool in self.pools.values() if pool.silent}
        found = router.readers(self.topology, silent)
        self.readers: list[Pool] = [self.pools[server] for server in found if not self.broadcasts.owes(self.pools[server])]
        self._together = 0
        self.leaderless = not self.topology.leader_up or self.leader is self.limbo
        if not self.leaderless:
            self._leaderless_since = 0.0
        elif not self._leaderless_since:
            self._leaderless_since = self.clock()
        self.choice.follow(self.topology)
        self._plain_choice = self.choice.plain and all(pool.weight == 1 for pool in self.readers)

    def reader(self) -> Pool:
        """One of those that may answer reads; the same one for up to `READS_TOGETHER` calls within a loop pass.

        Each server that a pass writes to must be woken, and that costs more than all else about a small read.
        """
        if not self._together:
            if not self.readers:
                return self._leader_for_readers()  # every replica is out, or there is none
            self._together = READS_TOGETHER
            self._reader = self._pick(self.readers)
            if not self._ending:
                self._end_pass()
        self._together -= 1
        return self._reader

    def _pick(self, pools: list[Pool]) -> Pool:
        """One of them by the read policy; without one that asks for more, by the dice alone."""
        if self._plain_choice:
            return pools[int(self.random() * len(pools))]
        return self.choice.of(pools)

    def _leader_for_readers(self) -> Pool:
        """The leader serves reads, where there are replicas up to the share that the settings allow."""
        share = self.options.leader_reads
        return self.leader if share >= 100 or not self.topology.replicas or self.random() * 100 < share else self.nobody

    def reader_of(self, session: Session) -> Pool:
        """Who answers a read of this session for which no mark is asked."""
        return self.for_leader() if session.strict else self.reader()

    def for_leader(self) -> Pool:
        """Who answers a read that only the leader may answer: the furthest replica, when the leader has been away for a while."""
        if self.leaderless and self.clock() - self._leaderless_since >= self.LEADERLESS_WAIT:
            return self._furthest() or self.leader
        return self.leader

    def _furthest(self) -> Pool | None:
        freshest = self.topology.freshest_reader()
        return self.pools[freshest] if freshest is not None and self.options.leaderless_reads == "serve" else None

    def may(self, pool: Pool, need: int) -> bool:
        """Whether this server's mark is later than `need`."""
        return self.freshness.mark(pool.index) > need

    def fresh_reader(self, need: int) -> Pool:
        """One of the readers whose marks are later than `need` (0: any reader); the leader where there is none."""
        if not need or not self.readers:
            return self.reader()
        if self._together and self.freshness.mark(self._reader.index) > need:
            self._together -= 1
            return self._reader
        fit = [pool for pool in self.readers if self.freshness.mark(pool.index) > need]
        if not fit:
            self.freshness_reads += 1
            return self.for_leader()
        pool = self._pick(fit)
        if not self._together:
            self._together = READS_TOGETHER - 1
            self._reader = pool
            if not self._ending:
                self._end_pass()
        return pool

    def stamp(self, slots: list[int]) -> int:
        """These slots are written now; the time that they were stamped with."""
        now: int = self.clock_ns()
        self.freshness.stamp(slots, now)
        if self.resting:
            self.wake_clock()
        return now

    def lose(self, slots: list[int]) -> None:
        """A write of these slots was lost on its way: the leader may still find it in its socket and run it."""
        self.freshness.stamp(slots, self.clock_ns() + LOST_WRITE)
        self.wake_clock()

    def let_go(self, slots: list[int], lost: bool) -> None:
        """The lease that held these slots has written them, or it is lost and nobody knows."""
        self.freshness.release(slots, self.clock_ns())
        (self.lose if lost else self.stamp)(slots)

    def oldest_write(self) -> int:
        """When the oldest write was sent that is not answered yet; 0 where there is none. Writes that hold their slots don't count."""
        oldest = [sent for pool in [*self.pools.values(), self.limbo] if (sent := pool.oldest_write())]
        return min(oldest, default=0)

    def knower(self) -> Pool:
        """The server that is asked about databases and about itself: the leader, or while it is away a server that reads."""
        return self.leader if self.topology.leader_up and self.leader is not self.limbo else self.reader()

    def other_reader(self, pool: Pool, need: int = 0) -> Pool:
        """Another server for a read that `pool` could not answer: a reader whose mark is later than `need` (0: any), else the leader."""
        others = [reader for reader in self.readers if reader is not pool and (not need or self.may(reader, need))]
        return self.choice.of(others) if others else self.leader

    def stand_in(self, pool: Pool, pending: Pending) -> Pool:
        """Another server for a read that waits for a connection to `pool`; `pool` itself where the read has to wait on."""
        if not pool.leads:
            return self.other_reader(pool, pending.need)
        if pending.session is None:
            return pool
        if not pending.session.strict:
            fit = [reader for reader in self.readers if not pending.need or self.may(reader, pending.need)]
            if fit:
                return self.choice.of(fit)
        furthest = self._furthest() if self.leaderless else None
        if furthest is None:
            return pool
        self.leaderless_reads += pending.left
        pending.need = 0
        return furthest

    def changed_leader(self) -> None:
        """Another server leads from now on: what marks say of the last one's writes counts no more."""
        self.scripts.forget()
        if self.stamping:
            self.stamp([KEYSPACE])

    def suspect(self, server: Server, reason: str) -> None:
        """A connection to this server failed: it may have been restarted, and its mark counts no more."""
        if self.stamping:
            self.freshness.drop(server.index, self.clock_ns())
            self.wake_clock()
        if server == self.topology.leader:
            self.scripts.forget()
        self.ports.suspect(server, reason)

    def wake_clock(self) -> None:
        """Let the freshness clock look, if it rests."""
        if self.resting:
            self.resting = False
            self.ports.stamped()

    def first_key(self) -> LaneKey:
        """The key of a session that has just begun: no user of its own, the database that the settings name, RESP2."""
        return self.keys.get(None, b"", self.topology.leader.database, 2)

    def outlet(self, transport: Transport) -> Outlet:
        """The way out of a new connection."""
        return Outlet(transport, self.ports.descriptor(transport), self.ports.send)

    def wake(self, thing: Awake) -> None:
        """Call `thing.flush()` at the end of this loop pass."""
        self._awake.append(thing)
        if not self._ending:
            self._end_pass()

    def _end_pass(self) -> None:
        self._ending = True
        self.ports.soon(self.end_of_pass)

    def end_of_pass(self) -> None:
        """Flush what was woken, and what that wakes in turn."""
        awake = self._awake
        self._together = 0
        done = 0
        while done < len(awake):
            thing = awake[done]
            done += 1
            try:
                if isinstance(thing, Session):
                    session = thing
                    session.flush()  # by its C method: 100 instructions less than by name
                else:
                    thing.flush()
            except Exception as problem:  # a fault in one session must not keep the others waiting
                self.notice(f"internal error, connection closed: {problem!r}")
                thing.close()
        awake.clear()
        self._ending = False
        if not self._ticking:
            self.start_ticking()

    def start_ticking(self) -> None:
        """Something waits: look after it every `TICK`."""
        if not self._ticking:
            self._ticking = True
            self.later(self.TICK, self._tick)

    def _tick(self) -> None:
        now = self.clock()
        self._ticking = False
        busy = [pool.tick(now) for pool in [*self.pools.values(), self.limbo]]
        if self.handover.tick(now) or any(busy):
            self.start_ticking()

    def close(self) -> None:
        """End every connection to the servers, after the sessions have ended."""
        for pool in [*self.pools.values(), self.limbo]:
            pool.close()
