"""`rproxy check` and `rproxy config show`: shows what the settings come to, and whether the servers are what the settings say.

Called by the command line, with settings that are already valid. It must never change a server: it asks what
`INFO` and `PING` answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rproxy.config import Loaded, origins
from rproxy.dataplane.topology import Server
from rproxy.settings import Settings

if TYPE_CHECKING:
    from rproxy.controlplane.probe import Health

ROLES = {"master": "leader", "slave": "replica"}  # Redis's words in INFO -> ours

FIRST, NAMED = "stands first in servers", "is what the Sentinels name"


def print_settings(loaded: Loaded, as_json: bool) -> None:
    """Print every setting with its value, passwords masked, and the place that it comes from."""
    rows = list(origins(loaded))
    if as_json:
        settings = {key: {"value": value, "from": place} for key, value, place in rows}
        print(json.dumps({"valid": True, "settings": settings}, indent=2))
        return
    print("settings are valid")
    print_table(rows)


def print_origins(loaded: Loaded, as_json: bool) -> None:
    """Print every setting with its value and its origin, as `/api/config` of the admin listener does."""
    rows = list(origins(loaded))
    if as_json:
        print(json.dumps({"settings": [dict(zip(("key", "value", "origin"), row, strict=True)) for row in rows]}, indent=2))
    else:
        print_table(rows)


def print_servers(settings: Settings, as_json: bool) -> list[str]:
    """Ask every server and print what it says of itself. Returns the problems, one sentence each; none means
    that all is as set.
    """
    healths, troubles = asyncio.run(_probe_all(settings))
    if not healths:
        return _print_nobody(troubles, as_json)
    leader = healths[0]
    claim = FIRST if settings.discovery != "sentinel" else NAMED
    found = {health.server: problem_of(health, leader, claim) or lateness_of(health, leader, settings) for health in healths}
    problems = troubles + [problem for problem in found.values() if problem]
    if as_json:
        servers = [
            {
                "server": health.server.name,
                "role": ROLES.get(health.role, health.role),
                "version": health.version,
                "link": link_of(health),
                "lag_bytes": lag_of(health, leader),
                "clock_skew_ms": skew_of(health, leader),
                "latency_ms": None if health.error else round(health.latency * 1000, 3),
                "problem": found[health.server],
            }
            for health in healths
        ]
        writes_to = ruling_of(healths, settings)[0]
        print(json.dumps({"ok": not problems, "servers": servers, "problems": problems, "writes_to": writes_to}, indent=2))
        return problems
    rows = [("server", "role", "version", "link", "lag", "latency")]
    for health in healths:
        lag = lag_of(health, leader)
        latency = "-" if health.error else f"{health.latency * 1000:.2f} ms"
        role = ROLES.get(health.role, health.role) or "-"
        lag_shown = "-" if lag is None else f"{lag} bytes"
        rows.append((health.server.name, role, health.version or "-", link_of(health) or "-", lag_shown, latency))
    print_table(rows)
    print("\n".join([*problems, ruling_of(healths, settings)[1]]) if problems else "servers are what the settings say")
    return problems


def _print_nobody(troubles: list[str], as_json: bool) -> list[str]:
    """No server is known: no Sentinel has named one."""
    print(json.dumps({"ok": False, "servers": [], "problems": troubles}, indent=2) if as_json else "\n".join(troubles))
    return troubles


async def _probe_all(settings: Settings) -> tuple[list[Health], list[str]]:
    """Every server's health, the leader's first, and what is wrong with the Sentinels."""
    # here, and not above: it brings redis-py, which costs more than the rest of the program
    from rproxy.controlplane.names import Names
    from rproxy.controlplane.probe import probe

    async def probe_these(servers: Iterable[Server]) -> list[Health]:
        return list(await asyncio.gather(*(probe(server, settings.timeouts.probe) for server in servers)))

    names = Names(settings.servers)
    await names.look_up(settings.timeouts.probe)
    configured = await probe_these(names.servers)
    if settings.discovery != "sentinel":
        return configured, []
    leader, servers, troubles = await _ask_sentinels(settings, configured)
    healths = configured + await probe_these(server for server in servers if server not in settings.servers)
    return sorted(healths, key=lambda health: health.server != leader), troubles


async def _ask_sentinels(settings: Settings, configured: list[Health]) -> tuple[Server | None, tuple[Server, ...], list[str]]:
    """The leader and the servers that the Sentinels name, and a sentence for each that names none, or another leader than others do."""
    from rproxy.controlplane.nomination import Registry, Report, newest
    from rproxy.controlplane.sentinel import ask_once

    asked = (ask_once(sentinel, settings.service, settings.timeouts.probe) for sentinel in settings.sentinels)
    answers = dict(zip(settings.sentinels, await asyncio.gather(*asked), strict=True))
    reports = {sentinel: answer for sentinel, answer in answers.items() if isinstance(answer, Report)}
    report = newest(reports.values())
    troubles = [
        f"Sentinel {sentinel.name} tells nothing: {answer}." for sentinel, answer in answers.items() if isinstance(answer, str)
    ]
    if report is None:
        return None, (), troubles
    address = f"{report.leader.host}:{report.leader.port}"
    troubles += [
        f"Sentinel {sentinel.name} names {other.leader.host}:{other.leader.port}, and not {address}, which is newer."
        for sentinel, other in reports.items()
        if (other.leader.host, other.leader.port) != (report.leader.host, report.leader.port)
    ]
    registry = Registry(settings.servers)
    servers = registry.servers(reports.values(), {health.server: health.run_id for health in configured})
    return registry.leader(report), servers, troubles


def ruling_of(healths: list[Health], settings: Settings) -> tuple[str | None, str]:
    """Where rproxy would send writes, as things are: the server's name, or None, and a sentence about it."""
    from rproxy.controlplane.fitness import FAILURES, Standing
    from rproxy.controlplane.succession import Configured, Doubt, Succession

    servers = tuple(health.server for health in healths)
    if all(health.error and not health.answered for health in healths):
        who = "none of them answers. Start them, or correct their addresses"
        if len(servers) == 1:
            who = f"{servers[0].name} does not answer. Start it, or correct its address"
        return None, f"As things are, rproxy would send writes nowhere: {who} in {_place_of(settings)}."
    standings = (
        Standing(health.server, health, failures=FAILURES if health.error and not health.refused else 0) for health in healths
    )
    views = {standing.server: standing.view(0) for standing in standings}
    rule = Succession(servers, 0.0) if settings.discovery == "roles" else Configured(servers)
    ruling = rule.decide(views, ("", 0), 0.0)
    if ruling.doubt is not Doubt.NONE:
        return None, f"As things are, rproxy would send writes nowhere: {ruling.words}."
    return ruling.leader.name, f"As things are, rproxy would send writes to {ruling.leader.name}."


