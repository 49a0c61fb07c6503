"""The order of the runs, and real runs against a real server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bench.load import Load
from bench.measure import Cpu, Memory
from bench.rounds import Bench, Outcome, Sample, rotated, run_all, with_proxy
from rproxy.embedded import EmbeddedServer, started_cluster

SAMPLE = Sample(rps=1000.0, p50_ms=1.0, p99_ms=2.0, servers_us=3.0)

GENERATOR = """\
#!{python}
# What redis-benchmark does for the benchmark, for machines that have none: {share} of the commands, and its table.
import socket, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
name, count = options["-t"].upper(), int(int(options["-n"]) * {share})
value = "" if name == "GET" else "$1\\r\\nx\\r\\n"
command = f"*{{3 if value else 2}}\\r\\n$3\\r\\n{{name}}\\r\\n$16\\r\\nkey:000000000001\\r\\n{{value}}"
with socket.create_connection((options["-h"], int(options["-p"])), 10) as connection, connection.makefile("rb") as replies:
    for _ in range(count):
        connection.sendall(command.encode())
        if replies.readline().startswith(b"$"):
            replies.readline()
print('"test","rps","p50_latency_ms","p99_latency_ms"')
print(f'"{{name}}","1000.0","0.1","0.2"')
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[list[EmbeddedServer]]:
    with started_cluster(replicas=1) as started:
        yield started


def measured(servers: Sequence[EmbeddedServer], folder: Path, load: Load, share: float) -> Outcome:
    """Two rounds without any proxy, by a generator that sends this part of what it is asked for."""
    path, outcome = folder / "generator", Outcome()
    path.write_text(GENERATOR.format(python=sys.executable, share=share))
    path.chmod(0o700)
    run_all(Bench(servers, [], str(path), 2, lambda line: None), [load], outcome)
    return outcome


def test_every_round_starts_with_another_one_and_asks_all() -> None:
    assert [rotated("abc", turn) for turn in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert rotated([], 5) == []


def test_the_proxys_cpu_is_divided_by_the_commands_and_split_by_its_share() -> None:
    sample = with_proxy(SAMPLE, Cpu(total=1.0, user=0.25, kernel=0.75), Memory(10, 20), requests=100_000)
    assert (sample.cpu_us, sample.user_us, sample.kernel_us) == pytest.approx((10.0, 2.5, 7.5))
    assert (sample.resident, sample.peak, sample.rps) == (10, 20, 1000.0)


@pytest.mark.parametrize("command", ["GET", "SET"])
def test_every_round_of_the_direct_row_is_kept(servers: list[EmbeddedServer], tmp_path: Path, command: str) -> None:
    load = Load(command, 100, 1, 1, 200)
    outcome = measured(servers, tmp_path, load, share=1.0)
    assert outcome.problems == []
    [first, second] = outcome.samples[load.key]["direct"]
    assert first.rps == 1000.0 and second.servers_us > 0 and first.cpu_us is None


@pytest.mark.parametrize("command", ["GET", "SET"])
def test_a_run_whose_commands_did_not_all_arrive_is_not_kept(servers: list[EmbeddedServer], tmp_path: Path, command: str) -> None:
    load = Load(command, 100, 1, 1, 200)
    outcome = measured(servers, tmp_path, load, share=0.5)
    assert outcome.samples[load.key]["direct"] == []
    assert "the servers executed 10 of 20 commands" in outcome.problems[0]
