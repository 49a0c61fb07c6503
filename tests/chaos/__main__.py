"""`python -m tests.chaos`: run nemeses, all or those that are named, one after the other, and print a table."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from rproxy.embedded import EmbeddedError
from tests.chaos.checker import check, longest_gap
from tests.chaos.clients import Load
from tests.chaos.connection import Connection
from tests.chaos.history import Kind, now
from tests.chaos.nemeses import NEMESES, Nemesis, Run, chosen
from tests.chaos.rig import Rig

SHORT = ("leader-kill-promote", "failover-command", "net-reset", "worker-kill", "client-kill", "replication-lag")
"""What CI runs, each for `SHORT_SECONDS`."""
SHORT_SECONDS = 10.0
WARM = 2.0
SHOWN = 4
INTERNAL = re.compile(r"internal error|Traceback|never retrieved|Fatal error|AssertionError")
IN_NAMESPACE = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


@dataclass
class Verdict:
    """How one run went; `wrong` is empty when nothing was wrong."""

    name: str
    wrong: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)
    operations: int = 0
    errors: int = 0
    writes: float = 0.0
    reads: float = 0.0
    left_out: str = ""
    broken: bool = False

    def line(self) -> str:
        if self.left_out:
            return f"{self.name:32} left out: {self.left_out}"
        said = "; ".join(self.wrong) or "ok"
        more = f" ({'; '.join(self.forgiven)}: allowed here)" if self.forgiven else ""
        return f"{self.name:32} {self.operations:7} {self.errors:7} {self.writes:7.2f} {self.reads:7.2f}  {said}{more}"


HEAD = f"{'nemesis':32} {'ops':>7} {'errors':>7} {'no wr.':>7} {'no rd.':>7}  verdict (the longest times without a write and a read, in seconds)"


def main(words: list[str] | None = None) -> int:
    """The exit code: 0 when nothing was wrong, 1 for a violation, 2 when the rig itself has failed."""
    options = _options(words)
    if options.list:
        for name, nemesis in NEMESES.items():
            print(f"{name:32} {nemesis.title}")
        return 0
    names = list(SHORT) if options.short else chosen(options.names)
    seconds = options.seconds or (SHORT_SECONDS if options.short else None)
    verdicts = []
    for name in names:
        for _ in range(options.tries):
            verdict = _one(name, NEMESES[name], options, seconds)
            if not options.inside:
                print(verdict.line(), flush=True)
            if not verdict.wrong and not verdict.broken:
                break
        verdicts.append(verdict)
    if options.inside:
        return _code(verdicts)
    print(f"\nseed {options.seed}\n{HEAD}")
    for verdict in verdicts:
        print(verdict.line())
    return _code(verdicts)


def _code(verdicts: list[Verdict]) -> int:
    return 2 if any(verdict.broken for verdict in verdicts) else 1 if any(verdict.wrong for verdict in verdicts) else 0


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NEMESIS", help="which ones; all without a name")
    parser.add_argument("--list", action="store_true", help="say which there are, and run nothing")
    parser.add_argument("--short", action="store_true", help=f"CI's choice: {', '.join(SHORT)}")
    parser.add_argument("--seconds", type=float, help="how long each goes on (default: its own time)")
    parser.add_argument("--workers", type=int, help="rproxy's workers (default: the nemesis's)")
    parser.add_argument(
        "--pace", type=float, default=0.025, help="seconds that each client rests between two operations, on average"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="how many times longer nothing may be served: for a busy machine",
    )
    parser.add_argument(
        "--tries",
        type=int,
        choices=range(1, 10),
        default=1,
        help="how often a nemesis is run that finds something; what every run finds counts (all are shown)",
    )
    parser.add_argument("--seed", type=int, default=1, help="for what is decided by chance here; timing is not repeatable")
    parser.add_argument("--flag", action="append", default=[], help="a flag for rproxy, as --flag=--timeouts.connect=2ms")
    parser.add_argument("--binary", default="", help="the servers' program")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def _one(name: str, nemesis: Nemesis, options: argparse.Namespace, seconds: float | None) -> Verdict:
    verdict = Verdict(name, left_out=nemesis.needs())
    if verdict.left_out:
        return verdict
    if nemesis.namespace and not options.inside:
        return _in_namespace(verdict, options)
    print(f"--- {name}: {nemesis.title}", flush=True)
    random.seed(options.seed)
    try:
        asyncio.run(_run(nemesis, options, seconds or nemesis.seconds, verdict))
    except Exception as problem:
        traceback.print_exc()
        verdict.broken = True
        verdict.wrong.append(f"THE RIG FAILED: {problem!r}"[:200])
    return verdict


def _in_namespace(verdict: Verdict, options: argparse.Namespace) -> Verdict:
    """Run it in a process of its own, whose network nobody shares."""
    with contextlib.ExitStack() as stack:
        rig = stack.enter_context(Rig())
        resolver = Path(rig.folder) / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        again = [
            sys.executable,
            "-m",
            "tests.chaos",
            verdict.name,
            "--inside",
            "--seed",
            str(options.seed),
            "--patience",
            str(options.patience),
        ]
        done = subprocess.run(["unshare", "-n", "-m", "sh", "-c", IN_NAMESPACE, "sh", str(resolver), *again])
    if done.returncode:
        verdict.wrong.append("see above")
        verdict.broken = done.returncode != 1
    return verdict


async def _run(nemesis: Nemesis, options: argparse.Namespace, seconds: float, verdict: Verdict) -> None:
    with Rig(durable=nemesis.durable, binary=options.binary or nemesis.binary, arguments=nemesis.arguments) as rig:
        rig.start_servers(nemesis.relayed, nemesis.replication_relayed)
        if nemesis.sentinels:
            rig.start_sentinels()
        load = Load(rig.port, options.pace)
        run = Run(rig, load.history, options.workers or nemesis.workers)
        if nemesis.start is not None:
            nemesis.start(run)
        else:
            rig.start_proxy(*options.flag, workers=run.workers)
        load.start()
        await asyncio.sleep(WARM)
        begun = now()
        run.until = begun + seconds
        try:
            await nemesis.do(run)
        except EmbeddedError as problem:
            load.history.found(Kind.ODD, f"the nemesis has waited in vain: {problem}")
        healed = now()
        await asyncio.sleep(nemesis.settle)
        ended = now()
        await load.end()
        if nemesis.sentinels:
            rig.leader = rig.named()
        await asyncio.to_thread(check, load.history, rig.data())
        _judge(nemesis, run, verdict, (begun, healed, ended), options.patience)


def _judge(nemesis: Nemesis, run: Run, verdict: Verdict, times: tuple[float, float, float], patience: float) -> None:
    """Put what was found, and what the times say, into words."""
    begun, healed, ended = times
    history, log = run.history, run.rig.log()
    verdict.operations, verdict.errors = history.operations, sum(history.errors.values())
    verdict.writes, verdict.reads = (longest_gap(seen, begun, ended) for seen in (history.writes, history.reads))
    if unasked := Connection.take_unasked():
        history.found(Kind.UNASKED, f"{unasked} replies")
    if verdict.writes > nemesis.writes * patience:
        history.found(Kind.NO_WRITES, f"{verdict.writes:.2f} s, {nemesis.writes:g} s are allowed")
    if verdict.reads > nemesis.reads * patience:
        history.found(Kind.NO_READS, f"{verdict.reads:.2f} s, {nemesis.reads:g} s are allowed")
    if not any(time > healed + 1 for time in history.writes) or not any(time > healed + 1 for time in history.reads):
        history.found(Kind.NOT_SERVED, "")
    if run.rig.proxy.poll() is not None and not nemesis.ends:
        history.found(Kind.DIED, f"with {run.rig.proxy.poll()}")
    for line in [line for line in log.splitlines() if INTERNAL.search(line)][:SHOWN]:
        history.found(Kind.LOG, line[:300])
    for kind, texts in history.findings.items():
        (verdict.forgiven if kind in nemesis.forgiven else verdict.wrong).append(f"{kind.name} {len(texts)}")
        for text in texts[:SHOWN]:
            print(f"    {kind.name} ({kind.value}) {text}")
    for text, count in history.errors.most_common(8):
        print(f"    {count:6} x {text}")
    verdict.wrong.sort()
    if verdict.wrong:
        print(f"--- the end of rproxy's log ---\n{log[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
