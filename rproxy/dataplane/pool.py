"""The lanes and leases of one server: opening, backoff, waiting, silence, idling out.

Called by `session` (which lane, which lease), by `upstream` (opened, lost), by `handover` and by `plane` (ticks). What becomes of pendings whose
connection ends or never comes is in `retry`. It must never lend a connection whose state is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import detour, places, retry, users
from rproxy.dataplane.handshake import LaneKey
from rproxy.dataplane.histograms import Times
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import LEASE, Stage, State
from rproxy.dataplane.tallies import CONNECT_ERRORS
from rproxy.dataplane.topology import IDLE_CLOSED, Server
from rproxy.dataplane.upstream import Upstream

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

SILENT_TICKS = 10
"""Ticks without a byte, while something is in flight, after which new reads go to other servers."""
DOUBTFUL_TICKS = 3
"""Ticks without a byte, while something is in flight, after which a lane is no sign that a server which the control plane finds away is there."""
SILENCE = 1.0
"""Seconds for which a leader must not have been heard on open connections before it counts as away; at most two thirds of the budget."""
SILENCE_WHEN_CUT = 1.35
"""The same where every connection is lost, and its host does not say that nobody listens: one that stands still for a moment while connections are cut, and is
connected to again a moment later, comes back with writes that no replica may have. At most the budget less three ticks, since reads are answered within it."""
TRIED = 0.05
"""Seconds for which an attempt to connect must have had no answer, to show that the server is away in this moment."""
TRIED_LATELY = 0.1
"""Seconds for which an attempt that has failed shows that."""
FIRST_BACKOFF = 0.02
LONGEST_BACKOFF = 0.5
REFUSAL_KEPT = 1.0
"""Seconds for which a server's refusal of a user or database is believed."""
SPARE_LEASES = 64
MOST_WRONG_PROCESSES = 8
"""Connections in a row that may go to another process before a replica is suspected: its own may still be there, behind a load balancer."""
_PASSING = (b"-BUSY", errors.TOO_MANY_CLIENTS)  # refusals that may be over the next moment


