"""One upstream connection: its FIFO of pendings, its batch. Lanes and leases are both this.

`pool` makes it and hears of its end, `session` gives it pendings, the event loop its bytes. It pairs replies with requests and must never guess: a
connection whose count of replies is in doubt is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy.dataplane import blocking, cursors, detour, processes, resp, retry
from rproxy.dataplane.commands import Effect
from rproxy.dataplane.handshake import Handshake, LaneKey
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import LEASE, SCRIPT, STAGES, RefusedTransition, Stage
from rproxy.dataplane.watch import BIG_REPLY

if TYPE_CHECKING:
    from rproxy.dataplane.attached import Attachment
    from rproxy.dataplane.outlet import Outlet
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.ports import Transport
    from rproxy.dataplane.session import Session


# C integers when compiled (upstream.pxd): a name of another module costs a look-up for each reply.
_BROKEN, _ERROR, _PUSH = resp.BROKEN, resp.ERROR, resp.PUSH
_BIG_REPLY = BIG_REPLY
_SCRIPT = SCRIPT
_LONG_REPLY = detour.LONG_REPLY
_DIVERTED = (
    b"-LOADING", b"-MASTERDOWN", b"-READONLY", b"-NOAUTH", b"-NOPERM", b"-WRONGPASS", b"-NOSCRIPT", b"-BUSY ", b"-ERR unknown ", b"-ERR Function not found",
)  # fmt: skip
"""Replies by which a replica says that it did not run a read (`processCommand`, server.c): the leader is asked instead."""
_READONLY = (b"-READONLY",)
_MOST_HELD = 4096  # bytes of an error that are kept to see whether it says that the command was not run
_TROUBLE = (b"-LOADING", b"-MASTERDOWN")
"""Replies that say that the server is not fit to be read."""


def _not_run(pending: Pending) -> tuple[bytes, ...]:
    """How the errors begin by which a server says that it has not run this request."""
    if pending.read:
        return _DIVERTED
    return blocking.NOT_RUN if pending.effect == Effect.BLOCKING else _READONLY


class WrongConnection(Exception):
    """A request was given to a connection of another user, database or protocol version: a fault of rproxy's own, checked always."""


