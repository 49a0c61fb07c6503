"""What the sessions and connections of one worker share: topology, pools, command table, directory of sessions, and counters.

Made by the service, which hands in everything that touches the outside (`Ports`). Called by every session. It must never block, log or look at a clock
of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from rproxy import errors
from rproxy.dataplane import processes, router, syscalls
from rproxy.dataplane.authentication import LoginChecks
from rproxy.dataplane.barriers import Barriers
from rproxy.dataplane.broadcasts import Broadcasts
from rproxy.dataplane.choice import Choice
from rproxy.dataplane.client_timeouts import ClientTimeouts
from rproxy.dataplane.clients import Clients
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.connection_checks import ConnectionChecks
from rproxy.dataplane.failed_logins import FailedLogins
from rproxy.dataplane.freshness import HELD, KEYSPACE, SERVERS, Freshness
from rproxy.dataplane.handover import Handover
from rproxy.dataplane.handshake import LaneKey, LaneKeys
from rproxy.dataplane.inlets import Inlets
from rproxy.dataplane.intermission import Intermission
from rproxy.dataplane.loop_pass import LoopPass
from rproxy.dataplane.outlet import Outlet
from rproxy.dataplane.pauses import Pauses
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.pool import Pool
from rproxy.dataplane.ports import Options, Ports, Receiver, Transport
from rproxy.dataplane.reauthentication import Reauthentication
from rproxy.dataplane.retirement import Retirement
from rproxy.dataplane.scripts import Scripts
from rproxy.dataplane.session import Session
from rproxy.dataplane.strangers import Strangers
from rproxy.dataplane.tallies import KINDS, Tallies, publish
from rproxy.dataplane.topology import Server, Topology
from rproxy.dataplane.traffic import Traffic
from rproxy.dataplane.watch import Watch

# A C integer when compiled (plane.pxd).
_HELD = HELD

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
    PUBLISH = 0.005
    """Seconds between two looks at the oldest write without an answer, while there are several workers and such writes."""
    LEADERLESS_WAIT = 0.1
    """Seconds that a read waits for a leader at whose address nobody listens, before it goes to a replica."""

    __slots__ = (
        "ports", "options", "table", "tallies", "clients", "keys", "topology", "pools", "leader", "readers", "clock", "clock_ns", "random", "later",
        "dial", "hang_up", "notice", "about", "diverted", "retried", "lost", "leaderless", "_leaderless_since", "leaderless_reads", "login_checks", "strangers",
        "connection_checks", "reauthentication", "client_timeouts", "failed_logins", "barriers", "barred",
        "scripts", "broadcasts", "draining", "freshness", "stamping", "_publishing", "_publishes", "choice", "_plain_choice", "limbo", "nobody", "handover",
        "pauses", "_system_clock", "retirement", "intermission", "inlets", "watch", "traffic", "taken", "taken_reads", "taken_writes", "unlocked",
        "loop_pass", "_says_leaderless", "_together", "_reader", "_ticking",
    )  # fmt: skip

    def __init__(self, topology: Topology, table: CommandTable, options: Options, ports: Ports) -> None:
        self.ports, self.options, self.table = ports, options, table
        self.tallies = Tallies(ports.memory, options.worker, options.workers)
        self.clients = Clients(options.clients, self.tallies)
        self.client_timeouts = ClientTimeouts(self)
        self.failed_logins = FailedLogins(self)
        self.keys = LaneKeys(ports.logins)
        self.clock: Callable[[], float] = ports.clock
        self.random, self.later = ports.random, ports.later
        self.dial, self.hang_up, self.notice = ports.dial, ports.hang_up, ports.notice
        self.about: Callable[[], dict[str, object]] = dict
        self.diverted = self.retried = self.lost = self.leaderless_reads = 0
        self.taken = [0] * KINDS  # commands by kind; in runs are `taken_reads` and `taken_writes`
        self.taken_reads = self.taken_writes = 0
        self.traffic = Traffic()
        self.watch = Watch(self)
        self.draining = False
        self.unlocked = False  # whether the leader, as last heard, wants no password of those who bring none
        self.clock_ns = ports.clock_ns
        self._system_clock = ports.system_clock
        self.freshness = Freshness(ports.memory, options.worker, options.workers)
        self.stamping = options.keeps_tables and not options.supervises
        self._publishes, self._publishing = options.workers > 1, False
        self.choice = Choice(options.read_policy, options.zone, ports.random)
        self.loop_pass = LoopPass(self, ports.soon)
        self._ticking, self._together = False, 0
        self.topology = topology
        self.pools: dict[Server, Pool] = {}
        self.limbo = Pool(self, UNKNOWN, True)
        self.nobody = Pool(self, UNKNOWN, True)
        self.limbo.dials = self.nobody.dials = False
        self.nobody.refuses = True
        self.leaderless = False
        self._leaderless_since = 0.0
        self._says_leaderless = False
        self.inlets = Inlets(self)
        self.handover = Handover(self)
        self.pauses = Pauses(self)
        self.barriers, self.barred = Barriers(self), False  # the latter: whether one stands
        self.intermission = Intermission(self)
        self.retirement = Retirement(self)
        self.scripts, self.strangers = Scripts(), Strangers(self)
        nobody = Session(self)
        self.broadcasts = Broadcasts(self, nobody)
        self.login_checks = LoginChecks(self, nobody)
        self.connection_checks, self.reauthentication = ConnectionChecks(self, nobody), Reauthentication(self, nobody)
        self.leader = self.limbo
        self.follow(topology)
        if self.stamping:
            self.freshness.stamp([KEYSPACE], self.clock_ns())

    def follow(self, topology: Topology) -> None:
        """Route by this topology from now on."""
        others = topology.servers != self.topology.servers
        moved = topology.processes != self.topology.processes
        self.topology = topology
        for server in topology.servers:
            if server not in self.pools:
                publish(self)  # what was counted of one with this index goes on
                pool = self.pools[server] = Pool(self, server, False)
                pool.reads, pool.writes = self.tallies.counted(server.index)
        self.handover.follow(topology, processes.follow(self, topology))
        self.refresh()
        for server in [server for server in self.pools if server not in topology.servers]:
            self.retirement.take(self.pools.pop(server))
        if others or moved:
            self.wake_clock()

    def refresh(self) -> None:
        """Find anew who may answer reads."""
        silent = {pool.server for pool in self.pools.values() if pool.silent}
        found = router.readers(self.topology, silent)
        self.readers: list[Pool] = [self.pools[server] for server in found if not self.broadcasts.owes(self.pools[server])]
        self._together = 0
        self.leaderless = not self.topology.leader_up or self.leader is self.limbo
        self.freshness.led(not self.leaderless)
        if not self.leaderless:
            self._leaderless_since = 0.0
            self._says_leaderless = False
        elif not self._leaderless_since and self.topology.asked:
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
            self.loop_pass.end_soon()
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
        waited = self.clock() - self._leaderless_since >= self.LEADERLESS_WAIT
        if self._without_leader() and (waited or self.leader.is_silent()):
            return self._furthest() or self.leader
        return self.leader

    def _without_leader(self) -> bool:
        """Whether the control plane has found that the leader does not answer, and it is away for this worker too: as long as a connection to it works, writes
        are acknowledged over it, and no replica answers what it may lack.
        """
        if not self.leaderless or not self._leaderless_since:
            return False
        if self.leader is not self.limbo:
            return self.leader.is_away()
        last = self.handover.last
        if last is None or self.topology.leader_up or self.topology.contested:
            return True  # nobody waits for who leads no more by its own word, or is one of several
        return last.refused or last.is_silent()

    def _furthest(self) -> Pool | None:
        freshest = self.topology.freshest_reader()
        if freshest is None or self.options.leaderless_reads != "serve":
            return None
        if not self._says_leaderless:
            self._says_leaderless = True
            self.notice(f"no connection to the leader works: what only it may answer is read on {freshest.name}, and may be old")
        return self.pools[freshest]

    def may(self, pool: Pool, need: int) -> bool:
        """Whether this server's mark is later than `need`."""
        return self.freshness.mark(pool.index) > need

    def fresh_reader(self, need: int) -> Pool:
        """One of the readers whose marks are later than `need` (0: any reader); the leader where there is none."""
        if need > _HELD:  # it asks whether the leader is there
            return self.for_leader()
        if not need or not self.readers:
            return self.reader()
        if self._together and self.freshness.mark(self._reader.index) > need:
            self._together -= 1
            return self._reader
        fit = [pool for pool in self.readers if self.freshness.mark(pool.index) > need]
        if not fit:
            self.freshness.miss()
            self.want_mark(need)
            return self.for_leader()
        pool = self._pick(fit)
        if not self._together:
            self._together = READS_TOGETHER - 1
            self._reader = pool
            self.loop_pass.end_soon()
        return pool

    def now(self) -> int:
        """The time of `clock_ns`."""
        return syscalls.now(self.clock_ns, self._system_clock)

    def stamp(self, slots: list[int]) -> int:
        """These slots are written now; the time that they were stamped with."""
        if self._publishes and not self._publishing:
            return self._stamp_first(slots)
        now = self.now()
        self.stamp_at(slots, now)
        return now

    def stamp_at(self, slots: list[int], now: int) -> None:
        """These slots were written at `now`: they have just been sent, or what ran them has just been heard of."""
        self.freshness.stamp(slots, now)
        if self.freshness.rests():
            self.wake_clock()

    def _stamp_first(self, slots: list[int]) -> int:
        """As `stamp`, for the first write after none."""
        self.freshness.about_to_write()
        self._publish_later()
        now = self.stamp(slots)
        self.freshness.publish_oldest(now)
        return now

    def _publish_later(self) -> None:
        self._publishing = True
        self.later(self.PUBLISH, self._publish)

    def _publish(self) -> None:
        """Tell the process of the freshness clock what it would find by itself in this one: `oldest_write`."""
        self._publishing = False
        oldest = self.oldest_write()
        self.freshness.publish_oldest(oldest)
        if oldest:
            self._publish_later()

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
        oldest = [sent for pool in self.all_pools() if (sent := pool.oldest_write())]
        return min(oldest, default=0)

    def all_pools(self) -> list[Pool]:
        """Whatever has connections, or something that waits for one."""
        return [*self.pools.values(), *self.retirement.pools, self.limbo]

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
        furthest = self._furthest() if self._without_leader() else None
        if furthest is None:
            return pool
        self.leaderless_reads += pending.left
        pending.need = 0
        return furthest

    def no_leader(self) -> bytes:
        """The error for what has waited for a leader in vain."""
        return errors.SEVERAL_LEADERS if self.topology.contested else errors.NO_LEADER

    def changed_leader(self) -> None:
        """Another server leads from now on: what marks say of the last one's writes counts no more."""
        self.scripts.forget()
        if self.pauses.everything:
            self.pauses.end()  # the next leader knows of no pause
        if self.stamping:
            self.stamp([KEYSPACE])

    def suspect(self, server: Server, reason: str) -> None:
        """A connection to this server failed: it may have been restarted, and its mark counts no more. No `reason`: rproxy has closed it by itself, and it is
        not doubted.
        """
        if self.stamping:
            self.freshness.drop(server.index, self.clock_ns())
            self.wake_clock()
        if server == self.topology.leader:
            self.scripts.forget()
        if reason:
            self.ports.suspect(server, reason)

    def want_mark(self, need: int) -> None:
        """Somebody needs a later mark than there is: the freshness clock is to look, also where it rests, having overlooked that a mark was dropped."""
        self.freshness.want()
        if need < _HELD and self.freshness.rests():
            self.wake_clock()

    def wake_clock(self) -> None:
        """Let the freshness clock look, if it rests."""
        if self.freshness.rests():
            self.freshness.rest(False)
            self.ports.stamped()

    def hear_strangers(self, welcome: bool) -> None:
        """Whether the leader, as it has just said, wants no password of those who bring none."""
        self.unlocked = welcome

    def first_key(self) -> LaneKey:
        """The key of a session that has just begun: no user of its own, the database that the settings name, RESP2."""
        return self.keys.first(self.topology.leader.database)

    def outlet(self, transport: Transport, protocol: Receiver) -> Outlet:
        """The way out of a new connection of `protocol`, and the way in as soon as the transport has begun to read."""
        outlet = Outlet(transport, self.ports.descriptor(transport), protocol, self.ports.socket(transport))
        if outlet.descriptor >= 0 and self.inlets.open:
            self.ports.soon(lambda: outlet.read_by(self.inlets))
        elif outlet.socket >= 0:
            outlet.tell_end(self.inlets)
        return outlet

    def fault(self, problem: Exception) -> None:
        """Say what went wrong and where, and nothing of the problem's own words: they may hold a client's data."""
        place = problem.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" in {place.tb_frame.f_code.co_name}, line {place.tb_lineno}" if place is not None else ""
        self.try_to(lambda: self.notice(f"internal error, connection closed: {type(problem).__name__}{where}"))

    def try_to(self, do: Callable[[], object]) -> bool:
        """Whether this went well, where there is nothing left to be done if it does not."""
        try:
            do()
        except Exception:
            return False
        return True

    def end_session(self, session: Session | None, problem: Exception) -> None:
        """A fault of rproxy's own ends this session, and nobody else's. Nothing is raised."""
        if session is not None and not self.try_to(session.close) and session.transport is not None:
            self.try_to(session.transport.abort)
        self.fault(problem)

    def pass_ended(self) -> None:
        """A loop pass has ended: the next one's reads choose anew, and what waits is looked after."""
        self._together = 0
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
        publish(self)
        self.clients.memory.look(self)
        busy = [pool.tick(now) for pool in self.all_pools()]
        if self.handover.tick(now) or self.retirement.tick(now) or any(busy) or self.clients.memory.total:
            self.start_ticking()

    def close(self) -> None:
        """End every connection to the servers, after the sessions have ended."""
        self.inlets.close()
        for pool in self.all_pools():
            pool.close()
