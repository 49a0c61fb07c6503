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
    problems = [problem for health in healths if (problem := problem_of(health, leader))]
    if as_json:
        servers = [
            {
                "server": health.server.name,
                "role": ROLES.get(health.role, health.role),
                "version": health.version,
                "link": link_of(health),
                "lag_bytes": lag_of(health, leader),
                "latency_ms": None if health.error else round(health.latency * 1000, 3),
                "problem": problem_of(health, leader),
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
        return f"{name} should be a replica of {first}, but its role is {role}."
    if health.loading:
        return f"{name} is still loading its data."
    if health.syncing:
        return f"{name} is still copying its data from its leader."
    if not health.link_up:
        return f"{name} has lost its link to its leader."
    if not leader.error and leader.role == "master" and health.replication_id != leader.replication_id:
        return f"{name} is a replica of another server than {first}."
    return ""


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
