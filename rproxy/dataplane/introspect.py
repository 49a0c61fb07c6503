"""What rproxy tells of itself: RPROXY STATUS and INFO rproxy, and RPROXY EXPLAIN for what it would do with a command now, and why.

Called by `local` for the client that asks. Answers come from memory, so that they come when every server is down. It must never show a key's value or a
password, nor count or change anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from rproxy import errors
from rproxy.dataplane import cursors, places, resp, scripts
from rproxy.dataplane.commands import Command, Kind
from rproxy.dataplane.freshness import HELD, NEVER
from rproxy.dataplane.histograms import BOUNDS_MS
from rproxy.dataplane.tallies import (
    CHANGES,
    CLIENTS,
    CONNECT_ERRORS,
    DIVERTED,
    FROM_CLIENTS,
    FROM_SERVERS,
    LANES,
    LEADERLESS,
    LEASES,
    LOST,
    PENDING,
    PROTOCOL_ERRORS,
    READS,
    RETRIED,
    RETRIES,
    TO_CLIENTS,
    TO_SERVERS,
    WAITED,
    WAITING,
    WRITES,
    publish,
)
from rproxy.dataplane.touched import slots_of_words

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session

Facts = dict[str, object]
_PICKED = {
    "random": "picked at random",
    "least-pending": "the one with the least under way",
    "nearest": "the one with the shortest latency",
    "round-robin": "in turn",
}
_WAITS = "at most timeouts.budget, then an error"

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


def info(session: Session, words: list[bytes], others: bytes = b"-") -> bytes:
    """INFO rproxy: the status, in the form of the servers' INFO; `others`: the leader's reply for the other sections, of which an error tells nothing."""
    lines = ["# Rproxy"]
    for name, value in facts_of(session.plane).items():
        if name == "servers":
            lines += [f"server{at}:{_pairs(server)}" for at, server in enumerate(cast(list[Facts], value))]
        elif isinstance(value, dict):
            lines.append(f"{name}:{_pairs(value)}")
        elif not isinstance(value, list):
            lines.append(f"{name}:{_plain(value)}")
    text = "".join(f"{line}\r\n" for line in lines).encode()
    if not others.startswith(b"-"):
        text += b"\r\n" + others.partition(b"\r\n")[2].removeprefix(b"txt:")[:-2]
    return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text) if session.key.resp == 3 else resp.bulk(text)


def _pairs(facts: Facts) -> str:
    """As INFO writes several facts in one line, which must not hold commas: `name=...,role=...`. Sentences are left to RPROXY STATUS."""
    return ",".join(f"{name}={_plain(value)}" for name, value in facts.items() if "," not in str(value) and name != "why")


def _plain(value: object) -> str:
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def explain(session: Session, words: list[bytes]) -> bytes:
    """RPROXY EXPLAIN."""
    return resp.bulk(json.dumps(explanation(session, words[2:])).encode())


def facts_of(plane: Plane) -> Facts:
    """The status, with ages and latencies in milliseconds. `now_ms` is the clock by which rates between two of them are counted."""
    topology, tallies = plane.topology, plane.tallies
    publish(plane)
    return {
        **plane.about(),
        "now_ms": round(plane.clock_ns() / 1e6, 3),
        "consistency": plane.options.consistency,
        "leader": topology.leader.name,
        "leader_up": topology.leader_up,
        "settled": topology.settled,
        "takeover": _accompanied(plane),
        "leader_changes": tallies.total(CHANGES),
        "servers": [_server(plane, plane.pools[server]) for server in topology.servers],
        "clients": tallies.total(CLIENTS),
        "waiting_for_a_leader": _waiting(plane, plane.limbo.index),
        "paused_s": round(plane.intermission.left(), 3),
        "newest_write_age_ms": _age(plane, plane.freshness.newest()) if plane.options.keeps_tables else None,
        "diverted": tallies.total(DIVERTED),
        "retried": tallies.total(RETRIED),
        "lost": tallies.total(LOST),
        "protocol_errors": tallies.total(PROTOCOL_ERRORS),
        "leaderless_reads": tallies.total(LEADERLESS),
        "received": {"clients": tallies.total(FROM_CLIENTS), "servers": tallies.total(FROM_SERVERS)},
        "sent": {"clients": tallies.total(TO_CLIENTS), "servers": tallies.total(TO_SERVERS)},
        "freshness_reads": plane.freshness.misses(),
        "kinds": {kind.name.lower(): count for kind, count in zip(Kind, tallies.kinds(), strict=True)},
        "errors": tallies.errors(),
        "latency": _latency(plane),
    }


def _accompanied(plane: Plane) -> bool:
    """Whether another rproxy serves too, which makes the leader answer all reads that must be fresh."""
    return plane.options.keeps_tables and plane.freshness.accompanied()


def _waiting(plane: Plane, server: int) -> Facts:
    """What waits for a connection to a server, or for a leader (`plane.limbo`): how much, and for how long that which waits longest has."""
    tallies = plane.tallies
    return {
        "waiting": tallies.total_of_server(server, WAITING),
        "waited_ms": round(tallies.most_of_server(server, WAITED) / 1000, 3),
    }


def _latency(plane: Plane) -> Facts:
    """How long servers took to answer, in milliseconds, from when a command was written to its server until its reply was there."""
    series = []
    for server in plane.topology.servers:
        for kind in (Kind.READ, Kind.WRITE):
            *counts, spent = plane.tallies.times(server.index, kind == Kind.WRITE)
            if any(counts):
                named = {"kind": kind.name.lower(), "server": server.name}
                series.append(named | {"counts": counts, "sum_ms": round(spent / 1e6, 3), "count": sum(counts)})
    return {"bounds_ms": BOUNDS_MS, "series": series}


def _server(plane: Plane, pool: Pool) -> Facts:
    """One server. `in`: it gets what servers of its role get; `fresh`: it has all that was ever written (None where no tables are kept)."""
    topology, server = plane.topology, pool.server
    offsets, latencies = dict(topology.offsets), dict(topology.latencies)
    leads = server == topology.leader
    offset, reached = offsets.get(server.index), offsets.get(topology.leader.index)
    mark = plane.freshness.mark(server.index)
    return {
        "server": server.name,
        "role": "leader" if leads else "replica",
        "in": topology.leader_up and pool is plane.leader if leads else pool in plane.readers,
        "why": _why(plane, pool),
        "silent": pool.silent,
        "offset": offset,
        "lag_bytes": None if offset is None or reached is None else max(0, reached - offset),
        "latency_ms": round(latencies[server.index] * 1000, 3) if server.index in latencies else None,
        "mark_age_ms": _age(plane, mark) if mark and not leads else None,
        "fresh": (leads or mark > plane.freshness.newest()) if plane.options.keeps_tables else None,
        "lanes": plane.tallies.total_of_server(server.index, LANES),
        "leases": plane.tallies.total_of_server(server.index, LEASES),
        "pending": plane.tallies.total_of_server(server.index, PENDING),
        **_waiting(plane, server.index),
        "connect_errors": plane.tallies.total_of_server(server.index, CONNECT_ERRORS),
        "retries": plane.tallies.total_of_server(server.index, RETRIES),
        "link_down_s": dict(topology.links_down).get(server.index),
        "most_leases": places.most(dict(topology.maxclients).get(server.index, 0)) or None,
        "reads": plane.tallies.total_of_server(server.index, READS),
        "writes": plane.tallies.total_of_server(server.index, WRITES),
    }


def _why(plane: Plane, pool: Pool) -> str:
    """Why a server is in or out: what the control plane says, and what only the data plane sees."""
    said = dict(plane.topology.why).get(pool.server.index, "no probe has told of it yet")
    if plane.broadcasts.owes(pool):
        said = f"it lacks a command that the other servers have had (ACL, SCRIPT FLUSH), and is not read until it has it; {said}"
    if not pool.silent:
        return said
    return f"silent, it owes replies and sends nothing{'; read all the same, as no other server answers' if pool in plane.readers else ''}; {said}"


def _age(plane: Plane, moment: int) -> float:
    """Milliseconds since a time of the freshness table; negative for one to come, as that of a write which was lost on its way."""
    return round((plane.clock_ns() - moment) / 1e6, 3)


def _text(word: bytes) -> str:
    return word.decode("utf-8", "backslashreplace")


# What would become of a command. `rproxy explain` shares the first two.


def explanation(session: Session, words: list[bytes]) -> Facts:
    """What would become of this command of this session now."""
    plane = session.plane
    command = session.table.find(words[0], words[1] if len(words) > 1 else b"")
    found: Facts = {
        "command": _text(command.name if command is not session.table.unknown else words[0].upper()).replace("|", " "),
        "kind": Kind(command.kind).name.lower(),
        "keys": [_text(key) for key in command.keys(words)],
        "rule": command.rule_for(words),
        "arity_error": command.misfit(len(words)),
    }
    if command.kind == Kind.DENIED:
        return found | {"served_by": "nobody, rproxy refuses it", "servers": []}
    if command.kind == Kind.LOCAL:
        return found | {"served_by": "rproxy itself", "servers": []}
    if command.takes_a_lease(words):
        return found | _led(plane, "the leader, on a connection of its own")
    reads = command.kind == Kind.READ or (command.script and scripts.only_reads(command, words))
    origin = cursors.origin(plane, command, words) if reads and not session.strict else None
    if origin is not None:
        return found | {
            "served_by": "the server that began the iteration, if it has not been restarted",
            "servers": [origin.server.name],
        }
    if reads and command.script and plane.scripts.is_new(plane, command, words):
        return found | _led(plane, "the leader, which runs each script that only reads once")
    return found | (_read(session, command, words) if reads else _led(plane, "the leader"))


def _led(plane: Plane, who: str) -> Facts:
    """What goes to the leader, or waits for one."""
    topology = plane.topology
    if plane.leader is plane.limbo:
        reason = "a change of leader is under way" if topology.settled else "nobody knows who leads"
        return {"served_by": f"nobody yet: {reason}, and it waits, {_WAITS}", "servers": []}
    if not topology.leader_up:
        return {"served_by": f"{who}, which is away: it waits, {_WAITS}", "servers": [topology.leader.name]}
    return {"served_by": who, "servers": [topology.leader.name]}


def _read(session: Session, command: Command, words: list[bytes]) -> Facts:
    """Where a read would go. `need` is the time that a mark must be later than."""
    plane = session.plane
    if session.strict:
        return _for_leader(plane, 'the leader, by consistency = "leader"')
    need = max(map(plane.freshness.need, slots_of_words(command, words)), default=0) if session.fresh else 0
    beside = bool(need) and _accompanied(plane)
    pools = [plane.pools[server] for server in plane.topology.replicas]
    fit = [pool for pool in pools if pool in plane.readers and (not need or plane.freshness.mark(pool.index) > need)]
    found: Facts = {
        "held": need == HELD and not beside,
        "takeover": beside,
        "newest_write_age_ms": _age(plane, need) if 0 < need < HELD else None,
        "replicas": [_replica(session, pool, need) for pool in pools],
    }
    if fit:
        return found | _picked(plane, fit, "fresh for its keys" if need else "read now")
    if plane.readers:
        why = "it is asked whether it is there" if need == NEVER else "no replica is fresh for its keys"
        why = "another rproxy serves too, and what that writes is not known here" if beside and need == HELD else why
        return found | _for_leader(plane, f"the leader: {why}")
    share = plane.options.leader_reads
    some = f" for {share} % of such reads, and an error for the others" if share < 100 and pools else ""
    return found | _led(plane, f"the leader{some}: {'no replica may be read' if pools else 'there is no replica'}")


def _replica(session: Session, pool: Pool, need: int) -> Facts:
    """How one replica stands to a read. `behind_ms`: what its mark lacks; None where nothing is lacking or where that is no number."""
    plane = session.plane
    mark = plane.freshness.mark(pool.index)
    fresh = not need or mark > need
    return {
        "server": pool.server.name,
        "may_be_read": pool in plane.readers,
        "fresh": fresh if session.fresh else None,
        "mark_age_ms": _age(plane, mark) if mark else None,
        "behind_ms": None if fresh or not mark or need >= HELD else round((need - mark) / 1e6, 3),
        "why": _why(plane, pool),
    }


def _picked(plane: Plane, fit: list[Pool], what: str) -> Facts:
    """One of these replicas, by the read policy."""
    zone = plane.options.zone
    near = [pool for pool in fit if pool.server.zone == zone] if zone else []
    names = [pool.server.name for pool in near or fit]
    where = f" in zone {zone}" if near else ""
    if len(names) == 1:
        return {"served_by": f"the one replica{where} that is {what}", "servers": names}
    return {"served_by": f"a replica{where} that is {what}, {_PICKED[plane.options.read_policy]}", "servers": names}


def _for_leader(plane: Plane, who: str) -> Facts:
    """What only the leader may answer; or, when it has been away for a moment, the furthest replica, if the settings allow that."""
    furthest = plane.topology.freshest_reader()
    if not plane.leaderless or furthest is None or plane.options.leaderless_reads != "serve":
        return _led(plane, who)
    served_by = "the replica that is furthest, although it may lack writes: no leader answers, and leaderless_reads allows it"
    return {"served_by": served_by, "servers": [furthest.name]}
