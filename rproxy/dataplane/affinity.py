"""Session affinity: unordered reads of one key stay on the server that answered the last one, for a while.

Each server orders a hash or a set by a seed of its own, so that `HKEYS` and `HVALS` fit together only where one server has answered both. Owned by a session,
which makes it with the first such read; asked by `run` and `order`. It must never keep a read on a replica that is not fresh for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import order

if TYPE_CHECKING:
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session

KEPT = 1.0
"""Seconds after an unordered read for which the next one of the same key goes to the same replica; and for which one that a replica was not fresh for stays on
the leader, as long as they follow each other closely: it is to be relieved.
"""
CLOSE = 0.05
"""Seconds between two reads that follow each other closely."""
MOST_KEYS = 64
"""Keys of one session that are remembered."""


class Affinity:
    """Which server has answered the last unordered read of a key, by the key's bucket in the freshness table."""

    __slots__ = ("_servers",)

    def __init__(self) -> None:
        self._servers: dict[int, tuple[Pool, float, float]] = {}

    def reader(self, session: Session, bucket: int, need: int) -> Pool:
        """The server for an unordered read of this bucket, which a replica may answer whose watermark is later than `need` (0: any)."""
        plane = session.plane
        now = plane.clock()
        found = self._servers.pop(bucket, None)
        if len(self._servers) >= MOST_KEYS:
            del self._servers[next(iter(self._servers))]
        if found is not None:
            pool, since, last = found
            leads = pool is plane.leader
            if leads and now - since < KEPT and now - last < CLOSE:
                self._servers[bucket] = pool, since, now
                return pool
            if not leads and now - last < KEPT:
                if pool not in plane.readers or (need and not plane.may(pool, need)):
                    pool, since = plane.for_leader(), now  # another replica would be in yet another order
                self._servers[bucket] = pool, since, now
                return pool
        pool = order.reader(session, need) if need else plane.reader_of(session)
        self._servers[bucket] = pool, now, now
        return pool
