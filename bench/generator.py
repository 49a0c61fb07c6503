"""The load generator: redis-benchmark (or valkey-benchmark), found on PATH, run as a child process, its CSV
read; for mixed commands `mixture`, in the same way.

Called by `rounds`. It must never decide how much to send (`load` does), nor let a run last for ever.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from dataclasses import dataclass

from bench import mixture
from bench.load import Load

NAMES = ("redis-benchmark", "valkey-benchmark")
INSTALL = (
    "the load generator redis-benchmark is not on PATH: it comes with Debian's and Ubuntu's package redis-tools "
    "(apt-get install redis-tools), and with Redis itself; valkey-benchmark (valkey-tools) will do too"
)
KEYS = 1000
"""How many keys the loads use, at random: `key:000000000000` and up, as the generator's `-r` names them."""
DEADLINE = 60.0
"""Seconds after which a run is given up: twenty times what it should last."""


class LoadFailed(RuntimeError):
    """A run gave no figures, or its figures can't be trusted. The text is one sentence for people."""


@dataclass(frozen=True)
class Figures:
    """What the generator saw: commands per second, latency in milliseconds."""

    rps: float
    p50_ms: float
    p99_ms: float


def find() -> str | None:
    """The path of the generator, None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def version(binary: str) -> str:
    """What the generator calls itself: `redis-benchmark 7.0.15`."""
    return subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10).stdout.strip()


def command_line(binary: str, load: Load, port: int, requests: int) -> list[str]:
    """The words that send `requests` commands of this load to 127.0.0.1:port."""
    if load.command == mixture.NAME:
        facts = (port, load.clients, load.pipeline, load.size, KEYS, requests)
        return [sys.executable, mixture.__file__, *map(str, facts)]
    words = [binary, "-h", "127.0.0.1", "-p", str(port), "-t", load.command.lower(), "-n", str(requests), "-c", str(load.clients)]
    return [*words, "-P", str(load.pipeline), "-d", str(load.size), "-r", str(KEYS), "--csv"]


def run(binary: str, load: Load, port: int, requests: int) -> Figures:
    """Send the load and wait for its end. Raises LoadFailed."""
    try:
        words = command_line(binary, load, port, requests)
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"not finished within {DEADLINE:g} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise LoadFailed(f"the load generator ended with {done.returncode}: {said[-1]}")
    return parse(done.stdout, load.command)


def parse(text: str, command: str) -> Figures:
    """The figures of `command` in the generator's `--csv` output. Raises LoadFailed where they are not.

    The columns are those of Redis 6.2 and newer; older ones print no percentiles. Lines before the heading
    (warnings about CONFIG) are skipped.
    """
    start = text.find('"test",')
    rows = csv.DictReader(io.StringIO(text[start:] if start >= 0 else ""))
    for row in rows:
        if row.get("test") == command:
            try:
                return Figures(float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]))
            except (KeyError, TypeError, ValueError) as problem:
                raise LoadFailed(f"a column of the load generator's table is missing or wrong: {problem}") from None
    raise LoadFailed(f"the load generator printed no row for {command} (redis-benchmark 6.2 or newer is needed)")
