"""What the sessions and connections of one worker share: topology, pools, command table, directory of sessions, counters, and the end of a loop pass.

Made by the service, which hands in everything that touches the outside (`Ports`). Called by every session. It must never block, log or look at a clock
of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rproxy.dataplane import router
from rproxy.dataplane.clients import Clients
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.handshake import LaneKey, LaneKeys
from rproxy.dataplane.pool import Pool
from rproxy.dataplane.topology import Server, Topology


class Transport(Protocol):
    """What the data plane asks of a connection (`asyncio.Transport` has it all)."""

    def write(self, data: bytes, /) -> None: ...
    def writelines(self, pieces: list[bytes], /) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Awake(Protocol):
    """What has something to do at the end of the loop pass."""

    def flush(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What is handed in: the outside, as the data plane sees it.

    `dial(server, protocol)` connects and calls `protocol.connection_made` or `protocol.dial_failed(reason)`; `hang_up(handle)` ends an attempt.
    `clock` gives monotonic seconds, `random` numbers in [0, 1). `later(seconds, callback)` and `soon(callback)` call back. `suspect(server, reason)`
    tells the control plane that a server failed, `notice(text)` is for the log.
    """

    dial: Callable[[Server, object], object]
    hang_up: Callable[[object], None]
    clock: Callable[[], float]
    random: Callable[[], float]
    later: Callable[[float, Callable[[], None]], object]
    soon: Callable[[Callable[[], None]], object]
    suspect: Callable[[Server, str], None]
    notice: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that the data plane reads. Times in seconds, sizes in bytes."""

    consistency: str = "eventual"
    leaderless_reads: str = "serve"
    budget: float = 1.5
    connect: float = 0.5
    idle_lane: float = 60.0
    session_output: int = 64 * 1024 * 1024
    clients: int = 10000


READS_TOGETHER = 16
"""How many sessions' reads of one loop pass share a reader."""


class Plane:
    """The data plane of one worker. Counters only ever grow."""

    TICK = 0.05
    """Seconds between two looks at what waits. Nothing ticks while nothing waits."""

    __slots__ = (
        "ports", "options", "table", "clients", "keys", "topology", "pools", "leader", "readers", "clock", "random", "later", "dial", "hang_up",
        "notice", "diverted", "retried", "lost", "leaderless", "leaderless_reads", "draining", "_awake", "_together", "_reader", "_ticking",
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
        self.diverted = 0
        self.retried = 0
        self.lost = 0
        self.leaderless = False
        self.leaderless_reads = 0
        self.draining = False
        self._awake: list[Awake] = []
        self._together = 0
        self._ticking = False
        self.topology = topology
        self.pools: dict[Server, Pool] = {}
        self.follow(topology)

    def follow(self, topology: Topology) -> None:
        """Route by this topology from now on."""
        self.topology = topology
        for server in topology.servers:
            if server not in self.pools:
                self.pools[server] = Pool(self, server, False)
        for pool in self.pools.values():
            pool.leads = pool.server == topology.leader
        self.leader = self.pools[topology.leader]
        self.refresh()

    def refresh(self) -> None:
        """Find anew who may answer reads."""
        silent = {pool.server for pool in self.pools.values() if pool.silent}
        found = router.readers(self.topology, self.options.consistency, self.options.leaderless_reads, silent)
        self.readers: list[Pool] = [self.pools[server] for server in found]
        self._together = 0
        self.leaderless = self.options.consistency == "leader" and self.leader not in self.readers

    def reader(self) -> Pool:
        """A random one of those that may answer reads; the same one for up to `READS_TOGETHER` calls within a loop pass.

        Each server that a pass writes to must be woken, and that costs more than all else about a small read.
        """
        if not self._together:
            self._together = READS_TOGETHER
            self._reader = self.readers[int(self.random() * len(self.readers))]
        self._together -= 1
        return self._reader

    def knower(self) -> Pool:
        """The server that is asked about databases and about itself: the leader, or while it is away a server that reads."""
        return self.leader if self.topology.leader_up else self.reader()

    def other_reader(self, pool: Pool) -> Pool:
        """Another server for a read that `pool` could not answer; the leader when there is no other reader, and `pool` itself when it is the leader."""
        others = [reader for reader in self.readers if reader is not pool]
        return router.pick(others, self.random) if others else self.leader

    def suspect(self, server: Server, reason: str) -> None:
        """A connection to this server failed."""
        self.ports.suspect(server, reason)

    def first_key(self) -> LaneKey:
        """The key of a session that has just begun: no user of its own, the database that the settings name, RESP2."""
        return self.keys.get(None, b"", self.topology.leader.database, 2)

    def wake(self, thing: Awake) -> None:
        """Call `thing.flush()` at the end of this loop pass."""
        self._awake.append(thing)
        if len(self._awake) == 1:
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
                thing.flush()
            except Exception as problem:  # a fault in one session must not keep the others waiting
                self.notice(f"internal error, connection closed: {problem!r}")
                thing.close()
        awake.clear()
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
        busy = [pool.tick(now) for pool in self.pools.values()]
        if any(busy):
            self.start_ticking()

    def close(self) -> None:
        """End every connection to the servers, after the sessions have ended."""
        for pool in self.pools.values():
            pool.close()
