"""The picture: proxy CPU per command as grouped bars, a panel for each command, size and pipeline, a group
for each number of clients.

Called by `__main__`. matplotlib is imported here and nowhere else, when it is needed, so that the table comes
without it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.load import Load, spelled
from bench.report import RPROXY, Row, rows
from bench.rounds import Outcome

COLOURS = {RPROXY: "#d1495b", "predixy": "#30638e", "nutcracker": "#66a182", "Envoy": "#8d6a9f", "HAProxy": "#9a9a9a"}
OTHERS = ("#edae49", "#e07a5f", "#6d597a", "#b56576")
"""For further rows of rproxy."""
COLUMNS = 4
GROUP = 0.86
"""Width of a group of bars; 1.0 would touch the next one."""

Panel = tuple[str, int, int]


def panels(loads: Sequence[Load]) -> dict[Panel, list[Load]]:
    """The loads by command, size and pipeline, in the order of the loads."""
    sorted_out: dict[Panel, list[Load]] = {}
    for load in loads:
        sorted_out.setdefault((load.command, load.size, load.pipeline), []).append(load)
    return sorted_out


def draw(outcome: Outcome, path: Path) -> None:
    """Write the PNG. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patches, pyplot

    shown = panels(outcome.loads)
    names = [name for name in _names(outcome) if _has_cpu(outcome, name)]
    colours = colours_of(names)
    wide = min(COLUMNS, len(shown))
    high = -(-len(shown) // wide)
    figure, axes = pyplot.subplots(high, wide, figsize=(4.6 * wide + 0.6, 3.6 * high + 1.2), squeeze=False, layout="constrained")
    for axis, (panel, loads) in zip(axes.flat, shown.items(), strict=False):
        _panel(axis, panel, loads, outcome, names, colours)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    handles = [patches.Patch(color=colours[name], label=name) for name in names]
    figure.suptitle("Proxy CPU per command, microseconds: kernel (full colour), its own code (light). Less is better.")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each row; a peer's is the same in every picture."""
    spare = iter(OTHERS * len(names))
    return {name: COLOURS.get(name) or next(spare) for name in names}


def _panel(
    axis: Any, panel: Panel, loads: Sequence[Load], outcome: Outcome, names: Sequence[str], colours: dict[str, str]
) -> None:
    command, size, pipeline = panel
    axis.set_title(f"{command} {spelled(size)}, {f'pipeline {pipeline}' if pipeline > 1 else 'no pipeline'}", fontsize=11)
    width = GROUP / len(names)
    for group, load in enumerate(loads):
        found = {row.name: row for row in rows(outcome.samples[load.key])}
        for place, name in enumerate(names):
            if name in found:
                _bar(axis, group - GROUP / 2 + (place + 0.5) * width, width, found[name], colours[name])
    axis.set_xticks(range(len(loads)), [f"{load.clients} client{'s' if load.clients > 1 else ''}" for load in loads])
    axis.set_xlim(-0.5, len(loads) - 0.5)
    axis.set_ylabel("us per command")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(y=0.12)


def _bar(axis: Any, middle: float, width: float, row: Row, colour: str) -> None:
    kernel, user = row.kernel_us or 0.0, row.user_us or 0.0
    axis.bar(middle, kernel, width * 0.94, color=colour)
    axis.bar(middle, user, width * 0.94, bottom=kernel, color=colour, alpha=0.45)
    total = kernel + user
    text = f"{total:.1f}" if total >= 9.95 else f"{total:.2f}"
    axis.annotate(text, (middle, total), (0, 2), textcoords="offset points", ha="center", va="bottom", rotation=90, fontsize=7)


def _names(outcome: Outcome) -> list[str]:
    return list(dict.fromkeys(name for samples in outcome.samples.values() for name in samples))


def _has_cpu(outcome: Outcome, name: str) -> bool:
    return any(sample.cpu_us is not None for samples in outcome.samples.values() for sample in samples.get(name, ()))