def _place_of(settings: Settings) -> str:
    return "servers" if settings.discovery != "sentinel" else "the Sentinels"


def problem_of(health: Health, leader: Health, claim: str = FIRST) -> str:
    """One sentence on how a server differs from what the settings say, "" if it doesn't. `leader` is the
    health of the one that should lead, and `claim` says why it should.
    """
    name, first = health.server.name, leader.server.name
    role = ROLES.get(health.role, health.role or "unknown")
    if health.error:
        trouble = "tells nothing of itself" if health.answered else "can't be reached"
        return f"{name} {trouble}: {health.error.rstrip('.')}."
    if health.clustered:
        from rproxy.controlplane.fitness import CLUSTERED

        return f"{name} {CLUSTERED}."
    if health is leader:
        if health.role != "master":
            return f"{name} {claim}, so it should be the leader, but its role is {role}."
        return f"{name} is still loading its data." if health.loading else ""
    if health.role != "slave":
        return f"{name} should be a replica of {first}, but its role is {role}{_kinship(health, leader)}."
    if health.loading:
        return f"{name} is still loading its data."
    if health.syncing:
        return f"{name} is still copying its data from its leader."
    if not health.link_up:
        return f"{name} has lost its link to its leader."
    if not leader.error and leader.role == "master" and health.replication_id != leader.replication_id:
        return f"{name} is a replica of another server than {first}."
    return ""


def _kinship(health: Health, leader: Health) -> str:
    """What is between two servers that both lead."""
    if leader.role != "master":
        return ""
    first = leader.server.name
    if leader.replication_id == health.former_id:
        return f"; it was promoted from a replica of {first}, and only one of the two may lead"
    if health.replication_id == leader.former_id:
        return f"; {first} was promoted from a replica of it, and only one of the two may lead"
    return f", and its data is not that of {first}"


def lateness_of(health: Health, leader: Health, settings: Settings) -> str:
    """One sentence on a replica that is too far behind its leader, or whose clock is off, "" if it isn't."""
    from rproxy.controlplane.lag import clock_skew, is_skewed

    if health is leader or health.error or leader.error:
        return ""
    name, first = health.server.name, leader.server.name
    lag = lag_of(health, leader)
    if settings.max_lag_bytes and lag is not None and lag > settings.max_lag_bytes:
        return f"{name} is {lag} bytes behind {first}, which is more than max_lag_bytes: it gets no reads."
    skew = clock_skew(health, leader)
    if skew is not None and is_skewed(skew, settings.max_clock_skew, before=False):
        off = f"{abs(skew[0]) * 1000:.0f} ms {'ahead of' if skew[0] > 0 else 'behind'}"
        return f"{name}'s clock is {off} that of {first}, which is more than max_clock_skew: it gets no reads."
    return ""


def skew_of(health: Health, leader: Health) -> float | None:
    """Milliseconds by which a replica's clock is ahead of its leader's; None where that can't be said."""
    from rproxy.controlplane.lag import clock_skew

    skew = None if health is leader or health.error or leader.error else clock_skew(health, leader)
    return None if skew is None else round(skew[0] * 1000, 1)


def link_of(health: Health) -> str:
    """A replica's link to its leader, in a word; "" for what has none."""
    if health.error or health.role != "slave":
        return ""
    return "syncing" if health.syncing else "up" if health.link_up else "down"


def lag_of(health: Health, leader: Health) -> int | None:
    """Bytes of the leader's replication stream that a replica has not applied; None where that can't be said.

    The two were asked one after the other, not at the same moment: a replica may seem ahead, which counts as
    0.
    """
    if health.error or leader.error or health.role != "slave" or health.replication_id != leader.replication_id:
        return None
    return max(0, leader.offset - health.offset)


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns, the last one as wide as it likes."""
    listed = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    for row in listed:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
