"""How a frame of `rproxy top` looks.

Called by `top`. Every word that comes from rproxy is text, never markup: names of servers and commands are others' choice. It must never ask anybody.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rproxy.rates import Facts, Percentiles, latency, per_second

if TYPE_CHECKING:
    from rproxy.top import Seen

NONE = "-"
KINDS = ("read", "write", "local", "leased", "broadcast", "denied")
MOST_ERRORS, MOST_SLOW = 6, 8
NARROW = 100
"""Columns of a terminal below which the less important ones are left out."""


def console() -> Console:
    """Of standard output."""
    return Console(highlight=False, markup=False)


def frame(before: Seen, now: Seen) -> Group:
    """All of it. The same status twice has no rates."""
    facts, old = now.facts, before.facts
    span = (facts["now_ms"] - old["now_ms"]) / 1000
    parts: list[RenderableType] = [_servers(old, facts, span), _kinds(old, facts, span), _errors(old, facts, span)]
    if now.slow is not None:
        parts.append(_slow(now.slow))
    return Group(_head(facts), _verdict(facts), *(Padding(part, (1, 0, 0, 0)) for part in parts))


def live(before: Seen, now: Seen) -> Group:
    """A frame of a terminal that is watched."""
    return Group(frame(before, now), Text("\nq ends", style="dim"))


def lost(why: str) -> Group:
    """In place of a frame."""
    return Group(
        Text("rproxy cannot be reached", style="bold red"),
        Text(why),
        Text("It is asked again every second; q ends.", style="dim"),
    )


def _head(facts: Facts) -> Text:
    crew = f", {facts['workers']} workers" if facts.get("workers", 1) > 1 else ""
    return Text.assemble(
        (f"rproxy {facts.get('version', '')}", "bold"),
        f"  up {facts.get('uptime_s', 0):,.0f} s{crew}  clients {facts['clients']:,}  consistency {facts['consistency']}",
    )


def _verdict(facts: Facts) -> Text:
    """All is well, or what is not."""
    replicas = [row for row in facts["servers"] if row["role"] == "replica"]
    out = [row for row in replicas if not row["in"]]
    if not facts["settled"]:
        return Text(f"Nobody knows who leads; {facts['leader']} was the last", style="bold red")
    if not facts["leader_up"]:
        return Text(f"The leader {facts['leader']} is away", style="bold red")
    if facts.get("paused_s"):
        return Text(f"Clients are held for {facts['paused_s']:.1f} s more", style="bold yellow")
    if facts.get("takeover"):
        return Text(
            "Another rproxy serves too: until it has gone the leader answers all reads that must be fresh", style="bold yellow"
        )
    if out:
        return Text(
            f"{len(out)} of {len(replicas)} replicas out", style="bold red" if len(out) == len(replicas) else "bold yellow"
        )
    read = f"{len(replicas)} {'replica is' if len(replicas) == 1 else 'replicas are'} read" if replicas else "it has no replicas"
    return Text(f"All is well: {facts['leader']} leads, {read}", style="green")


def _table(title: str, headings: Sequence[str], left: Iterable[str]) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=heading != "why", header_style="dim")
    return table


def _servers(old: Facts, facts: Facts, span: float) -> Table:
    detail = ("p50", "p95", "p99", "probe", "lag", "mark") if _is_wide() else ("p99", "lag")
    table = _table("", ("server", "role", "is", "reads/s", "writes/s", *detail, "why"), ("server", "role", "is", "why"))
    table.title = None
    earlier = {row["server"]: row for row in old["servers"]}
    for row in facts["servers"]:
        was = earlier.get(row["server"], row)
        rates = per_second(was, {kind: row[kind] for kind in ("reads", "writes")}, span)
        spent = latency(old.get("latency"), facts.get("latency"), server=row["server"])
        follows = row["role"] == "replica"
        cells = {
            **_percentiles(spent),
            "probe": _ms(row["latency_ms"]),
            "lag": f"{row['lag_bytes']:,} B" if follows and row["lag_bytes"] is not None else NONE,
            "mark": _ms(row["mark_age_ms"]) if follows else NONE,
        }
        state = Text("in", style="green") if row["in"] else Text("out", style="bold red")
        rated = (f"{rates[kind]:,.0f}" for kind in ("reads", "writes"))
        table.add_row(Text(row["server"]), row["role"], state, *rated, *(cells[name] for name in detail), Text(row["why"]))
    return table


def _kinds(old: Facts, facts: Facts, span: float) -> RenderableType:
    kinds = facts.get("kinds")
    if kinds is None:
        return Text("Commands by kind: not available here", style="dim")
    rates = per_second(old.get("kinds"), kinds, span)
    table = _table("Commands", ("kind", "per second", "p50", "p95", "p99", "since the start"), ("kind",))
    for kind in (*KINDS, *(set(kinds) - set(KINDS))):
        if kinds.get(kind):
            spent = _percentiles(latency(old.get("latency"), facts.get("latency"), kind=kind))
            table.add_row(Text(kind), f"{rates[kind]:,.0f}", *spent.values(), f"{kinds[kind]:,}")
    return table if table.row_count else Text("No command has come yet", style="dim")


def _errors(old: Facts, facts: Facts, span: float) -> RenderableType:
    errors = facts.get("errors")
    if errors is None:
        return Text("Errors by code: not available here", style="dim")
    if not any(errors.values()):
        return Text("No command has had an error", style="dim")
    rates = per_second(old.get("errors"), errors, span)
    table = _table("Errors", ("code", "per second", "since the start"), ("code",))
    for code, count in sorted(errors.items(), key=lambda pair: -pair[1])[:MOST_ERRORS]:
        table.add_row(Text(code, style="yellow" if rates[code] else ""), f"{rates[code]:,.1f}", f"{count:,}")
    return table


def _slow(slow: Sequence[Facts]) -> RenderableType:
    if not slow:
        return Text("No command was slow", style="dim")
    wide = _is_wide()
    parts = ("waiting", "upstream", "writing", "total")
    who = ("server", "client") if wide else ()
    table = _table("Slow commands, the newest first", ("at", "command", *parts, *who), ("at", "command", *who))
    for row in slow[:MOST_SLOW]:
        spent = (_ms(row.get(f"{part}_ms")) for part in parts)
        at = time.strftime("%H:%M:%S", time.localtime(row["at"]))
        whom = (Text(str(row.get(key) or NONE)) for key in ("server", "addr")) if wide else ()
        table.add_row(at, Text(str(row["command"])), *spent, *whom)
    return table


def _is_wide() -> bool:
    return Console().width >= NARROW


def _percentiles(spent: Percentiles | None) -> dict[str, str]:
    return {name: _ms(getattr(spent, name, None)) for name in Percentiles._fields}


def _ms(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.2f} ms" if value < 10 else f"{value:,.0f} ms"
