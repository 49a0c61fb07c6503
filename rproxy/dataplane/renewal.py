"""What a data plane does with settings that have changed while it serves.

Called by `service.reload` through whoever owns the plane, and by other workers' supervisor through `roster`. No session is closed for it. It must never let a
read be taken for fresh while some worker still writes without stamps: `stamp_from_now` comes first, in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rproxy.dataplane import leased, policies
from rproxy.dataplane.choice import Choice
from rproxy.dataplane.commands import Effect
from rproxy.dataplane.freshness import KEYSPACE
from rproxy.dataplane.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.ports import Options
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream


def renew(plane: Plane, options: Options, overrides: Mapping[str, str], scripts_declare_keys: bool) -> None:
    """Go by these settings from now on. Tables that are kept go on being kept: other workers may not be told yet."""
    plane.options = replace(options, tables=options.tables or plane.options.keeps_tables)
    plane.clients.most = options.clients
    plane.client_timeouts.start()
    plane.watch.slow = int(options.slow * 1e9)
    plane.choice = Choice(options.read_policy, options.zone, plane.random)
    plane.refresh()
    plane.table.change(overrides, scripts_declare_keys)
    plane.pauses.look_again()
    for session in plane.clients:
        policies.adopt(session)


def stamp_from_now(plane: Plane) -> bytes:
    """Keep the freshness tables, if that was not done before. Whatever is under way may write any key."""
    if not plane.stamping and not plane.options.supervises:
        plane.stamping = True
        now = plane.stamp([KEYSPACE])
        for server in plane.topology.servers:
            plane.freshness.drop(server.index, now)
        for session in plane.clients:
            _cover(session)
        for upstream in _connections(plane):
            for pending in [*upstream.fifo_now(), *upstream.batch]:
                if not pending.read:
                    pending.slots, pending.sent = [KEYSPACE], now
    return b""


def _cover(session: Session) -> None:
    """What this session's lease may write, now or with EXEC, was not noted."""
    if session.multi:
        session.queued = [KEYSPACE]
    head = session.lease.head() if session.lease is not None else None
    if session.state in (State.BLOCKED, State.STREAMING) or (head is not None and head.effect == Effect.BLOCKING):
        leased.hold(session, [KEYSPACE])


def _connections(plane: Plane) -> Iterator[Upstream]:
    for pool in plane.all_pools():
        pool.writing.update(pool.leases)
        yield from (*pool.lanes.values(), *pool.stalled, *pool.leases)
