"""One client: its state machine, its FIFO, its output.

The event loop gives it the client's bytes, `upstream` gives it replies. It finds commands, makes runs of them, keeps the client's order, and
holds what must wait. What states other than `SHARED` mean is in `leased`, what rproxy answers by itself in `local`. It must never show one client
another's reply, and never let a command out of a broken transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import codes, dispatch, leased, lists, local, order, policies, resp, users
from rproxy.dataplane.affinity import Affinity
from rproxy.dataplane.backlog import Backlog
from rproxy.dataplane.clients import Profile
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.run import Run
from rproxy.dataplane.states import (
    ASK,
    ASKED,
    FLIGHT,
    MOST_BYTES,
    MOST_COMMANDS,
    OUTPUT,
    OVER,
    OWN,
    STEP,
    TRANSITIONS,
    RefusedTransition,
    State,
)
from rproxy.dataplane.tallies import CLOSED_OUTPUT

if TYPE_CHECKING:
    from rproxy.dataplane.attached import Attachment
    from rproxy.dataplane.commands import CommandTable
    from rproxy.dataplane.handshake import LaneKey
    from rproxy.dataplane.outlet import Outlet
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.ports import Transport
    from rproxy.dataplane.upstream import Upstream

STRANGERS_OUTPUT = 1024 * 1024
"""Bytes that are held for a client that has to prove who it is and has not: of its replies, and as many of what it has sent."""

# C integers when compiled (session.pxd), hence not to be imported from elsewhere.
_MORE, _BROKEN = resp.MORE, resp.BROKEN
_FLIGHT, _MOST_COMMANDS, _MOST_BYTES = FLIGHT, MOST_COMMANDS, MOST_BYTES
_LARGE = 256 * 1024  # bytes from which on a command is streamed on a lease, not kept and sent on a lane
_MOST_JOINED = 64 * 1024  # bytes of output held above which pieces are not copied together
_MOST_AHEAD = 8 * 1024 * 1024  # bytes of replies that may be on their way to a client: as many as 10 Gbit/s bring in 6 ms
_NOTEWORTHY = 16 * 1024  # bytes of one piece of a reply, or of several, from which on their size is learned
_SMALL = 4 * 1024  # mean bytes of replies below which their number alone bounds what is in flight
_FIRST_FLIGHT = 512  # commands in flight of a client of whose replies nothing is known, or that is slow to take them; doubled while they are small


class Session:
    """One client's connection and what it has here.

    `fifo` are its pendings in the client's order; `out` replies to be written at the end of the loop pass; `held` counts reply bytes not yet written.
    `multi`, `watching`: it has said MULTI, WATCH; `begun`, `watched`: its server has said OK to that; `watch_lost`: what it watched was lost with the lease.
    `fresh`, `strict`: what its reads want. `names`: what the `policy` lets it ask for. `away` counts its pendings that replicas have; `asked` has the bits
    of the slots that its reads look at; `looked_at`: those of the first `looked` of the FIFO. `holding`, `queued`: slots that its lease may write. `ties`:
    lanes that are not the usual ones, by pool, on which it has requests under way: until all are answered, what it sends to that server follows them there.

    Backpressure: a client is closed where more than `most_held` bytes wait for it that can't be asked for again. `most_ahead` bytes of replies may be on
    their way, which is `most_inflight` commands by the size of its replies so far (`reply_size`, 0 while they are small); `growing` bytes of the reply to
    come are there. `stopped` is a shared connection that is not read while this client does not take the reply that it brings.
    """

    __slots__ = (
        "plane", "id", "key", "state", "shared", "transport", "fifo", "out", "held", "halted", "inflight", "inflight_bytes", "lease", "multi",
        "watching", "selecting", "uploading", "profile", "attachment", "question", "answer_with", "eof", "hung_up", "framer", "tail", "table", "names",
        "backlog", "_awake", "choked", "run", "most_held", "most_ahead", "most_inflight", "reply_size", "growing", "stopped",
        "policy", "fresh", "strict", "away", "asked", "looked", "looked_at", "holding", "queued", "ties",
        "affinity", "begun", "watched", "watch_lost", "chunks", "__weakref__",
    )  # fmt: skip

    def __init__(self, plane: Plane, policy: policies.Policy = policies.OPEN) -> None:
        self.plane: Plane = plane
        self.policy = policy
        self.fresh = self.strict = False
        self.id: int = 0
        self.chunks = 0
        self.key: LaneKey = plane.first_key()
        self.key.enter()
        self.state = State.SHARED
        self.shared = True
        self.transport: Outlet | None = None
        self.fifo: list[Pending] = []
        self.out: list[bytes] = []
        self.held = self.most_held = self.most_ahead = self.halted = self.inflight = self.inflight_bytes = 0
        self.most_inflight = _FIRST_FLIGHT
        self.reply_size = self.growing = 0
        self.stopped: Upstream | None = None
        self.lease: Upstream | None = None
        self.begun = self.watched = self.watch_lost = False
        self.multi = self.watching = self.uploading = self.eof = self.hung_up = self.choked = self._awake = False
        self.selecting = -1
        self.profile: Profile = Profile(plane.clock())
        self.attachment: Attachment | None = None
        self.question: Upstream | None = None
        self.answer_with: local.Answer | None = None
        self.framer = resp.RequestFramer()
        self.tail = bytearray()
        self.backlog = Backlog()
        self.run = Run()
        self.table: CommandTable | policies.Restricted = plane.table
        self.names = plane.table.commands
        policies.adopt(self)
        self.away = self.asked = self.looked = 0
        self.looked_at: set[int] = set()
        self.holding: list[int] = []
        self.queued: list[int] = []
        self.ties: dict[Pool, Upstream] | None = None
        self.affinity: Affinity | None = None

    def use(self, key: LaneKey) -> None:
        """The leader has confirmed that the client is of this key from now on; its lease, if it has one, has moved along with it."""
        if self.lease is not None and self.lease.key is not key:
            self.lease.serve(key)
        last, self.key = self.key, key
        key.enter()
        users.left(self.plane, last)

    def steady_reader(self, bucket: int, need: int) -> Pool:
        """Who answers an unordered read of this bucket of the freshness table: whoever answered the last one, if it may."""
        if self.affinity is None:
            self.affinity = Affinity()
        return self.affinity.reader(self, bucket, need)

    def tie(self, pool: Pool, lane: Upstream) -> None:
        """Let what it sends to this server follow what it has under way on this lane."""
        if self.fifo:
            if self.ties is None:
                self.ties = {}
            self.ties[pool] = lane

    def untie(self, pool: Pool) -> None:
        """Nothing that it has under way at this server has to be followed."""
        if self.ties is not None:
            self.ties.pop(pool, None)

    def is_tied(self, pool: Pool) -> bool:
        """Whether what it sends to this server follows what it has under way there, on a lane that is not the usual one."""
        return self.ties is not None and pool in self.ties

    def enter(self, state: State) -> None:
        """The one place where the state changes. Raises RefusedTransition, and the session is closed for it."""
        if state not in TRANSITIONS[self.state]:
            raise RefusedTransition(f"{self.state.name} to {state.name}")
        self.state = state
        self.shared = state is State.SHARED

    # What the event loop tells.

    def connection_made(self, transport: Transport) -> None:
        """A client has connected."""
        self.transport = self.plane.outlet(transport, self)
        self.id = self.plane.clients.admit(self)
        if not self.id:
            self.transport.write(errors.TOO_MANY_CLIENTS)
        if not self.id or self.plane.draining:
            self.close(at_once=False)
        else:
            self.plane.strangers.meet(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: what it waits for is thrown away, what it has on a server ends with its lease."""
        if self.transport is not None:
            self.transport.ended()
        self.transport = None
        if not self.hung_up:
            self.plane.barriers.leaves(self)
        self._abandon()
        self.plane.clients.leave(self.id)

    def eof_received(self) -> bool:
        """The client sends no more. What it asked for is answered, unless it waits for something to happen, as on a server; under TLS it is closed."""
        self.eof = True
        self.wake()
        return self.transport is not None and self.transport.descriptor >= 0

    def hang_up(self) -> None:
        """The client sends no more than what is still unread, or has gone: where it waits for something to happen, nobody waits any more."""
        if not self.hung_up:
            self.hung_up = True
            self.plane.barriers.leaves(self)
        self.wake()

    def pause_writing(self) -> None:
        """The client does not take its replies."""
        self.choked = True
        self.plane.clients.memory.note(self)
        self.plane.start_ticking()
        self.most_inflight = min(self.most_inflight, _FIRST_FLIGHT)
        self.halt(OUTPUT)
        self.bound_output(self.is_stranger())
        self.backlog.bear(self.most_held, self.transport)
        if self.lease is not None and self.lease.transport is not None:
            self.lease.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client takes replies again."""
        self.choked = False
        if self.lease is not None and self.lease.transport is not None:
            self.lease.transport.resume_reading()
        self._read_on()
        self.release(OUTPUT)

    def data_received(self, data: bytes) -> None:
        """The client's bytes: take the commands in them, or keep them while commands wait."""
        self.plane.traffic.from_clients += len(data)
        self.chunks += 1
        if self.halted or self.backlog.size or self.plane.draining:
            if not self.halted & OVER and not order.leaving(self):
                self.backlog.keep(data, self.transport)
                if self.backlog.size > _NOTEWORTHY:
                    self.plane.clients.memory.note(self)
                    if order.may_wait_for_ever(self):  # it is read as a server would read it, to notice its end
                        self.backlog.bear(self.most_held, self.transport)
                self.wake()
        else:
            self._take(data, 0)

    def halt(self, why: int) -> None:
        """Take no further command until `release(why)`."""
        self.halted |= why

    def release(self, why: int) -> None:
        """This reason to wait has gone; the input is taken up at the end of the loop pass."""
        self.halted &= ~why
        self.wake()

    def resume(self) -> None:
        """Take up the input that was kept."""
        data, start = self.backlog.take()
        if data or self.tail:
            self._take(data, start)
        self.backlog.relax(self.transport)

    def _take(self, data: bytes, pos: int) -> None:
        """Take commands from `data`, from `pos` on, in runs, until it ends or something must wait."""
        plane, framer, run = self.plane, self.framer, self.run
        run.reader = None
        plane.freshness.asked = 0
        stop = pos
        while not self.halted:
            if self.uploading or (self.tail and framer.size > _LARGE):
                pos = leased.upload(self, data, pos)
                if pos < 0 or self.halted or self.uploading:
                    break
            stop = framer.scan(data, pos)
            if stop < 0:
                break
            if self.tail:
                stop += len(self.tail)
                data = bytes(self.tail) + data
                self.tail.clear()
            command = run.named(self.names, data, pos + framer.name_at, pos + framer.name_end)
            if command is not None and command.plain and self.shared and not framer.inline and not plane.barred:
                if not run.join(self, command, data, pos, stop):
                    break
            else:
                run.end(self, data, pos)
                if not dispatch.take_one(self, data, pos, stop, command):
                    break
            pos = stop
        run.end(self, data, pos)
        self._leave(data, pos, stop)

    def _leave(self, data: bytes, pos: int, stop: int) -> None:
        """Keep what could not be taken: the beginning of a command, or commands that must wait."""
        if pos < 0 or pos >= len(data):
            return
        if stop >= 0:  # what has not been scanned
            self.backlog.put_back(data, pos)
        elif stop == _BROKEN:
            self.refuse(self.plane.clients.broke(self.framer.problem))
        else:
            self.tail += data[pos:] if pos else data
            if len(self.tail) > _NOTEWORTHY:
                self.plane.clients.memory.note(self)
            if self.framer.size > _LARGE:
                self._take(b"", 0)

    def track(self, pending: Pending) -> None:
        """Put a pending behind the session's others."""
        self.fifo.append(pending)
        self.inflight += pending.count
        self.inflight_bytes += pending.cost
        if self.inflight >= self.most_inflight or self.inflight_bytes >= _MOST_BYTES:
            self.halted |= _FLIGHT

    def send(
        self,
        pool: Pool,
        data: bytes,
        start: int,
        stop: int,
        count: int,
        reads: bool,
        need: int,
        slots: list[int] | None,
        vouched: bool,
    ) -> None:
        """Send `data[start:stop]`, a run of `count` commands, to one server: reads that need a mark (0: none), or writes of slots (None: of none).

        `vouched`: their errors are the server's own words. One that leads no more proves by -READONLY that it did not run writes.
        """
        text = data
        pending = Pending.__new__(Pending)
        pending.begin(self, count, data if stop - start == len(data) else text[start:stop], reads, 0)
        pending.command = self.run.command
        pending.vouched = vouched
        plane = self.plane
        if reads:
            pending.need = need
            self.asked = (self.asked if self.fifo else 0) | plane.freshness.asked
            if self.fresh and pool is not plane.leader:
                pending.away = True
                self.away += 1
            pool.reads += count
            if plane.leaderless and pool is not plane.leader and (self.strict or (need and not plane.may(pool, need))):
                plane.leaderless_reads += count
                pending.need = 0
        else:
            pending.resend = vouched
            if slots:
                pending.slots = slots
                pending.sent = plane.stamp(slots)
            pool.writes += count
        self.track(pending)
        pool.send(pending)

    # Output.

    def deliver(self, pending: Pending, piece: bytes, replies: int, begins: bool) -> None:
        """`piece` of the pending's replies, in which `replies` of them end; `begins`: it does not go on with a reply begun before."""
        if pending.effect:
            if pending.effect == ASK:
                local.collect(self, pending, piece)
                return
            if pending.effect >= STEP and not (piece := pending.shown(piece)):
                return
            if len(pending.head) < 64:
                pending.head += piece[:64]
        self.inflight -= replies
        if self.reply_size or self.growing or len(piece) >= _NOTEWORTHY:
            self._learn(len(piece), replies)
        if self.held > self.most_held and (begins or (replies and pending.left)):
            self._bound()
            return
        self.held += len(piece)
        if self.fifo[0] is not pending:
            if pending.parts is None:
                pending.parts = [piece]
            else:
                pending.parts.append(piece)
            if self.held > self.most_ahead and not self._awake:
                self.wake()
            return
        self.out.append(piece)
        if pending.left == 0:
            self._advance()
        if not self._awake:
            self.wake()

    def _advance(self) -> None:
        """The first pending is complete: let out what is complete behind it."""
        fifo = self.fifo
        while True:
            pending = lists.take_first(fifo)
            self.inflight_bytes -= pending.cost
            if pending.away:
                self.away -= 1
            if self.looked:
                self.looked -= 1
            if pending.effect:
                leased.settle(self, pending)
            if not fifo:
                self.ties = None
                if not self.shared and self.state is State.BROKEN:
                    leased.settle_broken(self)
                return
            pending = fifo[0]
            if pending.parts is not None:
                self.out += pending.parts
                pending.parts = None
            if pending.left:
                return

    def answer(self, reply: bytes) -> None:
        """A reply of rproxy's own, in its place among the others."""
        if self.attachment is not None and self.attachment.silent:
            return
        codes.said(self, reply)
        if not self.fifo:
            self.emit(reply)
            self._wait_for_output()
            return
        pending = Pending(self, 1, b"", False, OWN)
        pending.left = 0
        pending.parts = [reply]
        self.track(pending)
        self.held += len(reply)
        self._wait_for_output()
        self._bound()

    def push(self, piece: bytes, begins: bool, ends: bool) -> None:
        """A piece of what the server sends by itself, which stands before all replies to come; while it goes on, nothing else goes out."""
        if begins:
            pending = Pending(self, 1, b"", False, OWN)
            self.fifo.insert(0, pending)
            self.inflight += 1
            self.looked += bool(self.looked)
        self.held += len(piece)
        self.out.append(piece)
        if ends:
            self.fifo[0].left = 0
            self._advance()
        self.wake()

    def emit(self, data: bytes) -> None:
        """Bytes for the client, behind all others."""
        self.held += len(data)
        self.out.append(data)
        self.wake()
        self._bound()

    def _wait_for_output(self) -> None:
        """Take no further command while as much is held as may be on its way."""
        if self.held > self.most_ahead:
            self.halted |= _FLIGHT

    def _learn(self, size: int, replies: int) -> None:
        """`size` bytes have come, in which `replies` replies end: as many commands may be in flight as bring `most_ahead` bytes by that."""
        self.growing += size
        mean = self.growing // replies if replies else self.growing
        if mean > self.reply_size:
            self.reply_size = (self.reply_size + mean) // 2
        elif replies:
            self.reply_size -= (self.reply_size - mean) * min(replies, 16) // 16
        if replies:
            self.growing = 0
            if self.reply_size < _SMALL:
                self.reply_size = 0
        self._limit_flight()

    def _limit_flight(self) -> None:
        if self.reply_size:
            self.most_inflight = max(1, min(_MOST_COMMANDS, self.most_ahead // self.reply_size))

    def take_off(self) -> None:
        """As many commands as may be in flight have been answered: it may be more of them, unless their replies are large."""
        if not self.reply_size and not self.choked:
            self.most_inflight = min(_MOST_COMMANDS, 2 * self.most_inflight)

    def is_stranger(self) -> bool:
        """Whether the client has to say who it is and has not."""
        return policies.locked(self) or local.anonymous(self)

    def bound_output(self, stranger: bool) -> None:
        """Set how much may be held for this client: less where it has not proved who it is, though it has to."""
        most = self.plane.options.session_output
        self.most_held = min(most, STRANGERS_OUTPUT) if stranger else most
        self.most_ahead = min(_MOST_AHEAD, self.most_held // 8)
        self._limit_flight()

    def _hold_back(self) -> None:
        """Replies come faster than the client takes them: take back what has not begun to be answered, and stop reading what only it waits for."""
        if not self.shared or not self.fifo or self.halted & (ASKED | OVER):
            return  # what it asks on a lease is not read; what is asked aside must not be overtaken
        if self.choked and self.stopped is None:
            self._stop_reading()
        if self.held > 2 * self.most_ahead:
            taken = self._take_back()
            if taken:
                if self.tail:
                    self.backlog.put_back(bytes(self.tail), 0)
                    self.tail.clear()
                    self.framer = resp.RequestFramer()
                    self.framer.stranger = policies.locked(self)
                self.backlog.put_back(b"".join(reversed(taken)), 0)
                self.halted |= _FLIGHT

    def _take_back(self) -> list[bytes]:
        """The requests of the last reads of the FIFO of whose replies nothing has gone out, the last one first. What comes for them is thrown away."""
        taken: list[bytes] = []
        while self.fifo and self.fifo[-1].read and not self.fifo[-1].effect:
            pending = self.fifo[-1]
            begun = pending is self.fifo[0]
            if not begun and pending.tries:
                break  # its request is not whole any more
            rest = pending.split() if begun else pending
            if rest is not None:
                if begun:
                    self._let_pass(pending, rest)
                else:
                    self.fifo.pop()
                    self.away -= pending.away
                    self.held -= sum(map(len, pending.parts or ()))
                    pending.parts = None
                taken.append(rest.request)
                rest.session = None
                self.inflight -= rest.left
                self.inflight_bytes -= rest.cost
            if begun:
                break
        self.looked = min(self.looked, len(self.fifo))
        return taken

    def _let_pass(self, pending: Pending, rest: Pending) -> None:
        """Where `pending` waits for replies, those behind its first are `rest`'s from now on."""
        for pool in self.plane.all_pools():
            for lane in (*pool.lanes.values(), *pool.stalled):
                fifo = lane.fifo_now()
                if pending in fifo:
                    fifo.insert(fifo.index(pending) + 1, rest)
                    lane.replace_fifo(fifo)
                    return

    def _stop_reading(self) -> None:
        """A long reply comes by a connection that was set aside for it, and nobody else waits there: read it when the client takes more."""
        for pool in self.plane.all_pools():
            for lane in pool.stalled:
                if lane.head() is self.fifo[0] and lane.transport is not None:
                    if all(pending.session is self or pending.session is None for pending in (*lane.fifo_now(), *lane.batch)):
                        self.stopped = lane
                        lane.transport.pause_reading()
                    return

    def _read_on(self) -> None:
        """Read the connection again that was stopped."""
        lane, self.stopped = self.stopped, None
        if lane is not None and lane.transport is not None:
            lane.transport.resume_reading()

    def _bound(self) -> None:
        """Close a client for which too much is held."""
        if self.held > self.most_held:
            self.overflow()

    def overflow(self) -> None:
        """More is held for this client than may be."""
        self.plane.tallies.count(CLOSED_OUTPUT)
        self.plane.notice("a client does not read its replies: closed at limits.session_output")
        self.close()

    def fail(self, pending: Pending, error: bytes, executed: bool) -> None:
        """Answer what is left of a pending with an error. `executed`: it may have been."""
        if not pending.left:
            return  # what attaches a client is answered by `leased.lost`
        if pending.effect or pending.queued:
            error = leased.failure(self, pending, error, executed)
        replies, pending.left = pending.left, 0
        codes.said(self, error, replies)
        self.deliver(pending, error * replies, replies, True)

    def wake(self) -> None:
        """Have `flush` called before the loop pass ends."""
        if not self._awake:
            self._awake = True
            self.plane.loop_pass.wake(self)

    def flush(self) -> None:
        """Write the replies in one piece, then see what can go on."""
        self._awake = False
        if self.transport is None:
            return
        if self.out and not self.choked:
            out, before = self.out, self.held
            if self.held > _MOST_JOINED and len(out) > 1:
                self.held -= sum(map(len, out))
                self.out = []
                self.transport.writelines(out)
            else:
                data = out[0] if len(out) == 1 else b"".join(out)
                self.held -= len(data)
                lists.empty(out)
                self.transport.write(data)
            self.plane.traffic.to_clients += before - self.held
        if self.held > self.most_ahead:
            self.plane.clients.memory.note(self)
            self._hold_back()
        if self.halted or self.eof or self.backlog.size or self.plane.draining:
            order.go_on(self)

    # The end.

    def refuse(self, error: bytes) -> None:
        """Answer in order, then close: nothing that follows is taken."""
        self.answer(error)
        self.backlog.clear()
        self.tail.clear()
        self.halt(OVER)
        self.wake()

    def cut(self) -> None:
        """Close behind the replies that have come, as the end of a server does."""
        if self.out and self.transport is not None and not self.choked:
            self.transport.writelines(self.out)
        self.close(at_once=False)

    def close(self, at_once: bool = True) -> None:
        """Close, at once whatever is in flight, or behind what was written."""
        if self.transport is not None:
            (self.transport.abort if at_once else self.transport.close)()
        self._abandon()

    def _abandon(self) -> None:
        """Wait for nothing any more."""
        self.halted |= OVER
        self._read_on()
        for pending in self.fifo:
            pending.session = None
            pending.parts = None
        self.fifo.clear()
        self.ties = None
        self.away = self.looked = 0
        self.plane.barriers.forget(self)
        leased.let_go(self, lost=True)
        self.backlog.clear()
        self.tail.clear()
        self.out = []
        if self.state is not State.CLOSING:
            self.enter(State.CLOSING)
            users.left(self.plane, self.key)
        for upstream in (self.lease, self.question):
            if upstream is not None:
                upstream.owner = None
                upstream.close()
        self.lease = self.question = self.answer_with = None

    def lease_lost(self, upstream: Upstream) -> None:
        """The lease has ended under this session."""
        if self.lease is upstream:
            leased.lost(self, upstream)
