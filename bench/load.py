"""The loads: which command, which size, how many clients, how deep a pipeline, how many commands.

Called by `__main__`, which selects, and by `generator`, which sends. It must never measure anything: a load
is the same for every proxy and every round, its count of commands fixed before the first run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from bench.mixture import NAME

COMMANDS = ("GET", "SET")
SIZES = (100, 16384)
"""Bytes of a value."""
CLIENTS = (1, 50, 500)
PIPELINES = (1, 16)
TITLES = {NAME: "90 % GET, 10 % SET"}
MIXED = (NAME, 100, 50, 16)
QUICK = ("get-100b-c50-p1", "set-100b-c50-p1", "get-100b-c50-p16")

SECONDS = 1.5
"""How long a run should last, about, at the rates below."""
RATES = {
    # (small value, one client, pipelined): commands per second, about, measured through the proxies on 2
    # cores
    (True, True, False): 12_000,
    (True, True, True): 100_000,
    (True, False, False): 60_000,
    (True, False, True): 300_000,
    (False, True, False): 8_000,
    (False, True, True): 20_000,
    (False, False, False): 20_000,
    (False, False, True): 20_000,
}


@dataclass(frozen=True)
class Load:
    """What one run of the load generator sends: `requests` commands in all, from `clients` connections,
    `pipeline` at a time, values of `size` bytes.
    """

    command: str
    size: int
    clients: int
    pipeline: int
    requests: int

    @property
    def key(self) -> str:
        """Its name on the command line and in the results: `get-100b-c50-p16`."""
        size = f"{self.size // 1024}kb" if self.size % 1024 == 0 else f"{self.size}b"
        return f"{self.command.lower()}-{size}-c{self.clients}-p{self.pipeline}"

    @property
    def title(self) -> str:
        """Its name for people."""
        clients = f"{self.clients} client{'s' if self.clients > 1 else ''}"
        pipeline = f", pipeline {self.pipeline}" if self.pipeline > 1 else ""
        return f"{TITLES.get(self.command, self.command)} {spelled(self.size)}, {clients}{pipeline}"


def spelled(size: int) -> str:
    """100 -> `100 B`, 16384 -> `16 KB`."""
    return f"{size // 1024} KB" if size % 1024 == 0 else f"{size} B"


def matrix(scale: float = 1.0) -> list[Load]:
    """Every load; `scale` multiplies the counts of commands."""
    return [_load(*row, scale=scale) for row in (*product(COMMANDS, SIZES, CLIENTS, PIPELINES), MIXED)]


def _load(command: str, size: int, clients: int, pipeline: int, scale: float) -> Load:
    rate = RATES[size <= 1024, clients == 1, pipeline > 1]
    step = clients * pipeline  # else the generator sends a last, shorter batch, or more than asked
    return Load(command, size, clients, pipeline, max(1, round(rate * SECONDS * scale / step)) * step)


def select(loads: Iterable[Load], patterns: Sequence[str]) -> list[Load]:
    """The loads whose key matches one of the patterns (`get-*-c50-*`); all without patterns. Raises
    ValueError for a pattern that matches none.
    """
    loads = list(loads)
    for pattern in patterns:
        if not any(fnmatchcase(load.key, pattern) for load in loads):
            raise ValueError(f"no load matches {pattern}; the loads are {', '.join(load.key for load in loads)}")
    return [load for load in loads if not patterns or any(fnmatchcase(load.key, pattern) for pattern in patterns)]
