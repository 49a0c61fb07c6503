"""What is written: medians over the rounds, rproxy's CPU against each peer's, the tables in markdown, the
results in JSON.

Called by `__main__` once at the end. It must never measure, and the markdown and the JSON must say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.load import Load
from bench.rounds import Outcome, Sample

RPROXY = "rproxy"
MEGABYTE = 2**20
NONE = "-"
COLUMNS = {
    # heading -> its meaning, for people
    "proxy": "`direct` is the load generator connected to the leader",
    "CPU": "microseconds of the proxy's CPU, user and kernel, per command: median of the rounds",
    "user": "of these, in its own code",
    "kernel": "of these, in the kernel",
    "spread": "highest less lowest round, in percent of the median: differences below it mean nothing",
    "rproxy/it": "rproxy's CPU per command divided by this row's; under 1.00 rproxy needs less",
    "servers": "microseconds of the CPU of leader and replicas together, per command",
    "commands/s": "what the load generator got through, on cores shared with proxy and servers",
    "p50": "milliseconds, median latency",
    "p99": "milliseconds",
    "memory": "the proxy's resident MB after the load, in brackets its peak; each load has a fresh proxy",
}


@dataclass(frozen=True)
class Row:
    """One row of the table: a proxy under a load. Medians over its rounds, each column by itself; `spread` in
    percent, `against` a ratio.
    """

    name: str
    rounds: int
    rps: float
    p50_ms: float
    p99_ms: float
    servers_us: float
    cpu_us: float | None
    user_us: float | None
    kernel_us: float | None
    spread: float | None
    against: float | None
    resident: float | None
    peak: float | None


def middle(samples: Sequence[Sample], name: str) -> float | None:
    """The median of one figure; None where it was not taken."""
    values = [value for sample in samples if (value := getattr(sample, name)) is not None]
    return float(median(values)) if values else None


def spread(samples: Sequence[Sample]) -> float | None:
    """Highest less lowest CPU per command, in percent of the median."""
    values = [sample.cpu_us for sample in samples if sample.cpu_us is not None]
    centre = median(values) if values else 0.0
    return (max(values) - min(values)) / centre * 100 if centre else None


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """ours / theirs; None where one is missing or nothing."""
    return ours / theirs if ours and theirs else None


def rows(samples: Mapping[str, Sequence[Sample]]) -> list[Row]:
    """The rows of one load, in the order in which they were started; without those that have no round."""
    ours = middle(samples.get(RPROXY, ()), "cpu_us")
    return [_row(name, taken, ours) for name, taken in samples.items() if taken]


def _row(name: str, taken: Sequence[Sample], ours: float | None) -> Row:
    value = {figure: middle(taken, figure) for figure in asdict(taken[0])}
    return Row(
        name=name,
        rounds=len(taken),
        rps=value["rps"] or 0.0,
        p50_ms=value["p50_ms"] or 0.0,
        p99_ms=value["p99_ms"] or 0.0,
        servers_us=value["servers_us"] or 0.0,
        cpu_us=value["cpu_us"],
        user_us=value["user_us"],
        kernel_us=value["kernel_us"],
        spread=spread(taken),
        against=None if name == RPROXY else ratio(ours, value["cpu_us"]),
        resident=value["resident"],
        peak=value["peak"],
    )


def cells(row: Row) -> list[str]:
    """The row as text, in the order of COLUMNS."""
    memory = f"{(row.resident or 0) / MEGABYTE:.1f} ({(row.peak or 0) / MEGABYTE:.1f})" if row.resident is not None else NONE
    figures = [number(row.cpu_us), number(row.user_us), number(row.kernel_us), _percent(row.spread), number(row.against)]
    return [row.name, *figures, number(row.servers_us), f"{row.rps:,.0f}", latency(row.p50_ms), latency(row.p99_ms), memory]


def number(value: float | None) -> str:
    """Two digits behind the point, one from 10 on."""
    if value is None:
        return NONE
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def latency(milliseconds: float) -> str:
    """Three digits behind the point under 1 ms, as the load generator gives them; one from there on."""
    return f"{milliseconds:.3f}" if milliseconds < 1 else f"{milliseconds:.1f}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f} %"


def table(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A markdown table, aligned so that it reads well as plain text: words left, figures right."""
    widths = [max(len(line[index]) for line in (heading, *lines)) for index in range(len(heading))]

    def drawn(line: Sequence[str]) -> str:
        first, *others = zip(line, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([drawn(heading), rule, *map(drawn, lines)])


def summary(outcome: Outcome) -> str:
    """CPU per command, a line for each load and a column for each proxy."""
    names = list(dict.fromkeys(name for samples in outcome.samples.values() for name in samples))
    lines = []
    for load in outcome.loads:
        taken = outcome.samples[load.key]
        lines.append([load.title, *(number(middle(taken.get(name, ()), "cpu_us")) for name in names)])
    empty = [column for column in range(1, len(names) + 1) if all(line[column] == NONE for line in lines)]
    kept = [column for column in range(len(names) + 1) if column not in empty]
    return table([["load", *names][column] for column in kept], [[line[column] for column in kept] for line in lines])


def markdown(facts: Mapping[str, Mapping[str, str]], outcome: Outcome, rounds: int, picture: str = "") -> str:
    """The whole report."""
    parts = ["# Benchmark", *(_facts(name, values) for name, values in facts.items())]
    parts.append(f"Medians of {rounds} interleaved rounds; one thread per proxy; a leader and two replicas behind.")
    if outcome.problems:
        parts += ["## What went wrong", "\n".join(f"- {problem}" for problem in outcome.problems)]
    if outcome.loads:
        parts += ["## Proxy CPU per command, microseconds (user and kernel)", summary(outcome)]
        parts += [f"![Proxy CPU per command by load]({picture})"] if picture else []
        parts += ["## Everything, load by load", "\n".join(f"- **{name}**: {meaning}" for name, meaning in COLUMNS.items())]
    for load in outcome.loads:
        lines = [cells(row) for row in rows(outcome.samples[load.key])]
        parts += [f"### {load.title} (`{load.key}`, {load.requests:,} commands)", table(list(COLUMNS), lines)]
    return "\n\n".join(parts) + "\n"


def _facts(name: str, values: Mapping[str, str]) -> str:
    return f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items())


def results(facts: Mapping[str, Mapping[str, str]], outcome: Outcome, rounds: int) -> dict[str, Any]:
    """For results.json: the facts, and by load and proxy the medians and every round. Microseconds,
    milliseconds, bytes.
    """
    loads = {load.key: _load_results(load, outcome.samples[load.key]) for load in outcome.loads}
    return {"facts": facts, "rounds": rounds, "problems": outcome.problems, "loads": loads}


def _load_results(load: Load, samples: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    proxies = {row.name: {"median": asdict(row), "rounds": [asdict(one) for one in samples[row.name]]} for row in rows(samples)}
    return {"load": asdict(load), "proxies": proxies}
