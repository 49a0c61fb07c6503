"""`python -m bench.freshness`: who answers the reads while others are written and the replicas lag, and what finding that out costs.

A measurement and no test: it prints a table, one row for each lag, and asserts nothing. Behind rproxy are a leader and two replicas whose links go through
delaying relays (`tests.relay`). Writers send SETs of random keys at a steady rate, readers read keys that nobody writes; the servers' own counters
(`INFO commandstats`) say which one answered, the kernel says what rproxy's process took.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import hiredis

from bench import measure
from bench.peers import Rproxy
from bench.running import Proxy, settle
from rproxy.embedded import EmbeddedServer
from tests.relay import Relay

LAGS = (0.0, 0.02, 0.5)
RATE = 20_000
SECONDS = 3.0
KEYS = 100_000
"""How many keys the writers write, and how many others the readers read."""
WRITERS = 4
TICK = 0.002
"""Seconds between two packets of a writer."""
GETS = 2000
MGETS = 500
MGET_KEYS = 20


@dataclass(frozen=True)
class Row:
    """What was measured at one lag. Shares are of the reads that replicas answered, 0 to 1; `writes` is what came through per second; CPU in percent of one
    core: idle, under the writes alone, and with the reads.
    """

    lag: float
    writes: float
    gets: float
    mgets: float
    idle: float
    writing: float
    reading: float


@contextlib.contextmanager
def lagging(lag: float) -> Iterator[list[EmbeddedServer]]:
    """A leader and two replicas, in this order, that lag by so many seconds."""
    with contextlib.ExitStack() as stack:
        leader = stack.enter_context(EmbeddedServer())
        links = [stack.enter_context(Relay(leader.port)) for _ in range(2)]
        replicas = [stack.enter_context(EmbeddedServer(arguments=("--replicaof", "127.0.0.1", str(link.port)))) for link in links]
        for replica in replicas:
            replica.wait_in_sync()
        settle(leader, replicas)
        for link in links:
            link.delay(down=lag)
        yield [leader, *replicas]


def pack(*words: str) -> bytes:
    """One command as a server reads it."""
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)])


def ask(connection: socket.socket, data: bytes, replies: int) -> None:
    """Send commands and read that many replies. Raises RuntimeError for an error reply, OSError when it is closed."""
    reader = hiredis.Reader()
    connection.sendall(data)
    while replies:
        chunk = connection.recv(65536)
        if not chunk:
            raise OSError("rproxy closed the connection")
        reader.feed(chunk)
        while replies and (reply := reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise RuntimeError(str(reply))
            replies -= 1


class Crowd:
    """Threads that do `turn(connection, dice)` at a steady pace of one per `pause` seconds each, until the block ends. `turns` counts."""

    def __init__(self, port: int, threads: int, pause: float, turn: Callable[[socket.socket, random.Random], None]) -> None:
        self.turns = 0
        self._port, self._pause, self._turn = port, pause, turn
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(seed,)) for seed in range(threads)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, seed: int) -> None:
        dice, due = random.Random(seed), time.monotonic()
        with socket.create_connection(("127.0.0.1", self._port), 10) as connection:
            while not self._over.is_set():
                self._turn(connection, dice)
                self.turns += 1
                due += self._pause
                time.sleep(max(0.0, due - time.monotonic()))


def writers(port: int, rate: int) -> Crowd:
    """They write `rate` keys per second together."""
    each = max(1, round(rate * TICK / WRITERS))

    def turn(connection: socket.socket, dice: random.Random) -> None:
        ask(connection, b"".join(pack("SET", f"written:{dice.randrange(KEYS)}", "v" * 100) for _ in range(each)), each)

    return Crowd(port, WRITERS, TICK, turn)


def readers(port: int) -> Crowd:
    """They read keys that nobody writes: four GETs for each MGET, each by itself."""
    pause = 2 / MGETS

    def turn(connection: socket.socket, dice: random.Random) -> None:
        for _ in range(GETS // MGETS):
            ask(connection, pack("GET", f"read:{dice.randrange(KEYS)}"), 1)
        ask(connection, pack("MGET", *(f"read:{dice.randrange(KEYS)}" for _ in range(MGET_KEYS))), 1)

    return Crowd(port, 2, pause, turn)


def calls(server: EmbeddedServer, command: str) -> int:
    """How often the server ran the command."""
    line = server.info("commandstats").get(f"cmdstat_{command}", "calls=0")
    return int(dict(pair.split("=") for pair in line.split(","))["calls"])


def share(servers: Sequence[EmbeddedServer], before: Sequence[int], command: str) -> float:
    """The replicas' share of what was run since `before`, 0 to 1."""
    leader, *replicas = [calls(server, command) - count for server, count in zip(servers, before, strict=True)]
    return sum(replicas) / max(1, leader + sum(replicas))


def percent(pid: int, seconds: float) -> float:
    """CPU of a process over the next seconds, in percent of one core."""
    before, began = measure.cpu([pid]), time.monotonic()
    time.sleep(seconds)
    return 100 * (measure.cpu([pid]) - before).total / (time.monotonic() - began)


def measured(lag: float, rate: int, seconds: float) -> Row:
    """One row of the table."""
    peer = Rproxy(environment={"RPROXY_CONSISTENCY": "fresh"})
    warm = min(0.5, seconds)
    with lagging(lag) as servers, Proxy(peer, peer.binary() or "", [server.port for server in servers]) as proxy:
        time.sleep(lag + 4 * warm)  # it has begun by reading everything from the leader
        idle = percent(proxy.process.pid, seconds)
        with writers(proxy.port, rate) as writing:
            time.sleep(warm)
            sent, began = writing.turns, time.monotonic()
            alone = percent(proxy.process.pid, seconds)
            with readers(proxy.port):
                time.sleep(warm)
                gets, mgets = ([calls(server, command) for server in servers] for command in ("get", "mget"))
                both = percent(proxy.process.pid, seconds)
                of_gets, of_mgets = share(servers, gets, "get"), share(servers, mgets, "mget")
            packets = (writing.turns - sent) / (time.monotonic() - began)
        return Row(lag, packets * max(1, round(rate * TICK / WRITERS)), of_gets, of_mgets, idle, alone, both)


def table(rows: Sequence[Row], rate: int) -> str:
    """The rows, as Markdown."""
    lines = [
        f"Reads of keys that nobody writes, while {rate:,} SETs per second are asked for, and the CPU of rproxy in percent of a core",
        "",
        f"| lag | writes/s | GETs by replicas | {MGET_KEYS}-key MGETs by replicas | CPU idle | CPU, writes | CPU, writes and reads |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.lag * 1000:.0f} ms | {row.writes:,.0f} | {row.gets:.1%} | {row.mgets:.1%} | {row.idle:.2f} % | {row.writing:.0f} % | {row.reading:.0f} % |"
        for row in rows
    ]
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.freshness", description="Who answers reads while replicas lag.")
    parser.add_argument("--rate", type=int, default=RATE, help=f"writes per second (default {RATE})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each measurement (default {SECONDS:g})")
    parser.add_argument("--lags", type=float, nargs="+", default=LAGS, help="seconds (default 0 0.02 0.5)")
    options = parser.parse_args(words)
    rows = []
    for lag in options.lags:
        rows.append(measured(lag, options.rate, options.seconds))
        print(f"bench: {rows[-1]}", file=sys.stderr, flush=True)
    print(table(rows, options.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
