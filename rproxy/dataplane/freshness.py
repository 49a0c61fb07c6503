# cython: boundscheck=False, wraparound=False
"""Stamps and marks: may this replica answer for these keys?

One table of 64-bit times for all workers, in memory that they may share: each writes only its own part, a reader takes the maximum over all. Stamped by
`plane` for each write, asked for each read; the freshness clock sets the marks. It must never let a stamp sink, except where a hold ends, nor grow.

Times are monotonic nanoseconds, the same clock in every process. A slot is a hash of a key without its database; two keys in one slot cost a read on the
leader and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from rproxy.dataplane import octets

SLOTS = 1 << 20
KEYSPACE = SLOTS
"""The slot that stands for every key: of writes whose keys can't be known, and of reads that look at all keys."""
LEADERS = SLOTS + 1
"""The slot of what is asked about the leader itself: no replica is fresh for that, while there is a leader."""
SERVERS = 256
"""A server whose `Server.index` is not below it never has a mark."""
HELD = 1 << 63
"""A stamp later than any mark."""
NEVER = HELD + 1
"""What the slot `LEADERS` needs while there is a leader."""

# C integers when compiled (freshness.pxd), hence not to be imported from elsewhere.
_KEYSPACE, _LEADERS, _HELD, _NEVER, _SERVERS = KEYSPACE, LEADERS, HELD, NEVER, SERVERS
_NEWEST = SLOTS + 2  # the newest stamp of any slot
_HOLDING = SLOTS + 3  # HELD while any slot is held, which a read of all keys must not overlook
_OLDEST = SLOTS + 4  # when the oldest write was sent that has no answer yet, or before that; 0 where there is none
_MISSES = SLOTS + 5  # reads that went to the leader because no replica was fresh for them
_WANTED = SLOTS + 6  # how often somebody needed a later mark than there was
_DROPPED = SLOTS + 7  # by server, when its mark was dropped last
_PROCESSES = (
    _DROPPED + SERVERS
)  # by server, the tag of the only process that this worker reads from; 0 where it reads nothing, or does not know
_CELLS = _PROCESSES + SERVERS  # of one worker
_ONE, _EVERY = 1, (1 << 64) - 1
_ABOUT_TO = 1  # in _OLDEST: a write is about to be sent, and nobody knows when
_FACTOR = 0x9E3779B97F4A7C15  # odd, and 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4)
_MASK = 0xFFFFFFFFFFFFFFFF
_SHIFT = 64 - 20  # the highest bits of a product depend on all bits of what was multiplied


def size(workers: int) -> int:
    """Bytes of the table for so many workers."""
    return 8 * (workers * _CELLS + SERVERS + 3)


def bury(memory: object, worker: int, until: int) -> None:
    """This worker has died. What it held, or sent without an answer, may still be written until then: no replica answers for any key before."""
    cells = memoryview(memory).cast("Q")  # type: ignore[arg-type]
    own = worker * _CELLS
    cells[own + KEYSPACE] = cells[own + _NEWEST] = until  # before the slots: a reader looks at these last
    cells[own : own + SLOTS] = memoryview(bytes(8 * SLOTS)).cast("Q")
    cells[own + _HOLDING] = cells[own + _OLDEST] = cells[own + LEADERS] = 0
    cells[own + _PROCESSES : own + _CELLS] = memoryview(bytes(8 * SERVERS)).cast("Q")


def slot_of(data: bytes, start: int, stop: int) -> int:
    """The slot of the key `data[start:stop]`; the same in every process, compiled or not."""
    # Measured: 100 instructions less for a key of 16 bytes than FNV-1a, which multiplies for each byte.
    text = data
    number = stop - start
    if number < 8:
        last = 0
        for at in range(start, stop):
            last = last << 8 | text[at]
    else:
        for at in range(start, stop - 8, 8):
            number = ((number ^ octets.word(text, at)) * _FACTOR) & _MASK
            number ^= number >> 32
        last = octets.word(text, stop - 8)
    number = ((number ^ last) * _FACTOR) & _MASK
    number = ((number ^ number >> 32) * _FACTOR) & _MASK
    return number >> _SHIFT


def bit(slot: int) -> int:
    """A 64-bit number that shares a bit with those of the same slot, with few others, and with that of all keys."""
    return _EVERY if slot == _KEYSPACE else _ONE << (slot & 63)


