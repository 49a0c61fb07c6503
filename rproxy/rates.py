"""What happens per second, from two statuses of one rproxy: rates of counters, and percentiles of what its histograms counted in between.

Called by `top`. The page does the same in JavaScript (admin/static/percentiles.js), and a test holds them together. It must never ask anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Facts = Mapping[str, Any]


class Percentiles(NamedTuple):
    """In milliseconds; None where nothing was counted."""

    p50: float | None
    p95: float | None
    p99: float | None


def per_second(before: Mapping[str, float] | None, after: Mapping[str, float], span: float) -> dict[str, float]:
    """Of counters by name; one that is new began at 0."""
    old = before or {}
    return {name: max(0.0, (value - old.get(name, 0)) / span) if span > 0 else 0.0 for name, value in after.items()}


def latency(before: Facts | None, after: Facts | None, kind: str = "", server: str = "") -> Percentiles | None:
    """Of the commands between two states of the histograms: of all, of one kind, or of one server. None where rproxy keeps no histograms."""
    if not after or "series" not in after:
        return None
    counts = difference(before, after, kind, server)
    return Percentiles(*(percentile(after["bounds_ms"], counts, share) for share in (0.5, 0.95, 0.99)))


def difference(before: Facts | None, after: Facts, kind: str = "", server: str = "") -> list[float]:
    """How many commands came into each bucket."""
    total = [0.0] * (len(after["bounds_ms"]) + 1)
    earlier = {(row["kind"], row["server"]): row["counts"] for row in (before or {}).get("series", ())}
    for row in after["series"]:
        if (kind and row["kind"] != kind) or (server and row["server"] != server):
            continue
        old = earlier.get((row["kind"], row["server"]), [0] * len(total))
        total = [sum_ + max(0, new - was) for sum_, new, was in zip(total, row["counts"], old, strict=True)]
    return total


def percentile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """The value under which a share of all lies: straight between the bounds of its bucket; above the last bound, that bound."""
    rest = share * sum(counts)
    if not rest:
        return None
    low = 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if 0 < count >= rest:
            return low + (bound - low) * rest / count
        rest -= count
        low = bound
    return bounds[-1]
