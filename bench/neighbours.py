"""`python -m bench.neighbours`: how large values pass, and what the others notice of large values and of clients that behave badly.

A measurement and no test: it prints two tables, one row for each proxy and for a direct connection, and asserts nothing. While a nuisance lasts, a process of
its own asks small GETs, one after the other, and keeps the times; the nuisances are sockets of this process. Memory is what the kernel says of the proxy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bench import measure
from bench.freshness import pack
from bench.peers import Peer, Rproxy, others
from bench.running import PeerFailed, Proxy, settle
from rproxy.embedded import EmbeddedServer, started_cluster

MEGABYTE = 2**20
LARGE = 256 * MEGABYTE
SECONDS = 3.0
KEYS = 1_000_000
READ = pack("GET", "small")
POPULATE = "for i = ARGV[1], ARGV[2] - 1 do redis.call('SET', 'key:' .. i, '0123456789') end"
AT_ONCE = 50_000  # keys that one script makes: it must not take so long that the server is thought to hang
PIECE = bytearray(MEGABYTE)


@dataclass(frozen=True)
class Row:
    """What was measured of one proxy: MB per second of a large SET and of a large GET (medians), its memory in MB before them and at its peak, and the others'
    p99 in milliseconds: by nuisance, `calm` without any; none for what the proxy refuses.
    """

    name: str
    set_speed: float
    get_speed: float
    before: float
    peak: float
    p99: dict[str, float]


def connect(port: int) -> socket.socket:
    """A client's connection."""
    return socket.create_connection(("127.0.0.1", port), 60)


def take(wire: socket.socket, size: int, pause: float = 0.0) -> None:
    """Read so many bytes; `pause`: seconds after each piece of up to a megabyte. Raises OSError where the connection ends before."""
    while size:
        count = wire.recv_into(PIECE, min(size, MEGABYTE))
        if not count:
            raise OSError("the connection was closed in a reply")
        size -= count
        if pause:
            time.sleep(pause)