class Pool:
    """Connections to `server`. `leads`: it is the leader's. `reads` and `writes` count commands sent; `silent`: it has not answered for a while.

    `index` and `weight` are the server's. `dials` is False for a pool without a server, where all waits; `refuses`: all fails there. `writing` are leases
    with writes on their way, as far as that is not known to be over. `stalled` are lanes that nobody new is sent to, since something holds them up.
    `process` is the run id of the process that the server is, empty while that is not known, and `wrong_processes` counts connections in a row that went
    to another one. `refused`: nobody listens at its address, as the last attempt to connect has shown.
    `_given_up`: it was found to be away (`is_away`), and no connection has been ready since; `_heard` and `_failed`: when it was heard last over a connection
    that has ended, in nanoseconds, and when an attempt to connect failed last, in seconds.
    """

    __slots__ = (
        "plane", "server", "leads", "reads", "writes", "silent", "lanes", "leases", "_spare", "_unready", "_failures", "__weakref__",
        "index", "weight", "times", "dials", "refuses", "writing", "stalled", "process", "wrong_processes", "refused", "_heard", "_given_up", "_failed",
    )  # fmt: skip

    def __init__(self, plane: Plane, server: Server, leads: bool) -> None:
        self.plane = plane
        self.server, self.leads = server, leads
        self.reads = self.writes = self._failures = 0
        self.silent = self.refuses = False
        self.lanes: dict[LaneKey, Upstream] = {}
        self.leases: set[Upstream] = set()
        self._spare: dict[LaneKey, list[Upstream]] = {}
        self._unready: set[Upstream] = set()
        self.index, self.weight = server.index, server.weight
        self.times = Times(plane.tallies.times_of(server.index))
        self.dials = True
        self.writing: set[Upstream] = set()
        self.stalled: set[Upstream] = set()
        self.process: bytes = b""
        self.wrong_processes = 0
        self.refused = self._given_up = False
        self._heard = 0
        self._failed = 0.0

    def lane(self, key: LaneKey) -> Upstream:
        """The shared connection for `key`, opened when there is none."""
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Upstream(self, key, None)
            places.open_lane(self, lane)
        return lane

    def lane_for(self, key: LaneKey, session: Session | None) -> Upstream:
        """The lane for a request of this key: one on which its session has other requests under way that it must stay behind, or the usual one."""
        if session is not None and session.ties is not None and len(session.fifo) > 1:
            lane = session.ties.get(self)
            if lane is not None and lane.base is key and (lane in self.stalled or self.lanes.get(lane.key) is lane):
                return lane
        usual = self.lanes.get(key)
        return usual if usual is not None else self.lane(key)

    def send(self, pending: Pending) -> None:
        """Send a request over a lane of its key."""
        assert pending.key is not None
        self.lane_for(pending.key, pending.session).send(pending)

    def lease(self, owner: Session, key: LaneKey) -> Upstream:
        """A connection for `owner` alone, until `give_back`."""
        if spare := self._spare.get(key):
            lease = spare.pop()
            lease.lend(owner)
            if not spare:
                del self._spare[key]
        else:
            lease = places.open_one(self, Upstream(self, key, owner))
        self.leases.add(lease)
        return lease

    def close_unused(self, spare: int) -> None:
        """Close the oldest lanes of clients who had logged in and have gone, but for `spare` of them, and for those on which something is under way."""
        if len(self.lanes) <= spare:
            return
        unused = [lane for lane in self.lanes.values() if lane.key.user is not None and not lane.key.base.sessions]
        for lane in unused[: len(unused) - spare] if len(unused) > spare else ():
            if not (lane.fifo or lane.batch or lane.waiters):
                self._forget(lane)
                lane.close()

    def once(self, key: LaneKey) -> Upstream:
        """A connection for one question, which the caller closes."""
        return places.open_one(self, Upstream(self, key, None))

    def start(self, upstream: Upstream) -> None:
        """Dial now, or after the backoff when the last attempts failed."""
        if not self.dials:
            return
        if not self._failures:
            upstream.dial()
            return
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures, 10))
        self.plane.later(longest * (0.5 + 0.5 * self.plane.random()), lambda: self._redial(upstream))

    def exclusive(self) -> int:
        """How many connections there are that not everybody shares: leases, and lanes of clients who have logged in."""
        users_lanes = sum(lane.key.user is not None for lane in self.lanes.values())
        return len(self.leases) + sum(map(len, self._spare.values())) + users_lanes

    def make_room(self) -> bool:
        """Close a lease that nobody has; False where there is none."""
        spare = next((leases[0] for leases in self._spare.values()), None)
        if spare is not None:
            self._forget(spare)
            spare.close()
        return spare is not None

    def give_back(self, lease: Upstream) -> None:
        """The owner has left it in its first state: it may be lent again. With any doubt, the caller closes it instead."""
        lease.owner = None
        self.leases.discard(lease)
        if not lease.ready or lease.fifo or lease.batch or len(self._spare.get(lease.key, ())) >= SPARE_LEASES:
            lease.close()
            return
        self._spare.setdefault(lease.key, []).append(lease)
        self._retire_later(lease)

    def lend_no_more(self, lease: Upstream) -> None:
        """Close it now, or when whoever has it gives it back."""
        if lease.owner is not None:
            lease.spoiled = True
        else:
            self._forget(lease)
            lease.close()

    def await_ready(self, upstream: Upstream, come: Callable[[], None]) -> None:
        """Call `come` when the connection is ready or refused, or the budget is over."""
        upstream.waiters.append((self.plane.clock(), come))
        self._unready.add(upstream)
        self.plane.start_ticking()

    def believe(self, key: LaneKey) -> None:
        """The user of this key is known to be good: an earlier refusal counts no more."""
        lane = self.lanes.get(key)
        if lane is not None and lane.refusal:
            self._forget(lane)
            lane.close()

    def take_over(self, lane: Upstream) -> None:
        """What waits for another pool's lane waits for this pool's from now on."""
        batch, lane.batch = lane.batch, []
        waiters, lane.waiters = lane.waiters, []
        if not batch and not waiters:
            return
        own = self.lane(lane.key)
        for pending in batch:
            own.send(pending)
        if own.ready:
            retry.tell(self.plane, waiters)
        elif waiters:
            own.waiters += waiters
            self._unready.add(own)
            self.plane.start_ticking()

    def take_in(self, lease: Upstream) -> None:
        """What waits for another pool's lease to be connected waits for a new one of this pool's from now on: the other may be connected any moment."""
        own = Upstream(self, lease.key, lease.owner)
        own.batch, lease.batch = lease.batch, []
        own.waiters, lease.waiters = lease.waiters, []
        own.attachment = lease.attachment
        if lease.owner is not None:
            lease.owner.lease = own
            lease.owner = None
        for pending in own.batch:
            if pending.session is not None and pending.session.question is lease:
                pending.session.question = own
        self.writing.add(own)
        self._unready.add(own)
        self.plane.start_ticking()
        places.open_one(self, own)
        lease.close()

    def oldest_write(self) -> int:
        """When the oldest write was sent that is not answered yet; 0 where there is none."""
        oldest = [sent for lane in [*self.lanes.values(), *self.stalled] if (sent := lane.oldest_write())]
        for lease in list(self.writing):
            if sent := lease.oldest_write():
                oldest.append(sent)
            else:
                self.writing.discard(lease)
        return min(oldest, default=0)

    def owes(self) -> bool:
        """Whether somebody waits for a reply to what was sent; blocked clients aside."""
        free = [lease for lease in self.leases if lease.owner is None or lease.owner.state is not State.BLOCKED]
        return any(upstream.owes() for upstream in [*self.lanes.values(), *self.stalled, *free])

    def works(self) -> bool:
        """Whether a lane is there that is not known to be silent."""
        return any(lane.ready and lane.silent < DOUBTFUL_TICKS for lane in (*self.lanes.values(), *self.stalled))

    def is_away(self) -> bool:
        """Whether no connection to this leader works, and none will in a moment: nobody listens there, or nobody has heard it for a while."""
        if self.works():
            self._given_up = False
        elif not self._given_up:
            self._given_up = self.refused or (self.is_silent() and self._does_not_answer_now())
        return self._given_up

    def is_silent(self) -> bool:
        """Whether nobody has heard it for a while."""
        here = max((upstream.heard() for upstream in self.connections()), default=0)
        heard = max(here, self._heard, self.plane.freshness.leader_heard())
        budget = self.plane.options.budget
        is_open = any(lane.ready for lane in (*self.lanes.values(), *self.stalled))
        when_cut = min(SILENCE_WHEN_CUT, max(budget - 3 * self.plane.TICK, budget * 2 / 3))
        silence = min(SILENCE, budget * 2 / 3) if is_open else when_cut
        return self.plane.now() - heard >= silence * 1e9

    def _does_not_answer_now(self) -> bool:
        """Whether it is asked in this moment, and does not answer. Where the next attempt to connect is yet to come, it is made at once."""
        now = self.plane.clock()
        lanes = (*self.lanes.values(), *self.stalled)
        if now - self._failed <= TRIED_LATELY or any(lane.ready or lane.has_dialled_since(now - TRIED) for lane in lanes):
            return True
        for upstream in self.unready():
            if upstream.stage is Stage.WAITING:
                upstream.dial()
        return False

    def heard_until(self, at: int) -> None:
        """A connection has ended over which the server was heard last at `at`, in nanoseconds."""
        self._heard = max(self._heard, at)

    def under_way(self) -> int:
        """Pendings that wait on the lanes."""
        return sum(lane.under_way() for lane in (*self.lanes.values(), *self.stalled))

    def unready(self) -> list[Upstream]:
        """Connections that are not there yet, with what waits for them."""
        return list(self._unready)

    def connections(self) -> list[Upstream]:
        """All of them: lanes, and leases, lent or not."""
        spare = [lease for leases in self._spare.values() for lease in leases]
        return [*self.lanes.values(), *self.stalled, *self.leases, *spare]

    def close(self) -> None:
        """End every connection. None of them is used any more from now on."""
        for upstream in self.connections():
            self._forget(upstream)
            upstream.close()

    def met_wrong_process(self) -> None:
        """A connection that has just been opened goes to another process than the server is. The next one is to another address, where the name has several."""
        self.wrong_processes += 1
        self.plane.ports.wrong_process(self.server)
        if self.leads or self.wrong_processes % MOST_WRONG_PROCESSES == 0:
            self.plane.suspect(self.server, "another process answers at its address")

    def bind(self, process: bytes) -> None:
        """The server is this process now: connections to it are tried at once."""
        self.process = process
        self.wrong_processes = self._failures = 0
        for upstream in self.unready():
            if upstream.stage is Stage.WAITING:
                self.start(upstream)

    # What connections tell.

    def delay(self, upstream: Upstream, pending: Pending) -> None:
        """A pending waits for a connection that is not ready."""
        if upstream.stage is Stage.REFUSED:
            upstream.batch.remove(pending)
            retry.refused(self, pending, upstream.refusal)
            return
        if self.refuses:
            upstream.batch.remove(pending)
            retry.unsent(pending)
            return
        if not pending.since:
            pending.since = self.plane.clock()
        self._unready.add(upstream)
        self.plane.start_ticking()

    def opened(self, upstream: Upstream) -> None:
        """The handshake is through: the connection is ready, or the server refuses this user or database."""
        self._failures = 0
        self.refused = self._given_up = False
        if upstream.process:
            self.wrong_processes = 0
        self._unready.discard(upstream)
        waiters, upstream.waiters = upstream.waiters, []
        try:
            self._begin(upstream)
        finally:
            retry.tell(self.plane, waiters)
        if upstream.owner is not None:
            upstream.owner.release(LEASE)
            if upstream.owner.choked and upstream.transport is not None:
                upstream.transport.pause_reading()

    def _begin(self, upstream: Upstream) -> None:
        """Send what has waited for a connection, or refuse it as the server did."""
        if upstream.ready:
            if upstream.anonymous:
                retry.refuse_large(upstream)
            if not self.leads and self.plane.stamping:
                retry.move_stale(upstream)
            upstream.flush()
            if self.lanes.get(upstream.key) is upstream:
                self._retire_later(upstream)
        else:
            upstream.ended = True  # a server that closes it says no more than it has said
            batch, upstream.batch = upstream.batch, []
            if upstream.owner is not None:
                upstream.owner.lease_lost(upstream)
            retry.each(self.plane, batch, lambda pending: retry.refused(self, pending, upstream.refusal))
            if self.lanes.get(upstream.key) is upstream:
                users.refused(upstream)
            self.plane.later(0 if upstream.refusal.startswith(_PASSING) else REFUSAL_KEPT, upstream.close)

    def dial_failed(self, upstream: Upstream, reason: str, refused: bool = False) -> None:
        """No connection could be had, and it waits for its turn. What waits with it goes elsewhere if it may, or waits for the next attempt. Without a
        `reason` it failed for want of something on this side, and the server is not doubted. `refused`: nobody listens there.
        """
        self._failures += 1
        self.refused = refused
        self._failed = self.plane.clock()
        self.plane.tallies.count_of_server(self.index, CONNECT_ERRORS)
        if reason:
            self.plane.suspect(self.server, reason)
        if upstream.owner is None and not self.leads:
            retry.move_reads(upstream, 0.0)
        if upstream.batch or upstream.waiters:
            self.start(upstream)
        else:
            self._drop(upstream)

    def lost(self, upstream: Upstream, begun: bool) -> None:
        """A connection has ended. `begun`: in the middle of a reply."""
        sent = upstream.abandon()
        # a lease that was lent again, and that its server has closed before anything was sent
        unused = upstream.unused and bool(upstream.batch) and not upstream.ended
        try:
            if not upstream.ended:
                idle = not (sent or upstream.batch or upstream.waiters)
                self.plane.suspect(self.server, "" if upstream.blameless else IDLE_CLOSED if idle else "connection lost")
            if not unused:
                self.writing.discard(upstream)
                if upstream.owner is not None:
                    upstream.owner.lease_lost(upstream)
        finally:
            self._settle(sent, begun)
        is_lane = self.lanes.get(upstream.key) is upstream
        if unused or ((upstream.batch or upstream.waiters) and is_lane and not upstream.ended):
            now = self.plane.clock()
            for pending in upstream.batch:
                pending.since = pending.since or now
            upstream.become(Stage.WAITING)
            self._unready.add(upstream)
            if not self.leads:
                retry.move_reads(upstream, 0.0)
            self.start(upstream)
            return
        if upstream.stage is Stage.CLOSED:
            return
        self._drop(upstream)
        retry.forget(upstream)
        if is_lane and not upstream.ended:
            users.lost(upstream)

    def bury(self, upstream: Upstream, begun: bool) -> None:
        """A connection is closed because rproxy itself has gone wrong over it: it is forgotten, and what was on it is settled. Nothing is raised."""
        sent = upstream.abandon()
        self.plane.try_to(lambda: self._forget(upstream))
        if upstream.owner is not None:
            self.plane.try_to(partial(upstream.owner.lease_lost, upstream))
        self._settle(sent, begun)
        self.plane.try_to(lambda: retry.forget(upstream))

    def _settle(self, sent: list[Pending], begun: bool) -> None:
        """These were sent over a connection that has ended, `begun`: in the middle of the reply to the first."""
        retry.each(self.plane, sent[:1], lambda pending: retry.lost(self, pending, begun))
        retry.each(self.plane, sent[1:], lambda pending: retry.lost(self, pending, False))

    def closed(self, upstream: Upstream) -> None:
        """A connection that never was, or a refused one, has been closed from this side."""
        self._forget(upstream)
        retry.forget(upstream)

    def distrust(self, upstream: Upstream, reason: str) -> None:
        """A connection is about to be closed because of what came over it. It tells of the server what many share, not what one client has for itself."""
        upstream.blameless = self.lanes.get(upstream.key) is not upstream and upstream not in self.stalled
        self.plane.notice(f"{self.server.name}: connection closed: {reason}")

    def tick(self, now: float) -> bool:
        """Look after what waits; True while anything does."""
        for upstream in list(self._unready):
            try:
                self._expire(upstream, now)
            except Exception as problem:
                upstream.fault(problem)
        silent = False
        waiting: list[Upstream] = []
        overdue: list[Upstream] = []
        for lane in [*self.lanes.values(), *self.stalled, *self.leases]:
            if not lane.fifo or (lane.owner is not None and lane.owner.state in (State.BLOCKED, State.ATTACHED)):
                lane.silent = 0
                if lane in self.stalled and not lane.batch and not detour.taken_back(self, lane):
                    self._forget(lane)
                    lane.close()
                continue
            waiting.append(lane)
            heard = lane.received != lane.seen or (lane.transport is not None and lane.transport.paused())
            lane.silent = 0 if heard else lane.silent + 1
            lane.seen = lane.received
            if lane.silent * self.plane.TICK >= self.plane.options.budget:
                overdue.append(lane)
            if lane.owner is None:
                silent = silent or lane.silent >= SILENT_TICKS
        if overdue and self.dials:
            self.plane.connection_checks.look(self, overdue, now)
        if silent is not self.silent:
            self.silent = silent
            self.plane.refresh()
        for lane in waiting:
            try:
                if not self._mind(lane):
                    break  # every connection has been closed
            except Exception as problem:
                lane.fault(problem)
        return bool(waiting or self._unready or self.stalled)

    def _mind(self, upstream: Upstream) -> bool:
        """Do what silence asks for: send others elsewhere, read elsewhere, and end what has taken longer than a command may. False where all has ended."""
        if upstream.silent == 1 and self.leads and self.lanes.get(upstream.key) is upstream:
            detour.set_aside(self, upstream)
        patience = DOUBTFUL_TICKS if self.leads and self.plane.leaderless else SILENT_TICKS
        if upstream.silent * self.plane.TICK >= self.plane.options.budget and self._is_gone(upstream):
            self._vanish()
            return False
        if upstream.silent >= patience and upstream.owner is None and retry.may_leave(upstream):
            retry.rescue(upstream)
        longest = self.plane.options.command
        if longest and upstream.silent * self.plane.TICK >= longest:
            self.distrust(upstream, f"no byte for timeouts.command, {longest:g} s")
            upstream.abort()
        return True

    # Its own.

    def _is_gone(self, upstream: Upstream) -> bool:
        """Whether the server's host has acknowledged nothing for the budget: it has vanished from the network. A server that is only busy or stopped has a
        kernel that goes on acknowledging.
        """
        transport = upstream.transport
        return transport is not None and self.plane.ports.unheard(transport.transport) >= self.plane.options.budget

    def _vanish(self) -> None:
        """The server's host has vanished, as one connection proves: what waits on any of them, also for something to happen, is told now."""
        self.plane.notice(f"{self.server.name}: its host acknowledges nothing, so every connection to it is closed")
        for upstream in self.connections():
            upstream.abort()

    def _redial(self, upstream: Upstream) -> None:
        if upstream.stage is not Stage.WAITING:
            return  # connected meanwhile, or closed
        if upstream.batch or upstream.waiters:
            upstream.dial()
        else:
            self._drop(upstream)

    def _drop(self, upstream: Upstream) -> None:
        upstream.become(Stage.CLOSED)
        self._forget(upstream)

    def _forget(self, upstream: Upstream) -> None:
        self.leases.discard(upstream)
        self.writing.discard(upstream)
        self._unready.discard(upstream)
        self.stalled.discard(upstream)
        if self.lanes.get(upstream.key) is upstream:
            del self.lanes[upstream.key]
        spare = self._spare.get(upstream.key)
        if spare and upstream in spare:
            spare.remove(upstream)
            if not spare:
                del self._spare[upstream.key]
        places.count(self)

    def _retire_later(self, upstream: Upstream) -> None:
        """Look after the idle time whether it is still of use. One look is on its way at most."""
        if not upstream.retiring:
            upstream.retiring = True
            received = upstream.received
            self.plane.later(self.plane.options.idle_lane, lambda: self._retire(upstream, received))

    def _retire(self, upstream: Upstream, received: int) -> None:
        """Close a connection over which nothing has come since `received` was counted; else look again later."""
        upstream.retiring = False
        if not upstream.ready or upstream.owner is not None:
            return
        needed = self.lanes.get(upstream.key) is upstream and upstream.key.user is not None and upstream.key.sessions
        if upstream.received == received and not upstream.fifo and not upstream.batch and not needed:
            self._forget(upstream)
            upstream.close()
        else:
            self._retire_later(upstream)

    def _expire(self, upstream: Upstream, now: float) -> None:
        """Answer what has waited for the budget, and send reads elsewhere that have waited for a leader."""
        if upstream.ready or not (upstream.batch or upstream.waiters):
            self._unready.discard(upstream)
            return
        if self.leads and upstream.owner is None:
            retry.move_reads(upstream, now - self.plane.LEADERLESS_WAIT)
        retry.expire(upstream, now + self.plane.TICK - self.plane.options.budget)
