"""Iterations (SCAN, HSCAN, SSCAN, ZSCAN) that stay on the server which began them, whatever connection continues them.

A cursor means something only to the process that gave it, so the client's cursor says whose it is: the server's index and a tag of its run id stand above
the server's own cursor, below 2^53 in all, so that clients which count in doubles keep it whole. Nothing is remembered: another worker, or rproxy
restarted, goes on where this one stopped. Called by `dispatch` for each step, by `session` with its reply, by `retry` where it has to be sent elsewhere. It
must never give a server a cursor of another process.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import order, resp
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.freshness import HELD
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import STEP
from rproxy.dataplane.touched import slots_of_words

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

OURS = 1 << 52
"""Set in every cursor that says whose it is. Others are the leader's own."""
_TAG_BITS, _CURSOR_BITS = 16, 28
PAUSE = 0.005
"""Seconds between two looks at what a step waits for."""
FORGET = 1.0
"""Seconds after which a server that could not be asked which process it is may be asked again."""
_MOST_MOVES = 2
_UNASKED, _ASKING, _UNKNOWN = 0, -1, -2  # of `Upstream.run`, which is a tag otherwise


def encode(index: int, tag: int, cursor: int) -> int:
    """The client's cursor for a server's; that one itself where it is too large to stand beside whose it is."""
    return OURS | index << _TAG_BITS + _CURSOR_BITS | tag << _CURSOR_BITS | cursor if fits(cursor) else cursor


def decode(cursor: int) -> tuple[int, int, int]:
    """The server's index, the tag and the server's own cursor."""
    own = cursor & (1 << _CURSOR_BITS) - 1
    return (cursor ^ OURS) >> _TAG_BITS + _CURSOR_BITS, cursor >> _CURSOR_BITS & (1 << _TAG_BITS) - 1, own


def fits(cursor: int) -> bool:
    """Whether a server's cursor can be encoded."""
    return cursor >> _CURSOR_BITS == 0


def tag_of(run_id: bytes) -> int:
    """The tag of a run id; 0 where there is none."""
    return int.from_bytes(hashlib.sha256(run_id).digest()[:4], "big") % ((1 << _TAG_BITS) - 1) + 1 if run_id else 0


def is_ours(command: Command, words: list[bytes]) -> bool:
    """Whether this command goes on with an iteration whose cursor says whose it is."""
    return OURS <= _cursor(command, words)[0] < 2 * OURS


def origin(plane: Plane, command: Command, words: list[bytes]) -> Pool | None:
    """The server that began the iteration with which this command goes on, if its cursor says so and it is one of ours."""
    index = decode(_cursor(command, words)[0])[0] if is_ours(command, words) else -1
    return next((pool for pool in plane.pools.values() if pool.index == index), None)


def _cursor(command: Command, words: list[bytes]) -> tuple[int, int]:
    """The cursor and which word it is; -1 for one that is no number, or for another command."""
    at = 1 if command.name == b"SCAN" else 2
    word = words[at] if command.effect == Effect.CURSOR and len(words) > at else b""
    return (int(word) if word.isdigit() and len(word) < 20 else -1), at


