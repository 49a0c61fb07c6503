"""What every worker has counted, in memory that all of them share, so that any can tell the sum.

Each worker writes a row of its own, now and then and before it tells of itself (`publish`); a row more keeps what workers counted that have died. It must
never be asked for per command: pools and planes count in integers of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import freshness, histograms
from rproxy.dataplane.codes import CODES
from rproxy.dataplane.freshness import SERVERS

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool

(
    CLIENTS,
    ACCEPTED,
    REFUSED,
    DIVERTED,
    RETRIED,
    LOST,
    LEADERLESS,
    ROUNDS,
    CHANGES,
    PROTOCOL_ERRORS,
    REFUSED_TLS,
    LOOP_LAG,
    FILES,
    FROM_CLIENTS,
    TO_CLIENTS,
    FROM_SERVERS,
    TO_SERVERS,
    TIMED_OUT_IDLE,
    TIMED_OUT_LOGIN,
    TIMED_OUT_TRANSACTION,
    LOG_LINES_LOST,
    FAILED_LOGINS,
    HELD_BYTES,
    CLOSED_MEMORY,
    CLOSED_OUTPUT,
    REFUSED_ADDRESS,
    REFUSED_USER,
    REFUSED_PROXY,
) = range(28)
"""What is counted of a worker. `CLIENTS` is how many there are now, `HELD_BYTES` what is held for them, the others only
grow. `ROUNDS` of the freshness clock and `CHANGES` of the
leader are counted by the one process that decides. `LOOP_LAG`, in microseconds, and `FILES` are of each process by itself (`most`). `FROM_CLIENTS` and
the three behind it are bytes (`traffic`)."""
READS, WRITES, LANES, LEASES, EXCLUSIVE, PENDING, WAITING, WAITED, CONNECT_ERRORS, RETRIES = range(10)
"""What is counted of a server: commands sent to it, and the connections that there are now. `EXCLUSIVE` are leases, spare ones too. `PENDING` are what is
under way on lanes, `WAITING` what waits for a connection, `WAITED` for how many microseconds that which waits longest has."""

KINDS = 6
"""Kinds of commands; their counts stand one after the other (`put_kinds`)."""

_IDS = 28  # the sessions that this row's worker, and those before it, gave an id
_OF_SERVERS = 29
_EACH = 10
_KINDS = _OF_SERVERS + _EACH * SERVERS
_ERRORS = _KINDS + KINDS
_TIMES = _ERRORS + len(CODES)
_OF_TIMES = 2 * histograms.CELLS  # reads, then writes
_ROW = _TIMES + _OF_TIMES * SERVERS
_NOW = frozenset(
    (CLIENTS, LOOP_LAG, FILES, HELD_BYTES)
    + tuple(
        _OF_SERVERS + _EACH * index + field
        for index in range(SERVERS)
        for field in (LANES, LEASES, EXCLUSIVE, PENDING, WAITING, WAITED)
    )
)


def size(workers: int) -> int:
    """Bytes of all memory that so many workers share: the freshness table, and the tallies behind it."""
    return freshness.size(workers) + 8 * _ROW * (workers + 1)


_KEYS = (b"a", b"0123456789abcdef0")
LAYOUT = (size(1), *(freshness.slot_of(key, 0, len(key)) for key in _KEYS))
"""What processes that share this memory must have in common. One of another version would look for a key's stamp where nobody has put it."""


