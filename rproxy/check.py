"""`rproxy check`: shows what the settings come to, and whether the servers are what the settings say.

Called by the command line, with settings that are already valid. It must never change a server: it asks what
`INFO` and `PING` answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rproxy.config import Loaded, Settings, effective

if TYPE_CHECKING:
    from rproxy.controlplane.probe import Health

ROLES = {"master": "leader", "slave": "replica"}  # Redis's words in INFO -> ours


def print_settings(loaded: Loaded, as_json: bool) -> None:
    """Print every setting with its value, passwords masked, and the place that it comes from."""
    rows = [(key, value, loaded.places.get(key, "default")) for key, value in effective(loaded.settings)]
    if as_json:
        settings = {key: {"value": value, "from": place} for key, value, place in rows}
        print(json.dumps({"valid": True, "settings": settings}, indent=2))
        return
    print("settings are valid")
    print_table(rows)


def print_servers(settings: Settings, as_json: bool) -> list[str]:
    """Ask every server and print what it says of itself. Returns the problems, one sentence each; none means
    that all is as set.
    """
    healths = asyncio.run(_probe_all(settings))
    leader = healths[0]
    found = {health.server: problem_of(health, leader) or lateness_of(health, leader, settings) for health in healths}
    problems = [problem for problem in found.values() if problem]
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
        print(json.dumps({"ok": not problems, "servers": servers, "problems": problems}, indent=2))
        return problems
    rows = [("server", "role", "version", "link", "lag", "latency")]
    for health in healths:
        lag = lag_of(health, leader)
        latency = "-" if health.error else f"{health.latency * 1000:.2f} ms"
        role = ROLES.get(health.role, health.role) or "-"
        lag_shown = "-" if lag is None else f"{lag} bytes"
        rows.append((health.server.name, role, health.version or "-", link_of(health) or "-", lag_shown, latency))
    print_table(rows)
    print("\n".join(problems) if problems else "servers are what the settings say")
    return problems


async def _probe_all(settings: Settings) -> list[Health]:
    from rproxy.controlplane.probe import (
        probe,
    )  # brings redis-py, which costs more than the rest of the program

    return list(await asyncio.gather(*(probe(server, settings.timeouts.probe) for server in settings.servers)))


def problem_of(health: Health, leader: Health) -> str:
    """One sentence on how a server differs from what the settings say, "" if it doesn't. `leader` is the
    first server's health.
    """
    name, first = health.server.name, leader.server.name
    role = ROLES.get(health.role, health.role or "unknown")
    if health.error:
        trouble = "tells nothing of itself" if health.answered else "can't be reached"
        return f"{name} {trouble}: {health.error.rstrip('.')}."
    if health is leader:
        if health.role != "master":
            return f"{name} stands first in servers, so it should be the leader, but its role is {role}."
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