class Freshness:
    """The table as one worker sees it. `memory` is a writable buffer of `size(workers)` bytes, zero at first; without it, memory of its own. `asked` has the
    bits of the slots whose need was asked for since somebody cleared it.

    The process of the freshness clock, where it is no worker, reads and marks, and has no part of its own to write.
    """

    __slots__ = ("asked", "_memory", "_cells", "_workers", "_own", "_marks", "_rests", "_holds", "__weakref__")

    def __init__(self, memory: object = None, worker: int = 0, workers: int = 1) -> None:
        self._memory = memoryview(bytearray(size(workers)) if memory is None else memory)  # type: ignore[arg-type]
        self._cells = octets.numbers(self._memory)
        self._workers = workers
        self._own = worker * _CELLS
        self._marks = workers * _CELLS
        self._rests = self._marks + SERVERS
        self._holds: dict[int, int] = {}
        self.asked = 0

    def stamp(self, slots: Iterable[int], now: int) -> None:
        """These slots were written at `now`, or are about to be."""
        own = self._own
        for slot in slots:
            if self._cells[own + slot] < now:
                self._cells[own + slot] = now
        if self._cells[own + _NEWEST] < now:
            self._cells[own + _NEWEST] = now

    def need(self, slot: int) -> int:
        """The time that a replica's mark must be later than, to answer for this slot."""
        self.asked |= bit(slot)
        other = _KEYSPACE
        if slot == _KEYSPACE:
            slot, other = _NEWEST, _HOLDING
        newest = self._cells[self._rests + 1]
        at = 0
        while at < self._marks:
            newest = max(newest, self._cells[at + slot], self._cells[at + other])
            at += _CELLS
        return newest

    def led(self, by_somebody: bool) -> None:
        """Whether there is a leader that can be asked about itself."""
        if self._own < self._marks:
            self._cells[self._own + _LEADERS] = _NEVER if by_somebody else 0

    def newest(self) -> int:
        """When any slot was stamped last, by any worker. Holds are not stamps."""
        beside = self._cells[self._rests + 1]
        newest = beside if beside < _HELD else 0
        at = 0
        while at < self._marks:
            newest = max(newest, self._cells[at + _NEWEST])
            at += _CELLS
        return newest

    def about_to_write(self) -> None:
        """A write will be stamped and then sent: a mark that is found from now on must not be later than that stamp."""
        self._cells[self._own + _OLDEST] = _ABOUT_TO

    def publish_oldest(self, sent: int) -> None:
        """This worker's oldest write without an answer was sent then; 0: there is none."""
        self._cells[self._own + _OLDEST] = sent

    def oldest(self) -> int:
        """No worker's oldest write without an answer was sent before that; 0: there is none."""
        sent = [self._cells[at + _OLDEST] for at in range(0, self._marks, _CELLS)]
        return min(filter(None, sent), default=0)

    def miss(self) -> None:
        """A read went to the leader because no replica was fresh for it."""
        self._cells[self._own + _MISSES] += 1

    def misses(self) -> int:
        """How often any worker said so."""
        return sum(self._cells[at + _MISSES] for at in range(0, self._marks, _CELLS))

    def want(self) -> None:
        """Somebody needs a later mark than there is."""
        self._cells[self._own + _WANTED] += 1

    def wanted(self) -> int:
        """How often any worker said so."""
        return sum(self._cells[at + _WANTED] for at in range(0, self._marks, _CELLS))

    def beside(self, until: int) -> None:
        """Another rproxy writes what it likes, until then; HELD: nobody knows until when. For the one process whose freshness clock this is."""
        self._cells[self._rests + 1] = until

    def accompanied(self) -> bool:
        """Whether another rproxy writes what it likes, and nobody knows until when."""
        return bool(self._cells[self._rests + 1] == _HELD)

    def hear_leader(self, at: int) -> None:
        """The freshness clock has heard the leader at `at`; 0: another one leads, of which it has heard nothing. For the one process whose clock this is."""
        self._cells[self._rests + 2] = at

    def leader_heard(self) -> int:
        """When the freshness clock heard the leader last; 0 where it never did."""
        return self._cells[self._rests + 2]

    def rest(self, rests: bool) -> None:
        """The freshness clock rests until something is stamped, or goes on."""
        self._cells[self._rests] = rests

    def rests(self) -> bool:
        """Whether the freshness clock must be told of the next stamp."""
        return bool(self._cells[self._rests])

    def mark(self, server: int) -> int:
        """The time before which every write that any worker had answered or sent is applied by this server; 0 where that is not known."""
        if server >= _SERVERS:
            return 0
        mark = self._cells[self._marks + server]
        return mark if mark > self.dropped(server) else 0

    def dropped(self, server: int) -> int:
        """When this server's mark was dropped last, by any worker."""
        latest = 0
        at = 0 if server < _SERVERS else self._marks
        while at < self._marks:
            latest = max(latest, self._cells[at + _DROPPED + server])
            at += _CELLS
        return latest

    def set_mark(self, server: int, mark: int) -> None:
        """For the one process whose freshness clock this is. A mark never sinks but to 0, which says that nothing is known."""
        if server < _SERVERS and (not mark or self._cells[self._marks + server] < mark):
            self._cells[self._marks + server] = mark

    def drop(self, server: int, now: int) -> None:
        """A connection to this server was lost at `now`: what was known of it before counts no more, in any worker."""
        if server < _SERVERS:
            self._cells[self._own + _DROPPED + server] = now

    def bind(self, server: int, process: int, now: int) -> None:
        """From now on this worker reads from no other process of this server than that (`processes.tag_of`). Its mark counts no more, in any worker."""
        if server < _SERVERS and self._own < self._marks:
            self._cells[self._own + _PROCESSES + server] = process
            self.drop(server, now)

    def all_bound(self, server: int, process: int) -> bool:
        """Whether no worker reads from another process of this server."""
        if server >= _SERVERS:
            return False
        return all(self._cells[at + _PROCESSES + server] in (0, process) for at in range(0, self._marks, _CELLS))

    def hold(self, slots: Iterable[int]) -> None:
        """These slots may be written at any time from now on: their reads go to the leader until `release`."""
        for slot in slots:
            self._holds[slot] = self._holds.get(slot, 0) + 1
            self._cells[self._own + slot] = _HELD
        self._cells[self._own + _HOLDING] = _HELD

    def release(self, slots: Iterable[int], now: int) -> None:
        """The write that held these slots is over, at `now`."""
        slots = list(slots)
        for slot in slots:
            count = self._holds.pop(slot) - 1
            if count:
                self._holds[slot] = count
            else:
                self._cells[self._own + slot] = now
        self.stamp(slots, now)
        if not self._holds:
            self._cells[self._own + _HOLDING] = 0