def take(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """Take one step of an iteration, which never waits in the input."""
    plane = session.plane
    cursor, at = _cursor(command, words)
    ours = OURS <= cursor < 2 * OURS
    if session.strict or command.kind != Kind.READ or not (ours or (cursor == 0 and plane.topology.replicas)):
        session.send(plane.leader, frame, 0, len(frame), 1, False, 0, None, False)  # no read: nobody else has this cursor
        return True
    index = tag = need = 0
    if session.fresh:
        need = max(map(plane.freshness.need, slots_of_words(command, words)), default=0)
        if ours and need >= HELD:  # a write that has not been acknowledged to anybody is no reason to wait
            need = plane.freshness.newest()
    if ours:
        index, tag, cursor = decode(cursor)
        frame = resp.encode([*words[:at], b"%d" % cursor, *words[at + 1 :]])
    step = Step(session, frame, need, index, tag)
    session.track(step)
    step.go()
    return True


class Step(Pending):
    """One step: it stands in its session's FIFO from the beginning, and is sent when its server is connected, known and fresh enough.

    `index` and `tag` name the server that began the iteration; with `tag` 0 this is its beginning, and any reader may take it. `origin` is what the server's
    cursor gets on its way to the client, 0 for nothing. A step that waits counts as `away`: it keeps writes of its keys back, as reads on replicas do.
    """

    __slots__ = ("index", "tag", "origin", "pool", "until", "waits", "moves", "_head", "_open", "_leads", "_wide")

    def __init__(self, session: Session, request: bytes, need: int, index: int, tag: int) -> None:
        super().__init__(session, 1, request, True, STEP)
        plane = session.plane
        self.need = need
        self.away = session.fresh
        session.away += self.away
        session.asked |= plane.freshness.asked
        self.tries = 1 if tag else 0  # a continuation is not tried elsewhere
        self.index = index
        self.tag = tag
        self.origin = 0
        self.pool: Pool | None = None
        self.until = plane.clock() + plane.options.budget
        self.waits = False
        self.moves = 0
        self._head = b""
        self._open = False
        self._leads = False
        self._wide = False

    def go(self) -> None:
        """Send it, wait on, or give it up."""
        session = self.session
        if session is None:
            return
        plane = session.plane
        pool = self._origin(plane) if self.tag else self._reader(session)
        if pool is None or pool.refuses:
            self._give_up(errors.CURSOR_LOST if self.tag else errors.NO_READER)
            return
        assert self.key is not None
        lane = pool.lane_for(self.key, session)
        if lane.ready and lane.run == _UNASKED:
            _learn(plane, lane)
        known = lane.ready and lane.run not in (_UNASKED, _ASKING)
        if self.tag and (lane.refusal or (known and lane.run != self.tag)):
            self._give_up(errors.CURSOR_LOST)
        elif not self.tag and pool is not plane.leader and (lane.refusal or (known and lane.run == _UNKNOWN)):
            self.moved(plane.leader)
        elif lane.refusal:
            self._give_up(lane.refusal)
        elif known and self._may_answer(plane, pool):
            self._send(session, pool, lane)
        elif plane.clock() >= self.until:
            self._give_up(self._too_late(plane, pool, known))
        else:
            if not lane.ready and not lane.waiters:
                pool.await_ready(lane, _nothing)  # or nobody dials
            if known:
                plane.want_mark(self.need)
            self._wait(plane)

    def _wait(self, plane: Plane) -> None:
        if not self.waits:
            self.waits = True
            plane.later(PAUSE, self._look)

    def _look(self) -> None:
        if self.waits:
            self.waits = False
            self.go()

    def _origin(self, plane: Plane) -> Pool | None:
        """The server that began the iteration, if it is one of ours."""
        return next((pool for pool in plane.pools.values() if pool.index == self.index), None)

    def _reader(self, session: Session) -> Pool:
        """Who begins the iteration: the reader chosen before, while it may; after some moves the leader."""
        plane = session.plane
        if self.moves > _MOST_MOVES:
            return plane.leader
        pool = self.pool
        if pool is None or plane.leaderless or not self._may_answer(plane, pool):
            pool = order.reader(session, self.need) if session.fresh else plane.reader()
            self.pool = pool
        return pool

    def _may_answer(self, plane: Plane, pool: Pool) -> bool:
        """Whether this server may be read, and has what the step must see; without a leader to ask, what it has must do."""
        if pool is plane.leader:
            return True
        if pool not in plane.readers:
            return False
        return not self.need or plane.may(pool, self.need) or plane.for_leader() is not plane.leader

    def _too_late(self, plane: Plane, pool: Pool, known: bool) -> bytes:
        if self.tag:
            return errors.CURSOR_BEHIND if known else errors.CURSOR_LOST
        return plane.no_leader() if pool is plane.leader else errors.NO_READER

    def _send(self, session: Session, pool: Pool, lane: Upstream) -> None:
        plane = session.plane
        away = session.fresh and pool is not plane.leader
        session.away += away - self.away
        self.away = away
        if self.need and pool is not plane.leader and not plane.may(pool, self.need):
            plane.leaderless_reads += 1
        self.origin = encode(pool.index, lane.run, 0) if lane.run > 0 and not self._wide else 0
        self._head = b""
        self._open = not self.origin
        self._leads = pool is plane.leader
        self.waits = False
        pool.reads += 1
        lane.send(self)
        lane.flush()  # what waits in a batch may yet go to another process

    def _give_up(self, error: bytes) -> None:
        self.origin = 0
        self._open = True
        self.waits = False
        if self.session is not None:
            self.session.fail(self, error, executed=False)

    def moved(self, pool: Pool) -> None:
        """Its server does not answer it, and `pool` is proposed: a beginning goes there. A continuation waits for its own server, unless that refused it."""
        session = self.session
        if session is None:
            return
        if self.tag and self.tries > 1:
            self._give_up(errors.CURSOR_LOST)
            return
        self.until = session.plane.clock() + session.plane.options.budget
        self.moves += 1
        self.pool = pool
        self.go()

    def shown(self, piece: bytes) -> bytes:
        """What the client gets of `piece` of the reply: the cursor at its head, once that has come whole, says whose it is."""
        if self._open:
            return piece
        held = self._head + piece
        head = held.split(b"\r\n", 3)  # "*2", "$1", "0", and the elements
        if held.startswith(b"*") and len(head) < 4 and self.left:
            self._head = held
            return b""
        own = int(head[2]) if len(head) == 4 and head[2].isdigit() else 0
        if not fits(own) and not self._leads:
            self._head = held[:32]
            self._swallow()
            return b""
        self._open = True
        if not own or not fits(own):
            return held
        cursor = b"%d" % (self.origin | own)
        return b"%b\r\n$%d\r\n%b\r\n%b" % (head[0], len(cursor), cursor, head[3])

    def _swallow(self) -> None:
        """A replica's cursor is too large: nothing of the reply is shown, and when it has come whole the leader begins the iteration."""
        self._wide = True
        if self.left:
            return
        self.left = 1
        if self.tag:
            self._give_up(errors.CURSOR_LOST)
        elif self.session is not None:
            self.moves = _MOST_MOVES
            self.moved(self.session.plane.leader)


def _nothing() -> None:
    """A connection that is waited for by looking is ready."""


def _learn(plane: Plane, lane: Upstream) -> None:
    """Ask which process the lane's server is. A connection opened after the lane's can't belong to an earlier one, and one process has the address."""
    lane.run = _ASKING
    transport = lane.transport
    question = lane.pool.once(plane.keys.process())

    def come() -> None:
        run = question.run
        answered = question.ready or question.refusal not in (b"", errors.TOO_MANY_CLIENTS)
        question.close()
        if lane.transport is not transport:
            return
        lane.run = run or _UNKNOWN
        if not answered:
            plane.later(FORGET, forget)

    def forget() -> None:
        if lane.transport is transport and lane.run == _UNKNOWN:
            lane.run = _UNASKED

    lane.pool.await_ready(question, come)