class Upstream:
    """A connection to `pool.server` for `key`; shared (a lane), or lent to `owner` (a lease).

    `received` counts pieces of bytes: where it stands still while `fifo` is not empty, the server is silent. `attachment`: what the
    owner has on it while it is attached. `ended`: it is closed from this side. `blameless`: it is closed for what tells nothing of
    its server. `spoiled`: a client has changed its state, so that it can't be lent again. `unused`: it is lent again, and nothing has been sent since.
    `process` is the run id of the process at its other end, empty while that is not known, and `run` the same for `cursors`; `wrong_process`: that is another
    process than its server is.
    """

    __slots__ = (
        "pool", "key", "base", "owner", "ready", "stage", "transport", "batch", "fifo", "_first",
        "received", "_came", "_passed", "seen", "silent", "choked", "ended", "blameless", "spoiled", "retiring", "unused", "_dialled",
        "attachment", "run", "process", "wrong_process",
        "hello", "anonymous", "refusal", "waiters", "_framer", "_handshake", "_held", "_dial", "__weakref__",
    )  # fmt: skip

    def __init__(self, pool: Pool, key: LaneKey, owner: Session | None) -> None:
        self.pool = pool
        self.key = key
        self.base = key.base
        self.owner = owner
        self.ready = False
        self.stage = Stage.WAITING
        self.transport: Outlet | None = None
        self.batch: list[Pending] = []
        self.fifo: list[Pending] = []
        self._first = self._came = self._passed = self.received = self.seen = self.silent = 0
        self.choked = False
        self.ended = self.blameless = False
        self.spoiled = False
        self.retiring = False
        self.unused = False
        self.attachment: Attachment | None = None
        self.run = 0
        self.process: bytes = b""
        self.wrong_process = False
        self.hello: bytes = b""
        self.anonymous = False
        self.refusal: bytes = b""
        self.waiters: list[tuple[float, Callable[[], None]]] = []
        self._framer = resp.ReplyFramer()
        self._handshake: Handshake | None = None
        self._held: bytes = b""
        self._dial: object = None
        self._dialled = 0.0

    def become(self, stage: Stage) -> None:
        """The one place where the stage changes. Raises RefusedTransition; whoever drives the connection hands that to `fault`."""
        if stage not in STAGES[self.stage]:
            raise RefusedTransition(f"{self.stage.name} to {stage.name}")
        self.stage = stage
        self.ready = stage is Stage.READY

    def serve(self, key: LaneKey) -> None:
        """The server has confirmed on this leased connection that it is of this key now. It is lent to nobody else."""
        self.key = key
        self.base = key.base
        self.spoiled = True

    # What sessions and the pool ask of it.

    def send(self, pending: Pending) -> None:
        """Queue a request; it leaves at the end of the loop pass, or when the connection is ready. Raises WrongConnection for one of another key."""
        if pending.key is not self.base:
            raise WrongConnection(f"a request of {pending.key} for a connection of {self.key}")
        self.batch.append(pending)
        if not self.ready:
            self.pool.delay(self, pending)
        elif len(self.batch) == 1:
            self.pool.plane.loop_pass.collect(self)

    def flush(self) -> None:
        """Write the batch in one piece. What nobody waits for any more is dropped, never sent."""
        if not self.ready or not self.batch:
            return
        batch = self.batch
        if len(batch) == 1 and batch[0].session is not None:
            data = batch[0].request
        else:
            batch = [pending for pending in batch if pending.session is not None]
            data = b"".join([pending.request for pending in batch])
        self.batch = []  # not before there are bytes to send: without memory for them, the batch is settled as lost
        if not batch:
            return
        if self.fifo:
            self.fifo.extend(batch)
        else:
            self.fifo = batch
        now = self.pool.plane.now()
        for pending in batch:
            pending.left_at = now
            if not pending.read and not pending.resend:
                pending.request = b""
        self._write(data)

    def write(self, data: bytes) -> None:
        """Write bytes of a command under way, behind the batch. Only while `ready`."""
        self.flush()
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self.transport is None:
            raise RefusedTransition(f"{self.stage.name} and bytes to send")
        self.pool.plane.traffic.to_servers += len(data)
        self.unused = False
        self.transport.write(data)

    def dial(self) -> None:
        """Connect."""
        try:
            self.become(Stage.DIALING)
            self._framer = resp.ReplyFramer()
            self._held = b""
            self.run = 0
            self.process = b""
            self.ended = self.blameless = self.wrong_process = False
            self._dialled = self.pool.plane.clock()
            self._dial = self.pool.plane.dial(self.pool.server, self)
        except Exception as problem:
            self.fault(problem)

    def has_dialled_since(self, before: float) -> bool:
        """Whether an attempt to connect is under way that began before this time of the plane's clock."""
        return self.stage in (Stage.DIALING, Stage.OPENING) and self._dialled <= before

    def close(self) -> None:
        """End it, whatever is on it. `connection_lost` follows where it was connected."""
        self.ended = True
        if self.transport is not None:
            self.transport.abort()
        elif self.stage is not Stage.CLOSED:
            try:
                self._hang_up()
                self.become(Stage.CLOSED)
                self.pool.closed(self)
            except Exception as problem:
                self.fault(problem)

    def _hang_up(self) -> None:
        dial, self._dial = self._dial, None
        if dial is not None:
            self.pool.plane.hang_up(dial)

    def fault(self, problem: Exception) -> None:
        """Something is wrong in rproxy itself that concerns this connection: it is closed, what is on it fails or goes elsewhere by the usual rules, and
        nothing is raised, so that the caller serves the others.
        """
        self.blameless = True
        transport = self.transport
        if transport is not None and self.pool.plane.try_to(transport.abort):
            self.pool.plane.fault(problem)
            return  # `connection_lost` settles the rest
        self.transport = None
        self.pool.plane.fault(problem)
        self.pool.plane.try_to(self._hang_up)
        self.stage = Stage.CLOSED
        self.ready = False
        self.pool.bury(self, self.begun())

    # What the event loop tells.

    def connection_made(self, transport: Transport) -> None:
        """The dialer has connected."""
        try:
            self.become(Stage.OPENING)
        except RefusedTransition as problem:
            transport.abort()
            self.fault(problem)
            return
        try:
            self._dial = None
            self.transport = self.pool.plane.outlet(transport, self)
            handshake = Handshake(self.pool.server, self.key, asks=bool(self.pool.process))
            self._handshake = handshake
            self.pool.plane.later(self.pool.plane.options.connect, lambda: self._give_up(handshake))
            self._write(handshake.request)
        except Exception as problem:
            self.fault(problem)

    def dial_failed(self, reason: str, refused: bool = False) -> None:
        """The dialer could not connect. `refused`: nobody listens at the address, as its host says."""
        try:
            self._dial = None
            self.become(Stage.WAITING)
            self.pool.dial_failed(self, reason, refused)
        except Exception as problem:
            self.fault(problem)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, by whichever side."""
        try:
            if self.transport is not None:
                self.transport.ended()
            self.transport = None
            if self.stage is Stage.CLOSED:
                return
            opening = self.stage is Stage.OPENING
            self.pool.heard_until(self.heard())
            self.become(Stage.LOST)
            if opening and not self.ended:
                self.become(Stage.WAITING)
                self.pool.dial_failed(self, "" if self.wrong_process else "closed during the handshake")
            else:
                self.pool.lost(self, self.begun())
        except Exception as problem:
            self.fault(problem)

    def heard(self) -> int:
        """When the server answered something last over this connection, in nanoseconds; 0 where it has not got through its handshake."""
        return self._came if self.ready else 0

    def begun(self) -> bool:
        """Whether part of a reply has come, and gone on to a client."""
        return self._framer.within() and not self._held and self._framer.kind != _PUSH

    def eof_received(self) -> bool:
        """The server sends no more: the connection is of no use."""
        return False

    def pause_writing(self) -> None:
        """The server does not take what is sent."""
        self.choked = True

    def resume_writing(self) -> None:
        """The server takes bytes again."""
        self.choked = False
        if self.owner is not None:
            self.owner.release(LEASE)

    def data_received(self, data: bytes) -> None:
        """Pair replies with pendings, in order."""
        try:
            self._take(data)
        except Exception as problem:
            self.fault(problem)

    def _take(self, data: bytes) -> None:
        self.pool.plane.traffic.from_servers += len(data)
        self.received += 1
        self._came = self.pool.plane.now()  # whatever is in `data` has been run by then
        if not self.ready and self.stage is Stage.REFUSED:
            return
        if self.attachment is not None and self.ready:
            self.attachment.came(self, data)
            return
        if self._held:
            data = self._held + data
            self._held = b""
            self._framer = resp.ReplyFramer()
        pos = 0
        if not self.ready:
            pos = self._open(data)
        while 0 <= pos < len(data):
            pos = self._answer(data, pos)
        self.pool.times.settle()

    def _answer(self, data: bytes, pos: int) -> int:
        """Give the pending at the head what `data` holds of its replies; the position after it, or a negative one when the connection is done for."""
        if not self.fifo:
            return self._unasked(data, pos)
        framer = self._framer
        pending = self.fifo[self._first]
        begins = not framer.within()
        start = pos
        left = pending.left
        while left and pos < len(data):
            stop = framer.scan(data, pos)
            if stop == _BROKEN:
                self.distrust(f"a reply that cannot be understood: {framer.problem.decode()}")
                return -1
            if framer.kind == _ERROR:
                if pending.resend or (pending.read and not self.pool.leads):
                    if stop < 0 and (begins or pos > start) and self._may_be_refused(pending, data, pos):
                        self._held = data[pos:]
                        stop = pos
                        self._give(pending, data, start, stop, pending.left - left, begins)
                        return len(data)
                    if stop >= 0 and (begins or pos > start) and data.startswith(_not_run(pending), pos):
                        self._give(pending, data, start, pos, pending.left - left, begins)
                        return self._refused(pending, data, pos, stop)
                if begins or pos > start:
                    retry.erred(self.pool, pending, data, pos)
            elif framer.kind == _PUSH:
                self._give(pending, data, start, pos, pending.left - left, begins)
                return len(data) if stop < 0 else stop
            if stop < 0:
                self._pass_by(len(data) - pos, begins or pos > start)
                pos = len(data)
                break
            pos = stop
            left -= 1
        self._give(pending, data, start, pos, pending.left - left, begins)
        return pos

    def _may_be_refused(self, pending: Pending, data: bytes, pos: int) -> bool:
        """Whether the error that begins at `data[pos]`, and has not come whole, may say that the command was not run. It is kept until it is whole then, unless
        it is longer than any server's own.
        """
        have = len(data) - pos
        if have > _MOST_HELD:
            return False
        head = data[pos : pos + 32]
        return any(head.startswith(code) or code.startswith(head) for code in _not_run(pending))

    def _give(self, pending: Pending, data: bytes, start: int, stop: int, replies: int, begins: bool) -> None:
        """Hand `data[start:stop]`, in which `replies` replies end, to the pending's session. A fault in that ends this session alone."""
        try:
            self._hand_over(pending, data, start, stop, replies, begins)
        except Exception as problem:
            self.pool.plane.end_session(pending.session, problem)

    def _hand_over(self, pending: Pending, data: bytes, start: int, stop: int, replies: int, begins: bool) -> None:
        pending.left -= replies
        if pending.left == 0:
            self._advance()
            if pending.left_at and (not pending.effect or pending.effect == _SCRIPT):
                spent = self._came - pending.left_at
                self.pool.times.took(pending.read, spent, pending.count)
                if spent >= self.pool.plane.watch.slow:
                    self.pool.plane.watch.took_long(self.pool, pending, spent, stop - start)
        plane = self.pool.plane
        if pending.slots is not None:
            plane.stamp_at(pending.slots, self._came)  # before a byte of the reply goes on
        session = pending.session
        if session is not None and start < stop:
            if pending.read and stop - start >= _BIG_REPLY:
                plane.watch.big(pending, stop - start)
            text = data
            session.deliver(pending, data if stop - start == len(data) else text[start:stop], replies, begins)

    def _pass_by(self, size: int, begins: bool) -> None:
        """`size` bytes of a reply have come that goes on: where it is a long one, nobody else is to wait behind it."""
        self._passed = size if begins else self._passed + size
        if self._passed + self._framer.announced() >= _LONG_REPLY and self.pool.lanes.get(self.key) is self:
            detour.set_aside(self.pool, self)

    def _advance(self) -> None:
        """The first pending has all its replies. The list is shortened now and then, not for each."""
        self._first += 1
        if self._first == len(self.fifo) or self._first > 1024:
            del self.fifo[: self._first]
            self._first = 0

    def head(self) -> Pending | None:
        """The pending whose reply comes next."""
        return self.fifo[self._first] if self.fifo else None

    def answered(self, pending: Pending, piece: bytes, replies: int, begins: bool) -> None:
        """Hand the first pending, an attached client's, a piece of its replies, in which so many end. It may be empty."""
        pending.left -= replies
        if pending.left == 0:
            self._advance()
        if pending.slots is not None:
            self.pool.plane.stamp(pending.slots)
        if begins and piece.startswith(b"-"):
            retry.erred(self.pool, pending, piece, 0)
        if pending.session is not None:
            pending.session.deliver(pending, piece, replies, begins)

    def fifo_now(self) -> list[Pending]:
        """The pendings that wait for replies, in order."""
        return self.fifo[self._first :]

    def replace_fifo(self, fifo: list[Pending]) -> None:
        """Let these wait for the same replies, each command for its own."""
        self.fifo = fifo
        self._first = 0

    def under_way(self) -> int:
        """How many pendings wait here."""
        return len(self.fifo) - self._first + len(self.batch)

    def oldest_write(self) -> int:
        """When the oldest write of slots that waits here was sent; 0 where there is none."""
        waiting = [pending for pending in self.batch if pending.session is not None]  # the others will never be sent
        return next((pending.sent for pending in [*self.fifo_now(), *waiting] if pending.sent), 0)

    def owes(self) -> bool:
        """Whether somebody waits for a reply to what was sent."""
        return any(pending.session is not None for pending in self.fifo_now())

    def abandon(self) -> list[Pending]:
        """The pendings whose replies have not come whole; none is waited for any more."""
        sent = self.fifo_now()
        self.fifo = []
        self._first = 0
        return sent

    def _refused(self, pending: Pending, data: bytes, pos: int, stop: int) -> int:
        """The server did not run the command to which `data[pos:stop]` is the reply: it goes elsewhere, if it may. The position to go on at."""
        if not pending.read:
            if pending.left == 1 and retry.demoted(self, pending, data[pos:stop]):
                self._advance()
            else:
                self._give(pending, data, pos, stop, 1, True)
            return stop
        if pending.left > 1:
            self.fifo[self._first] = Pending(None, pending.left - 1, b"", False)
        else:
            self._advance()
        if pending.session is not None:
            retry.divert(self.pool, pending, trouble=pending.vouched and data.startswith(_TROUBLE, pos))
        return stop

    def _unasked(self, data: bytes, pos: int) -> int:
        """Bytes that nothing waits for: pushes are dropped, anything else is the server's last word before it closes."""
        stop = self._framer.scan(data, pos)
        if self._framer.kind == _PUSH and stop != _BROKEN:
            return len(data) if stop < 0 else stop
        text = data[pos : pos + 80].decode("utf-8", "replace").strip()
        self.distrust(f"bytes that nothing asked for: {text}")
        return -1

    def _open(self, data: bytes) -> int:
        """Give the handshake its replies; the position after them, or a negative one while it goes on or has failed."""
        handshake = self._handshake
        assert handshake is not None
        pos = 0
        while pos < len(data) and not handshake.done:
            stop = self._framer.scan(data, pos)
            if stop == _BROKEN or len(data) - pos > 1024 * 1024:
                self.distrust("a handshake that cannot be understood")
                return -1
            if stop < 0:
                self._held = data[pos:]
                return -1
            if self._framer.kind != _PUSH:
                handshake.take(data[pos:stop])
            pos = stop
        if not handshake.done:
            return -1
        self._handshake = None
        if handshake.failure:
            self.distrust(handshake.failure)
            return -1
        self.hello = handshake.hello
        self.anonymous = handshake.anonymous
        self.process = handshake.run_id
        self.run = cursors.tag_of(handshake.run_id)
        self.refusal = handshake.refusal
        if self.refusal.startswith(b"-WRONGPASS"):
            self.key.login.refused(self.pool.server)
        if processes.is_wrong(self):
            self.wrong_process = True
            self.pool.met_wrong_process()
            self.abort()
            return -1
        if self.pool.leads and self.key.login is self.pool.plane.keys.own:
            self.pool.plane.strangers.heard(not self.anonymous and self.refusal[:7] != b"-NOAUTH")
        self.become(Stage.REFUSED if self.refusal else Stage.READY)
        self.pool.opened(self)
        return pos if self.ready else -1

    def _give_up(self, handshake: Handshake) -> None:
        """The server has connected and does not answer."""
        if self._handshake is handshake and self.transport is not None:
            self.transport.abort()

    def abort(self) -> None:
        """Close a connection that can't be trusted any more; `connection_lost` follows."""
        if self.transport is not None:
            self.transport.abort()

    def discard(self) -> None:
        """Close a connection that is of no use, which tells nothing of its server; what waits on it goes elsewhere, or fails, by the usual rules."""
        self.blameless = True
        self.abort()

    def lend(self, owner: Session) -> None:
        """It has been given back, and is another session's now."""
        self.owner = owner
        self.unused = True

    def distrust(self, reason: str) -> None:
        """Close a connection that can't be trusted any more."""
        self.pool.distrust(self, reason)
        self.abort()
