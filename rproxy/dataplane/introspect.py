"""What rproxy tells of itself: RPROXY STATUS, and RPROXY EXPLAIN for what it would do with a command now, and why.

Called by `local` for the client that asks. Answers come from memory, so that they come when every server is down. It must never show a key's value or a
password, nor count or change anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import resp
from rproxy.dataplane.commands import Command, Kind
from rproxy.dataplane.touched import slots_of_words

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session

Facts = dict[str, object]

_HELP = (
    b"RPROXY <subcommand>. What this proxy tells of itself:",
    b"STATUS",
    b"    Servers, roles, lag, freshness, connections and counters, as JSON.",
    b"EXPLAIN <command> [<argument> ...]",
    b"    Where this command would go now, and why, as JSON.",
    b"HELP",
    b"    Print this help.",
)


def usage(session: Session, words: list[bytes]) -> bytes:
    """RPROXY HELP."""
    return b"*%d\r\n" % len(_HELP) + b"".join(b"+%b\r\n" % line for line in _HELP)


def unknown(session: Session, words: list[bytes]) -> bytes:
    """RPROXY with a subcommand that it does not have, in Redis's words."""
    return errors.unknown_subcommand(words[1]).removesuffix(b"CLIENT HELP.\r\n") + b"RPROXY HELP.\r\n"


def status(session: Session, words: list[bytes]) -> bytes:
    """RPROXY STATUS."""
    return resp.bulk(json.dumps(facts_of(session.plane)).encode())


def explain(session: Session, words: list[bytes]) -> bytes:
    """RPROXY EXPLAIN."""
    return resp.bulk(json.dumps(explanation(session, words[2:])).encode())


def facts_of(plane: Plane) -> Facts:
    """The status, with ages and latencies in milliseconds."""
    topology = plane.topology
    freshness = plane.freshness
    return {
        **plane.about(),
        "consistency": plane.options.consistency,
        "leader": topology.leader.name,
        "leader_up": topology.leader_up,
        "settled": topology.settled,
        "servers": [_server(plane, plane.pools[server]) for server in topology.servers],
        "clients": len(plane.clients),
        "newest_write_age_ms": _age(plane, freshness.newest()) if plane.stamping else None,
        "diverted": plane.diverted,
        "retried": plane.retried,
        "lost": plane.lost,
        "leaderless_reads": plane.leaderless_reads,
        "freshness_reads": plane.freshness_reads,
    }


def _server(plane: Plane, pool: Pool) -> Facts:
    topology, server = plane.topology, pool.server
    offsets, latencies, why = dict(topology.offsets), dict(topology.latencies), dict(topology.why)
    leads = server == topology.leader
    offset, reached = offsets.get(server.index), offsets.get(topology.leader.index)
    mark = plane.freshness.mark(server.index)
    return {
        "server": server.name,
        "role": "leader" if leads else "replica",
        "in": topology.leader_up and topology.settled if leads else server in topology.readers,
        "why": why.get(server.index, ""),
        "silent": pool.silent,
        "offset": offset,
        "lag_bytes": None if offset is None or reached is None else max(0, reached - offset),
        "latency_ms": round(latencies[server.index] * 1000, 3) if server.index in latencies else None,
        "mark_age_ms": _age(plane, mark) if mark and not leads else None,
        "fresh": leads or mark > plane.freshness.newest(),
        "lanes": len(pool.lanes),
        "leases": len(pool.leases),
        "reads": pool.reads,
        "writes": pool.writes,
    }


def _age(plane: Plane, moment: int) -> float:
    """Milliseconds since a time of the freshness table."""
    return round((plane.clock_ns() - moment) / 1e6, 3)


def explanation(session: Session, words: list[bytes]) -> Facts:
    """What would become of this command of this session now."""
    plane = session.plane
    command = plane.table.find(words[0], words[1] if len(words) > 1 else b"")
    found: Facts = {
        "command": command.name.decode("utf-8", "backslashreplace").replace("|", " "),
        "kind": Kind(command.kind).name.lower(),
        "keys": [key.decode("utf-8", "backslashreplace") for key in command.keys(words)],
        "rule": command.rule,
    }
    if command.kind == Kind.READ:
        return found | _read(session, command, words)
    if command.kind in (Kind.LOCAL, Kind.DENIED):
        return found | {"served_by": "rproxy itself", "servers": []}
    limbo = plane.leader is plane.limbo
    why = "nobody knows who leads: it waits, at most timeouts.budget" if limbo else "the leader"
    return found | {"served_by": why, "servers": [] if limbo else [plane.topology.leader.name]}


def _read(session: Session, command: Command, words: list[bytes]) -> Facts:
    """Where a read would go."""
    plane = session.plane
    leader = plane.topology.leader.name
    if session.strict:
        return {"served_by": 'the leader, by consistency = "leader"', "servers": [leader]}
    slots = slots_of_words(command, words) if session.fresh else []
    need = max(map(plane.freshness.need, slots), default=0)
    replicas: list[Facts] = []
    fit: list[str] = []
    why = dict(plane.topology.why)
    for server in plane.topology.replicas:
        pool = plane.pools[server]
        mark = plane.freshness.mark(server.index)
        reads = pool in plane.readers
        fresh = not need or mark > need
        replicas.append(
            {
                "server": server.name,
                "may_be_read": reads,
                "fresh": fresh,
                "mark_age_ms": _age(plane, mark) if mark else None,
                "why": why.get(server.index, ""),
            }
        )
        if reads and fresh:
            fit.append(server.name)
    said = "one of the replicas that may be read" + (" and are fresh for these keys" if need else "")
    lacking = "no replica is fresh for these keys" if plane.readers else "no replica may be read"
    return {
        "newest_write_age_ms": _age(plane, need) if 0 < need < 1 << 63 else None,
        "held": need >= 1 << 63,
        "replicas": replicas,
        "served_by": said if fit else f"the leader: {lacking}",
        "servers": fit or [leader],
    }