def store(port: int, key: str, size: int) -> None:
    """SET a value of `size` bytes."""
    with connect(port) as wire:
        wire.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(key), key.encode(), size))
        for _ in range(size // MEGABYTE):
            wire.sendall(PIECE)
        wire.sendall(b"\r\n")
        take(wire, len(b"+OK\r\n"))


def fetch(port: int, key: str, size: int, pause: float = 0.0) -> None:
    """GET a value of `size` bytes."""
    with connect(port) as wire:
        wire.sendall(pack("GET", key))
        take(wire, len(b"$%d\r\n\r\n" % size) + size, pause)


def all_keys(port: int) -> None:
    """KEYS * over a million keys: the reply is read as it comes. Raises OSError where it is none, or does not end."""
    with connect(port) as wire:
        wire.sendall(pack("KEYS", "*"))
        head = bytes(PIECE[: wire.recv_into(PIECE)])
        if not head.startswith(b"*") or b"\r" not in head:
            raise OSError(f"no reply to KEYS: {head[:80]!r}")
        lines = 1 + 2 * int(head[1 : head.index(b"\r")]) - head.count(b"\n")
        while lines:
            count = wire.recv_into(PIECE)
            if not count:
                raise OSError("the connection was closed in a reply")
            lines -= PIECE.count(b"\n", 0, count)


def single_bytes(port: int) -> None:
    """Commands in pieces of one byte, for a while."""
    end = time.monotonic() + SECONDS
    with connect(port) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.monotonic() < end:
            for byte in READ:
                wire.sendall(bytes([byte]))
            wire.recv(4096)


def crowd_of_values(port: int) -> None:
    """50 clients read 10 MB each, at once."""
    threads = [threading.Thread(target=fetch, args=(port, "ten", 10 * MEGABYTE)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


NUISANCES: dict[str, Callable[[int], None]] = {
    "calm": lambda port: time.sleep(SECONDS),
    "SET 256 MB": lambda port: store(port, "large", LARGE),
    "GET 256 MB": lambda port: fetch(port, "large", LARGE),
    "50 x 10 MB": crowd_of_values,
    "KEYS of 1M": all_keys,
    "slow reader": lambda port: fetch(port, "hundred", 100 * MEGABYTE, 0.3),
    "1-byte pieces": single_bytes,
}


def ask_on(port: int, pipe: Connection) -> None:
    """Ask small GETs until told to end, and tell the times in milliseconds. Runs in a process of its own."""
    times: list[float] = []
    with connect(port) as wire:
        pipe.send(True)
        while not pipe.poll():
            began = time.perf_counter()
            wire.sendall(READ)
            wire.recv(256)
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.001)
    pipe.send(times)


@contextmanager
def asking(port: int, times: list[float]) -> Iterator[None]:
    """Another process asks meanwhile."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=ask_on, args=(port, there))
    process.start()
    here.recv()
    try:
        yield
    finally:
        here.send(None)
        times += here.recv()
        process.join()


def p99(times: Sequence[float]) -> float:
    """The time that one of a hundred exceeds."""
    return statistics.quantiles(times, n=100)[98] if len(times) > 1 else 0.0


def lasting(nuisance: Callable[[int], None], port: int) -> Iterator[float]:
    """Again and again for `SECONDS`; how long each time took. Of one time alone, the others' p99 would be the longest of some dozens."""
    end = time.monotonic() + SECONDS
    while True:
        began = time.monotonic()
        nuisance(port)
        yield time.monotonic() - began
        if time.monotonic() >= end:
            return


def measured(name: str, port: int, pids: Sequence[int], nuisances: Sequence[str]) -> Row:
    """One row. What a proxy refuses, as KEYS, is told and has no figure. Raises OSError where the others get no answer."""
    before = measure.memory(pids).now / MEGABYTE if pids else 0.0
    seconds: dict[str, float] = {}
    worst: dict[str, float] = {}
    peak = 0.0
    for nuisance in nuisances:
        times: list[float] = []
        with asking(port, times):
            try:
                seconds[nuisance] = statistics.median(lasting(NUISANCES[nuisance], port))
            except OSError as problem:
                print(f"bench: {name}: {nuisance}: {problem}", file=sys.stderr, flush=True)
        if nuisance in seconds:
            worst[nuisance] = p99(times)
        if nuisance == "GET 256 MB":
            peak = measure.memory(pids).peak / MEGABYTE if pids else 0.0
    set_speed, get_speed = (LARGE / MEGABYTE / seconds.get(way, float("inf")) for way in ("SET 256 MB", "GET 256 MB"))
    return Row(name, set_speed, get_speed, before, peak, worst)


def fill(servers: Sequence[EmbeddedServer], keys: int) -> None:
    """What the nuisances read."""
    leader, *replicas = servers
    leader.call("SET", "small", "x" * 100)
    leader.call("SET", "ten", "x" * 10 * MEGABYTE)
    leader.call("SET", "hundred", "x" * 100 * MEGABYTE)
    store(leader.port, "large", LARGE)
    for first in range(0, keys, AT_ONCE):
        leader.call("EVAL", POPULATE, "0", str(first), str(min(first + AT_ONCE, keys)))
    settle(leader, replicas)


def table(rows: Sequence[Row]) -> str:
    """The rows, as two tables in Markdown."""
    lines = [
        "| | SET of 256 MB, MB/s | GET of 256 MB, MB/s | memory before, MB | at its peak, MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [f"| {row.name} | {row.set_speed:.0f} | {row.get_speed:.0f} | {row.before:.0f} | {row.peak:.0f} |" for row in rows]
    nuisances = list(rows[0].p99) if rows else []
    lines += ["", f"| others' p99, ms | {' | '.join(nuisances)} |", f"| --- |{' ---: |' * len(nuisances)}"]
    for row in rows:
        figures = [f"{row.p99[nuisance]:.1f}" if nuisance in row.p99 else "-" for nuisance in nuisances]
        lines.append(f"| {row.name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables; 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.neighbours", description="Large values and bad neighbours.")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="only these, and rproxy; none: rproxy alone")
    parser.add_argument("--nuisances", nargs="+", choices=NUISANCES, default=list(NUISANCES), metavar="NAME")
    parser.add_argument("--keys", type=int, default=KEYS)
    options = parser.parse_args(words)
    rows = []
    with started_cluster(2) as servers:
        fill(servers, options.keys)
        ports = [server.port for server in servers]
        rows.append(measured("direct", servers[0].port, [], options.nuisances))
        peers: list[Peer] = [Rproxy(), *others()]
        for peer in peers:
            found = peer.binary()
            if found is None or (options.peers and peer.name != "rproxy" and peer.name not in options.peers):
                continue
            try:
                with Proxy(peer, found, ports) as proxy:
                    rows.append(measured(peer.name, proxy.port, measure.family([proxy.process.pid]), options.nuisances))
                print(f"bench: {rows[-1]}", file=sys.stderr, flush=True)
            except (PeerFailed, OSError) as problem:
                print(f"bench: {peer.name}: {problem}", file=sys.stderr, flush=True)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
