"""`python -m bench.instructions`: how many machine instructions the data plane takes for a command, without network and loop; fails where that has grown.

Counted by valgrind's callgrind, which gives the same figure on a busy machine as on a quiet one: the process that runs a phase, less one that is ready to
but has no command, divided by the commands. What it is compared with stands in `instructions.json`, by version of Python; `--save` writes it. The
transports take everything and do nothing. It must never touch a socket.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from bench.freshness import pack
from rproxy import dataplane
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.ports import Options, Ports
from rproxy.dataplane.resp import ReplyFramer, RequestFramer
from rproxy.dataplane.session import Session
from rproxy.dataplane.topology import Server, Topology
from rproxy.dataplane.upstream import Upstream

SAVED = Path(__file__).with_suffix(".json")
PYTHON = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
COMMANDS = 40_000
FEWER = 4_000
"""For the phases whose commands take ten times as long."""
CLIENTS = 50
MOST_GROWTH = 1.10
INSTALL = "valgrind is not on PATH: apt-get install valgrind"
VALUE = "x" * 100
GET, SET = pack("GET", "key:000000000001"), pack("SET", "key:000000000001", VALUE)
RUN_ID = b"a" * 40
INFO = b"$59\r\n# Server\r\nrun_id:" + RUN_ID + b"\r\n\r\n"
MGET = pack("MGET", *(f"key:{number:012}" for number in range(10)))
EVAL = pack("EVAL", "return redis.call('incr', KEYS[1])", "1", "key:000000000001")
TRANSACTION = pack("MULTI") + SET + pack("EXEC")
EXECUTED = b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$100\r\n" + VALUE.encode() + b"\r\n"
ONE = b":1\r\n"
OK, BULK = b"+OK\r\n", b"$100\r\n" + VALUE.encode() + b"\r\n"


class Sink:
    """A transport that takes everything. What it takes itself is part of the figures, so it is next to nothing."""

    def write(self, data: bytes) -> None: ...
    def writelines(self, pieces: list[bytes]) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class Bench:
    """A plane with fresh reads, its clients, and its lanes to the leader and to the one replica; `turn` is the end of a loop pass."""

    def __init__(self, clients: int) -> None:
        self.dialled: list[Upstream] = []
        self.passes: list[Callable[[], None]] = []
        leader, replica = Server(0, "leader", 1), Server(1, "replica", 2)
        ports = Ports(
            dial=lambda server, upstream: self.dialled.append(cast(Upstream, upstream)),
            hang_up=lambda handle: None,
            clock=time.monotonic,
            random=random.random,
            later=lambda seconds, callback: None,
            soon=self.passes.append,
            suspect=lambda server, reason: None,
            notice=print,
            clock_ns=time.monotonic_ns,
            system_clock=sys.platform == "linux",
        )
        self.plane = Plane(
            Topology(leader, (replica,), (replica,), processes=((1, RUN_ID),)), CommandTable(None), Options("fresh", True), ports
        )
        self.plane.freshness.set_mark(1, time.monotonic_ns())
        self.sessions = [Session(self.plane) for _ in range(clients)]
        for session in self.sessions:
            session.connection_made(Sink())
        self.replica = self.lane(GET, BULK)
        self.leader = self.lane(SET, OK)
        self.plane.freshness.set_mark(1, time.monotonic_ns())

    def lane(self, request: bytes, reply: bytes) -> Upstream:
        """The one that this request opens."""
        self.sessions[0].data_received(request)
        self.turn()
        (lane,) = self.dialled
        self.open()
        lane.data_received(reply)
        self.turn()
        return lane

    def open(self) -> None:
        """Connect whatever has been dialled."""
        dialled, self.dialled = self.dialled, []
        for upstream in dialled:
            upstream.connection_made(Sink())
            self.turn()
            upstream.data_received(b"%1\r\n$2\r\nid\r\n:7\r\n")
            if not upstream.ready:
                upstream.data_received(INFO)
        self.turn()

    def check(self) -> None:
        """Raises RuntimeError where a reply is missing."""
        if any(session.fifo for session in self.sessions):
            raise RuntimeError("a reply is missing")

    def turn(self) -> None:
        """Until nothing is left to do in this pass."""
        while self.passes:
            self.passes.pop()()


def each(call: Callable[[bytes, int], int], data: bytes, size: int, count: int) -> None:
    """Call with every place of `data` where one of its parts begins, in a loop that costs next to nothing."""
    places = itertools.cycle(range(0, len(data), size))
    collections.deque(map(call, itertools.repeat(data, count), places), maxlen=0)


def ask(count: int, request: bytes, reply: bytes, writes: bool, depth: int = 1) -> None:
    """In each loop pass all clients ask `depth` commands, and in the next one they have the replies."""
    bench = Bench(CLIENTS)
    server = bench.leader if writes else bench.replica
    receivers = [session.data_received for session in bench.sessions]
    requests, replies = request * depth, reply * depth * CLIENTS
    for _ in range(count // (depth * CLIENTS)):
        for receive in receivers:
            receive(requests)
        bench.turn()
        server.data_received(replies)
        bench.turn()
    bench.check()


def mix(count: int) -> None:
    """As `ask`, with 14 GETs and 2 SETs of other keys in each pipeline."""
    bench = Bench(CLIENTS)
    reads = [pack("GET", f"key:{number:012}") for number in range(14)]
    writes = [pack("SET", f"key:{number:012}", VALUE) for number in range(14, 16)]
    requests = b"".join([*reads[:9], writes[0], *reads[9:], writes[1]])
    for _ in range(count // (16 * CLIENTS)):
        for session in bench.sessions:
            session.data_received(requests)
        bench.turn()
        bench.replica.data_received(BULK * 14 * CLIENTS)
        bench.leader.data_received(OK * 2 * CLIENTS)
        bench.turn()
    bench.check()


def scripts(count: int) -> None:
    """As `ask`, each command a script that writes, on the lane of scripts."""
    bench = Bench(CLIENTS)
    lane = bench.lane(EVAL, ONE)
    for _ in range(count // CLIENTS):
        for session in bench.sessions:
            session.data_received(EVAL)
        bench.turn()
        lane.data_received(ONE * CLIENTS)
        bench.turn()
    bench.check()


def transactions(count: int) -> None:
    """Each client sends MULTI, SET and EXEC in one piece, over a connection of its own. A transaction counts as three commands."""
    bench = Bench(CLIENTS)
    for session in bench.sessions:
        session.data_received(pack("WATCH", "k"))
        bench.turn()
        bench.open()
        assert session.lease is not None
        session.lease.data_received(OK)
        bench.turn()
    for _ in range(count // (3 * CLIENTS)):
        for session in bench.sessions:
            session.data_received(TRANSACTION)
        bench.turn()
        for session in bench.sessions:
            assert session.lease is not None
            session.lease.data_received(EXECUTED)
        bench.turn()
    bench.check()


def messages(count: int) -> None:
    """Subscribers, to each of whom the leader sends one message in each loop pass."""
    bench = Bench(CLIENTS)
    for session in bench.sessions:
        session.data_received(pack("SUBSCRIBE", "news"))
    bench.turn()
    bench.open()
    leases = [session.lease for session in bench.sessions]
    for lease in leases:
        assert lease is not None
        lease.data_received(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
    bench.turn()
    for _ in range(count // CLIENTS):
        for lease in leases:
            assert lease is not None
            lease.data_received(MESSAGE)
        bench.turn()
    bench.check()


LONG: dict[str, Callable[[int], None]] = {
    "MGET of 10": lambda count: ask(count, MGET, b"*10\r\n" + BULK * 10, False),
    "SCAN": lambda count: ask(count, pack("SCAN", "0", "COUNT", "10"), b"*2\r\n$1\r\n0\r\n*1\r\n" + BULK, False),
    "EVAL": scripts,
    "MULTI, SET, EXEC": transactions,
    "a message to a subscriber": messages,
}
PHASES: dict[str, Callable[[int], None]] = {
    "framing a SET": lambda count: each(RequestFramer().scan, SET * 16, len(SET), count),
    "framing a reply of 100 B": lambda count: each(ReplyFramer().scan, BULK * 16, len(BULK), count),
    "GET": lambda count: ask(count, GET, BULK, False),
    "SET": lambda count: ask(count, SET, OK, True),
    "GET, pipeline 16": lambda count: ask(count, GET, BULK, False, 16),
    "GET and SET, pipeline 16": mix,
    **LONG,
}


def counted(phase: str, commands: int, folder: str) -> int:
    """Instructions of a process that runs this phase with so many commands. Raises RuntimeError where valgrind fails."""
    out = Path(folder) / re.sub(r"\W", "-", f"{phase} {commands}")
    words = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={out}",
        sys.executable,
        "-m",
        "bench.instructions",
        "--run",
        phase,
        "--commands",
        str(commands),
    ]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})
    found = re.search(r"^totals: (\d+)", out.read_text() if out.exists() else "", re.MULTILINE)
    if done.returncode or found is None:
        raise RuntimeError(f"valgrind counted nothing for {phase!r}: {done.stderr[-500:]}")
    return int(found[1])


def measured() -> dict[str, int]:
    """Instructions per command of each phase."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
        commands = [FEWER if phase in LONG else COMMANDS for phase in PHASES]
        bases = threads.map(lambda phase: counted(phase, 0, folder), PHASES)
        totals = threads.map(lambda phase, count: counted(phase, count, folder), PHASES, commands)
        return {
            phase: round((total - base) / count)
            for phase, count, base, total in zip(PHASES, commands, bases, totals, strict=True)
        }


