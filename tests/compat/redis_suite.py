"""Redis's own test suite, run against a server and then against rproxy in front of another: what is lost on the way?

`make compat` calls it: `python -m tests.compat.redis_suite [--resp3] [--fresh] [--every] [unit ...]`. It fails on a test that passes direct, not through
rproxy, and is not listed in docs/differences.md. The suite is the one of Debian's redis source package, kept under ~/.cache/rproxy-compat. Every unit gets a
server and an rproxy of its own, so that a unit passes or fails alike whatever ran before it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.integration.harness import rproxy
from tests.integration.servers import Cluster, Node, lagging_cluster
from tests.integration.wire import eventually

ROOT = Path(__file__).parent.parent.parent
LIST = ROOT / "docs" / "differences.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rproxy-compat"
APT = (
    (Path("/etc/apt/sources.list.d/debian.sources"), r"(?m)^Types: deb$", "Types: deb-src"),
    (Path("/etc/apt/sources.list"), r"(?m)^deb ", "deb-src "),
)
"""Where Debian says whence its packages come, and how to ask for the sources instead."""
PROGRAMS = ("redis-server", "redis-cli", "redis-benchmark", "redis-sentinel")
TYPES = "string incr list list-2 list-3 set zset hash stream stream-cgroups"
OTHERS = (
    "auth bitops bitfield expire functions geo hyperloglog info introspection introspection-2 keyspace latency-monitor lazyfree limits multi networking "
    "other pause protocol pubsub pubsubshard querybuf quit scan scripting slowlog sort tracking dump obuf-limits"
)
UNITS = [f"unit/type/{name}" for name in TYPES.split()] + [f"unit/{name}" for name in OTHERS.split()]
LEFT_OUT = (
    "-slow -needs:debug -needs:repl -needs:reset -needs:config-maxmemory -needs:config-resetstat -needs:save -needs:pfdebug"
)
HELLO_3 = r"""
    set ::redis::readraw($id) 0
    puts -nonewline $fd "HELLO 3\r\n"
    flush $fd
    catch {::redis::redis_read_reply $id $fd}
    set ::redis::readraw($id) $readraw
"""
"""Tcl, for the suite's client."""
ALLOWED = ("--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--enable-module-command", "yes")
QUIET = ("--timeouts.drain", "1s", "--timeouts.probe_interval", "60s")
"""Flags for rproxy: with probes that MONITOR shows only where they are needed, and no wait for what a unit leaves behind."""
LAG = 0.02
"""Seconds by which the replicas are behind."""
UNIT_TIMEOUT = 120.0
HARNESS_PORT = 32
"""The suite's harness listens on so many ports below its base port (test_helper.tcl, test_server_main)."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RESULT = re.compile(r"\[(ok|err|exception)\]: (.*?)(?: \(\d+ ms\))?$")


def fetch() -> Path:
    """The unpacked source package of this machine's Debian, fetched by apt where it is not there yet."""
    source = CACHE / "redis"
    if not source.exists():
        lists = CACHE / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        known, binaries, sources = next(entry for entry in APT if entry[0].exists())
        (CACHE / f"src{known.suffix}").write_text(re.sub(binaries, sources, known.read_text()))
        apt = ["apt-get", "-qq", "-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::Etc::sourcelist={CACHE}/src{known.suffix}"]
        apt += ["-o", f"Dir::State::Lists={lists}"]
        subprocess.run([*apt, "update"], check=True, cwd=CACHE)
        subprocess.run([*apt, "source", "--download-only", "redis"], check=True, cwd=CACHE)
        fresh = CACHE / "redis.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        (archive,) = CACHE.glob("redis_*.orig.tar.gz")
        subprocess.run(["tar", "-xzf", archive, "-C", fresh, "--strip-components=1"], check=True)
        fresh.rename(source)
    return source


def copy(source: Path, into: Path) -> Path:
    """A copy of what the suite needs, in which it can leave its files: two runs of it must not share a folder."""
    into.mkdir()
    for part in ("tests", "utils"):
        shutil.copytree(source / part, into / part)
    shutil.copy(source / "runtest", into / "runtest")
    (into / "src").mkdir()
    for program in PROGRAMS:
        if path := shutil.which(program):
            (into / "src" / program).symlink_to(path)
    return into


def speak_resp3(folder: Path) -> None:
    """Have every client of the suite begin with HELLO 3: the suite of 7.0 has no option for that."""
    client = folder / "tests" / "support" / "redis.tcl"
    text = client.read_text()
    last = "    interp alias {} ::redis::redisHandle$id"
    assert text.count(last) == 1
    client.write_text(text.replace(last, HELLO_3 + last))


