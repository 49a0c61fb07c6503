"""Which lane a session takes where the usual one is no good: one that something holds up, or one on which others must not wait behind a script.

Called by `pool` at its ticks, by `upstream` while a long reply passes by, and by `order` for scripts; `Pool.lane_for` finds what is noted here. A session
that has requests under way on such a lane is tied to it until all are answered. It must never let a session's commands travel on two lanes at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.handshake import SCRIPTS

if TYPE_CHECKING:
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

MOST_STALLED = 7
"""Lanes of one key that may be held up before everybody waits behind the last."""
LONG_REPLY = 1024 * 1024
"""Bytes of a reply from which on it holds its lane up: they take about as long as the opening of another lane."""


def set_aside(pool: Pool, lane: Upstream) -> None:
    """Something holds this lane up: who has something in flight there stays, the others are given another one."""
    if sum(other.key is lane.key for other in pool.stalled) < MOST_STALLED:
        del pool.lanes[lane.key]
        pool.stalled.add(lane)
        waiting = [*lane.fifo_now(), *lane.batch]
        for pending in waiting:
            if pending.session is not None:
                pending.session.tie(pool, lane)


def taken_back(pool: Pool, lane: Upstream) -> bool:
    """Nothing is left on a lane that was set aside: it is the usual one again, unless another has become that."""
    taken = lane.key not in pool.lanes
    if taken:
        pool.stalled.discard(lane)
        pool.lanes[lane.key] = lane
    return taken


def send_script(pool: Pool, session: Session, pending: Pending) -> Upstream:
    """Send the script of a session that has nothing else under way, by a lane that it returns: only its own commands wait behind it."""
    lane = pool.lane(pool.plane.keys.beside(session.key, SCRIPTS))
    session.tie(pool, lane)
    lane.send(pending)
    return lane