def table(now: dict[str, int], saved: dict[str, int]) -> str:
    """Both, as Markdown."""
    lines = ["| instructions for | now | last | now / last |", "| --- | ---: | ---: | ---: |"]
    for phase, count in now.items():
        last = saved.get(phase)
        lines.append(f"| {phase} | {count:,} | {f'{last:,}' if last else '-'} | {f'{count / last:.2f}' if last else '-'} |")
    return "\n".join(lines)


def grown(now: dict[str, int], saved: dict[str, int]) -> list[str]:
    """The phases that take too many more than they did, or were never counted."""
    return [phase for phase, count in now.items() if phase not in saved or count > saved[phase] * MOST_GROWTH]


def main(words: Sequence[str] | None = None) -> int:
    """Print the table. 0, 1 where a figure has grown by more than a tenth, 2 where nothing can be counted."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions", description="Instructions per command of the data plane."
    )
    parser.add_argument("--save", action="store_true", help="these are the figures to compare with from now on")
    parser.add_argument("--run", metavar="PHASE", help=argparse.SUPPRESS)
    parser.add_argument("--commands", type=int, default=COMMANDS, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.run is not None:
        PHASES[options.run](options.commands)
        return 0
    if shutil.which("valgrind") is None or not dataplane.compiled():
        print(
            INSTALL if dataplane.compiled() else "the data plane is interpreted: BUILD_EXTENSION=yes make build", file=sys.stderr
        )
        return 2
    everything: dict[str, dict[str, int]] = json.loads(SAVED.read_text()) if SAVED.exists() else {}
    now = measured()
    print(table(now, everything.get(PYTHON, {})))
    if options.save:
        SAVED.write_text(json.dumps({**everything, PYTHON: now}, indent=1) + "\n")
        return 0
    worse = grown(now, everything.get(PYTHON, {}))
    if worse:
        print(
            f"more than {MOST_GROWTH - 1:.0%} above the last figure, or without one: {', '.join(worse)}; find out why, or --save them",
            file=sys.stderr,
        )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