class Tallies:
    """The rows as one worker sees them; `memory` is a writable buffer of `size(workers)` bytes, zero at first; without it, memory of its own.

    `buried` and `ejected` are known to the process that decides: workers that died; how often a replica was taken out of the reads, by its name and a word.
    """

    def __init__(self, memory: object = None, worker: int = 0, workers: int = 1) -> None:
        self._rows = memoryview(bytearray(8 * _ROW * (workers + 1)) if memory is None else memory)  # type: ignore[arg-type]
        if memory is not None:
            self._rows = self._rows[freshness.size(workers) :]
        self._rows = self._rows.cast("Q")
        self.worker = worker
        self.workers = workers
        self.buried = 0
        self.ejected: dict[tuple[str, str], int] = {}

    def put(self, field: int, value: int) -> None:
        """What this worker has counted by now."""
        self._rows[self.worker * _ROW + field] = value

    def count(self, field: int, count: int = 1) -> None:
        """This worker has counted so many more."""
        self._rows[self.worker * _ROW + field] += count

    def count_of_server(self, server: int, field: int, count: int = 1) -> None:
        """This worker has counted so many more of a server."""
        if server < SERVERS:
            self._rows[self.worker * _ROW + _OF_SERVERS + _EACH * server + field] += count

    def put_server(self, server: int, counts: tuple[int, int, int, int]) -> None:
        """What this worker has counted of a server: reads, writes, lanes, leases."""
        for field, value in zip((READS, WRITES, LANES, LEASES), counts, strict=True):
            self.put_of_server(server, field, value)

    def put_of_server(self, server: int, field: int, value: int) -> None:
        """What this worker has counted of a server."""
        if server < SERVERS:
            self._rows[self.worker * _ROW + _OF_SERVERS + _EACH * server + field] = value

    def counted(self, server: int) -> tuple[int, int]:
        """What this worker has counted of a server so far: reads and writes."""
        at = self.worker * _ROW + _OF_SERVERS + _EACH * server
        return (self._rows[at + READS], self._rows[at + WRITES]) if server < SERVERS else (0, 0)

    def of(self, worker: int, field: int) -> int:
        """What one worker has counted."""
        return self._rows[worker * _ROW + field]

    def total(self, field: int) -> int:
        """What all have counted."""
        return sum(self._rows[at + field] for at in range(0, len(self._rows), _ROW))

    def most(self, field: int) -> int:
        """The most that any has."""
        return max(self._rows[at + field] for at in range(0, len(self._rows), _ROW))

    def most_of_server(self, server: int, field: int) -> int:
        """The most that any has of a server."""
        return self.most(_OF_SERVERS + _EACH * server + field) if server < SERVERS else 0

    def total_of_server(self, server: int, field: int) -> int:
        """What all have counted of a server."""
        return self.total(_OF_SERVERS + _EACH * server + field) if server < SERVERS else 0

    def put_kinds(self, counts: list[int]) -> None:
        """How many commands of each kind this worker has taken by now."""
        for kind, count in enumerate(counts):
            self.put(_KINDS + kind, count)

    def kinds(self) -> list[int]:
        """How many of each kind all have taken."""
        return [self.total(_KINDS + kind) for kind in range(KINDS)]

    def count_error(self, code: int, count: int = 1) -> None:
        """Clients of this worker get so many errors with this code (`codes`)."""
        self._rows[self.worker * _ROW + _ERRORS + code] += count

    def errors(self) -> dict[str, int]:
        """The errors of all, those that there were."""
        counts = {code: self.total(_ERRORS + index) for index, code in enumerate(CODES)}
        return {code: count for code, count in counts.items() if count}

    def times_of(self, server: int) -> memoryview[int]:
        """Where this worker counts how long this server takes."""
        at = self.worker * _ROW + _TIMES + _OF_TIMES * min(server, SERVERS - 1)
        return self._rows[at : at + _OF_TIMES]

    def times(self, server: int, write: bool) -> list[int]:
        """What all have counted of how long this server takes: the counts, then the sum in nanoseconds."""
        first = _TIMES + _OF_TIMES * min(server, SERVERS - 1) + histograms.CELLS * write
        return [self.total(first + cell) for cell in range(histograms.CELLS)]

    def next_id(self) -> int:
        """A number that no worker has given yet."""
        at = self.worker * _ROW + _IDS
        self._rows[at] += 1
        return self._rows[at] * self.workers - self.workers + self.worker + 1

    def given(self, worker: int) -> int:
        """How many numbers this worker has given: it grows with each client that it takes."""
        return self._rows[worker * _ROW + _IDS]

    def bury(self, worker: int) -> None:
        """This worker has died: what it counted is kept, and what it had is gone. For the process that looks after the workers."""
        self.buried += 1
        own, kept = worker * _ROW, self.workers * _ROW
        for field in range(_ROW):
            if field != _IDS:
                if field not in _NOW:
                    self._rows[kept + field] += self._rows[own + field]
                self._rows[own + field] = 0


def publish(plane: Plane) -> None:
    """Write this worker's row."""
    if plane.options.supervises:
        return
    tallies, clients, traffic = plane.tallies, plane.clients, plane.traffic
    for field, value in (
        (ACCEPTED, clients.accepted),
        (REFUSED, clients.refused),
        (DIVERTED, plane.diverted),
        (RETRIED, plane.retried),
        (LOST, plane.lost),
        (LEADERLESS, plane.leaderless_reads),
        (FROM_CLIENTS, traffic.from_clients),
        (TO_CLIENTS, traffic.to_clients),
        (FROM_SERVERS, traffic.from_servers),
        (TO_SERVERS, traffic.to_servers),
    ):
        tallies.put(field, value)
    tallies.put_kinds([plane.taken_reads + plane.taken[0], plane.taken_writes + plane.taken[1], *plane.taken[2:]])
    now = plane.clock()
    for pool in plane.pools.values():
        tallies.put_server(pool.server.index, (pool.reads, pool.writes, len(pool.lanes), len(pool.leases)))
        tallies.put_of_server(pool.server.index, PENDING, pool.under_way())
        _put_waiting(tallies, pool, now)
    _put_waiting(tallies, plane.limbo, now)


def _put_waiting(tallies: Tallies, pool: Pool, now: float) -> None:
    """What waits for a connection to a server, and for how long."""
    since = [at for upstream in pool.unready() for at, _ in upstream.waiters]
    since += [pending.since or now for upstream in pool.unready() for pending in upstream.batch]
    tallies.put_of_server(pool.server.index, WAITING, len(since))
    tallies.put_of_server(pool.server.index, WAITED, max(0, round((now - min(since, default=now)) * 1e6)))