def base_port() -> int:
    """A base port whose harness port is free: below the range from which the kernel takes ports for connections."""
    while True:
        port = random.randrange(12_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port + HARNESS_PORT


def outcome(log: str) -> tuple[Counter[str], list[str]]:
    """The tests that passed, each as often as it did, and what failed, as a run of the suite prints it."""
    passed: Counter[str] = Counter()
    failed = []
    for line in _COLOUR.sub("", log).splitlines():
        if found := _RESULT.match(line):
            if found[1] == "ok":
                passed[found[2]] += 1
            else:
                failed.append(found[2])
    return passed, failed


class Mode(NamedTuple):
    """How the suite is run: its clients speak RESP3, or rproxy gives fresh reads from replicas that lag."""

    resp3: bool = False
    fresh: bool = False

    def __str__(self) -> str:
        return f"{', RESP3' * self.resp3}{', fresh' * self.fresh}"


EVERY = (Mode(), Mode(resp3=True), Mode(fresh=True))
AT_ONCE = 3
"""Sides that run at once: each takes half a core."""


class Side:
    """One side of the comparison: the suite against a server, or `through` rproxy in front of one."""

    def __init__(self, source: Path, folder: Path, through: bool, mode: Mode, units: Sequence[str], verbose: bool) -> None:
        self._folder = copy(source, folder)
        if mode.resp3:
            speak_resp3(self._folder)
        self._through = through
        self._fresh = mode.fresh
        self._units = units or UNITS
        self._verbose = verbose
        self.passed: Counter[str] = Counter()
        self.failed: list[str] = []

    def run(self) -> None:
        """All units, one after the other."""
        for unit in self._units:
            passed, failed = self._unit(unit)
            self.passed.update({f"{unit}: {name}": count for name, count in passed.items()})
            self.failed += [f"{unit}: {name}" for name in failed]

    def _unit(self, unit: str) -> tuple[Counter[str], list[str]]:
        """What one unit gives, on servers that have not been used before."""
        with contextlib.ExitStack() as ends:
            if self._through and self._fresh:
                servers: Cluster = ends.enter_context(lagging_cluster(LAG, binary="redis-server", arguments=ALLOWED))
            else:
                servers = Cluster(ends.enter_context(Node(binary="redis-server", arguments=ALLOWED)), [])
            if not self._through:
                return self._suite(servers.leader.port, unit)
            consistency = "fresh" if self._fresh else "leader"
            proxy = ends.enter_context(rproxy(servers, "--consistency", consistency, *QUIET))
            # A tenth of a second after it listens: tests that count what a server is asked must not begin in between.
            eventually(lambda: servers.leader.calls("command"), "rproxy has asked what it asks a server that it has found")
            result = self._suite(proxy.port, unit)
            if self._verbose:
                print(proxy.log(), flush=True)
            return result

    def _suite(self, port: int, unit: str) -> tuple[Counter[str], list[str]]:
        command = ["./runtest", "--host", "127.0.0.1", "--port", str(port), "--baseport", str(base_port())]
        command += ["--clients", "1", "--single", unit, "--ignore-encoding", "--ignore-digest", "--tags", LEFT_OUT]
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, start_new_session=True)
            began = time.monotonic()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(UNIT_TIMEOUT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the group that was started here, with what the suite left behind
            process.wait()
            log.seek(0)
            text = log.read()
        passed, failed = outcome(text)
        if self._verbose:
            print(
                f"{'proxied' if self._through else 'direct':8} {unit}: {passed.total()} ok, {time.monotonic() - began:.1f} s",
                flush=True,
            )
            if failed or not passed:
                print(text[-6000:], flush=True)
        return passed, failed


def explained(fresh: bool) -> dict[str, str]:
    """The tests that docs/differences.md lists with a reason, in rows of a table; with `fresh`, those of the second table too."""
    tables = LIST.read_text().split("With fresh reads on replicas also:")
    lines = "".join(tables if fresh else tables[:1]).splitlines()
    rows = (line.strip().strip("|").split("|") for line in lines if line.startswith("| `unit/"))
    return {row[0].strip().strip("`"): row[1].strip() for row in rows}


def main(words: Sequence[str] | None = None) -> int:
    """Compare; the exit code says whether anything was lost that is not explained."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("units", nargs="*")
    parser.add_argument("--resp3", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="fresh reads, and two replicas that lag 20 ms")
    parser.add_argument("--every", action="store_true", help="as it is, with --resp3, and with --fresh, all in one run")
    parser.add_argument("--verbose", action="store_true", help="each unit as it ends, with the log of one that fails")
    args = parser.parse_args(words)
    if missing := [program for program in ("tclsh", "redis-server") if shutil.which(program) is None]:
        parser.error(f"there is no {' and no '.join(missing)}: apt-get install tcl redis-server")
    modes = EVERY if args.every else (Mode(args.resp3, args.fresh),)
    began = time.monotonic()
    direct, proxied = run(modes, args.units, args.verbose)
    print(f"{time.monotonic() - began:.0f} s")
    lost = [is_lost(mode, direct[mode.resp3], proxied[mode]) for mode in modes]
    return 1 if any(lost) else 0


def run(modes: Sequence[Mode], units: Sequence[str], verbose: bool) -> tuple[dict[bool, Side], dict[Mode, Side]]:
    """Both sides of each mode, when they have been run: direct, by whether the clients speak RESP3, and through rproxy."""
    source = fetch()
    with tempfile.TemporaryDirectory(prefix="rproxy-compat-") as name, ThreadPoolExecutor(AT_ONCE) as pool:
        folders = (Path(name) / str(number) for number in itertools.count())
        direct = {
            resp3: Side(source, next(folders), False, Mode(resp3), units, verbose) for resp3 in {mode.resp3 for mode in modes}
        }
        proxied = {mode: Side(source, next(folders), True, mode, units, verbose) for mode in modes}
        for done in [pool.submit(side.run) for side in (*proxied.values(), *direct.values())]:
            done.result()
    return direct, proxied


def is_lost(mode: Mode, direct: Side, proxied: Side) -> bool:
    """Whether a test passes direct, and not through rproxy, that docs/differences.md does not list; what is lost is printed."""
    lost = direct.passed - proxied.passed
    known = explained(mode.fresh)
    for name in sorted(lost.elements()):
        print(f"lost: {name}{'' if name not in known else ' (' + known[name] + ')'}")
    print(f"direct {direct.passed.total()} ok, proxied {proxied.passed.total()} ok, lost {lost.total()}{mode}")
    return not direct.passed or any(name not in known for name in lost)


if __name__ == "__main__":
    sys.exit(main())
