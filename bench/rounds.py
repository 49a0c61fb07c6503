"""The order of the runs, and one run: per load, every proxy is started and warmed up, then measured once in
each round, starting with another one each time.

Called by `__main__`. Interleaving is what makes the figures of one load comparable: what else happens on the
machine hits all of them. It must never report a run whose commands did not all arrive at the servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bench import generator, measure
from bench.generator import LoadFailed
from bench.load import Load
from bench.measure import Cpu, Memory
from bench.peers import Peer
from bench.running import Proxy, commands_served, fill, proxies, settle
from rproxy.embedded import EmbeddedServer

Target = TypeVar("Target")
DIRECT = "direct"
"""The row without a proxy: the load generator connected to the leader."""
WARM_UP = 0.1
"""Part of a load's commands that each proxy passes before the first round."""


@dataclass(frozen=True)
class Sample:
    """One run. CPU in microseconds per command: of the proxy (in all, in user code, in the kernel; None for
    the direct row) and of all servers together.

    Memory in bytes: the proxy's, resident, after the run and at its peak since it started for this load.
    """

    rps: float
    p50_ms: float
    p99_ms: float
    servers_us: float
    cpu_us: float | None = None
    user_us: float | None = None
    kernel_us: float | None = None
    resident: int | None = None
    peak: int | None = None


@dataclass
class Outcome:
    """All that was measured: samples by load key and row, and a sentence for each thing that went wrong."""

    loads: list[Load] = field(default_factory=list)
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """What stays the same over all loads. `tell` gets a line of progress now and then."""

    servers: Sequence[EmbeddedServer]
    peers: Sequence[tuple[Peer, str]]
    generator: str
    rounds: int
    tell: Callable[[str], None]


def run_all(bench: Bench, loads: Iterable[Load], outcome: Outcome) -> None:
    """Measure the loads one after the other; `outcome` grows as they are done, so that an interrupted
    benchmark has something to show.
    """
    for load in loads:
        fill(bench.servers, load.size)
        with proxies(bench.peers, bench.servers) as (started, failed):
            outcome.problems += [f"{load.title}: {sentence}" for sentence in failed]
            bench.tell(f"{load.title}: {load.requests:,} commands, {bench.rounds} rounds")
            outcome.loads.append(load)
            outcome.samples[load.key] = {row: [] for row in (DIRECT, *(proxy.name for proxy in started))}
            _run_load(bench, load, [None, *started], outcome)


def _run_load(bench: Bench, load: Load, targets: list[Proxy | None], outcome: Outcome) -> None:
    for target in list(targets):
        _attempt(bench, load, target, targets, outcome, max(1, int(load.requests * WARM_UP)), keep=False)
    for turn in range(bench.rounds):
        for target in rotated(targets, turn):
            _attempt(bench, load, target, targets, outcome, load.requests, keep=True)


def rotated(targets: Sequence[Target], turn: int) -> list[Target]:
    """The same targets in the same order, the first one another in each round."""
    first = turn % len(targets) if targets else 0
    return [*targets[first:], *targets[:first]]


def _attempt(
    bench: Bench, load: Load, target: Proxy | None, targets: list[Proxy | None], outcome: Outcome, requests: int, keep: bool
) -> None:
    """One run; whoever fails is not asked again for this load, since its clients may have left half a
    pipeline behind.
    """
    row = target.name if target else DIRECT
    try:
        sample = run_once(bench, load, target, requests)
    except LoadFailed as problem:
        outcome.problems.append(f"{load.title}: {row}: {problem}")
        targets.remove(target)
        return
    if keep:
        outcome.samples[load.key][row].append(sample)


def run_once(bench: Bench, load: Load, target: Proxy | None, requests: int) -> Sample:
    """Send the load once, to the proxy or to the leader. Raises LoadFailed also when fewer commands were
    executed than sent.
    """
    leader, *replicas = bench.servers
    behind = measure.family(server.process.pid for server in bench.servers)
    front = measure.family([target.process.pid]) if target else []
    served = commands_served(bench.servers, load.command)
    servers_before, before = measure.quiet_cpu(behind), measure.quiet_cpu(front)
    figures = generator.run(bench.generator, load, target.port if target else leader.port, requests)
    used, servers_used = measure.quiet_cpu(front) - before, measure.quiet_cpu(behind) - servers_before
    settle(leader, replicas)
    served = commands_served(bench.servers, load.command) - served
    if served < requests:
        raise LoadFailed(f"the servers executed {served:,} of {requests:,} commands")
    sample = Sample(figures.rps, figures.p50_ms, figures.p99_ms, servers_used.total / requests * 1e6)
    return with_proxy(sample, used, measure.memory(front), requests) if target else sample


def with_proxy(sample: Sample, used: Cpu, memory: Memory, requests: int) -> Sample:
    """The sample with what the proxy used for these commands."""
    each = used.total / requests * 1e6
    kernel = each * used.kernel_share
    return replace(sample, cpu_us=each, user_us=each - kernel, kernel_us=kernel, resident=memory.now, peak=memory.peak)
