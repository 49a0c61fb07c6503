"""`python -m bench.crowds`: what ten thousand clients cost: memory of each that is idle, their CPU, connections per second, CPU per command with few of them
active and with all; and how soon a proxy listens.

A measurement and no test: it prints a table, one row for each proxy, and asserts nothing. Idle clients are sockets of this process, which have asked one PING
and keep still; active ones are `redis-benchmark`'s. CPU and memory are what the kernel says of the proxy's processes.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import selectors
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import generator, measure
from bench.generator import LoadFailed
from bench.load import Load
from bench.peers import Haproxy, Peer, Rproxy, others
from bench.running import PeerFailed, Proxy, fill
from rproxy.embedded import started_cluster

CLIENTS = 10_000
ACTIVE = 100
COMMANDS = 400_000
AT_ONCE = 200
"""Connections that are opened before the first of them is answered; a listener's backlog holds them."""
PING, PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"
DEADLINE = 60.0
IDLE_SECONDS = 5.0


@dataclass(frozen=True)
class Row:
    """What was measured of one proxy: seconds until it listens, percent of a core while all clients are idle, bytes for each of these, connections per second,
    microseconds of CPU for one that comes, asks a PING and goes, and microseconds of CPU per GET, without that, with `ACTIVE` clients, with as many among
    `CLIENTS` connected ones, and with all of them active.
    """

    name: str
    listening: float
    idle: float
    bytes_each: float
    connects: float
    opening: float
    few: float
    few_of_many: float
    all_of_many: float


def answered(clients: Sequence[socket.socket]) -> None:
    """Each of them asks a PING and has its PONG. Raises OSError where one has not."""
    for client in clients:
        client.sendall(PING)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ, client)
        while selector.get_map():
            found = selector.select(DEADLINE)
            if not found:
                raise OSError("no answer to a PING")
            for key, _ in found:
                if key.data.recv(64) != PONG:
                    raise OSError("no PONG to a PING")
                selector.unregister(key.fileobj)


@contextlib.contextmanager
def crowd(port: int, count: int) -> Iterator[float]:
    """So many idle clients; how many were connected per second. Raises OSError where the proxy takes no more."""
    clients: list[socket.socket] = []
    try:
        began = time.monotonic()
        for first in range(0, count, AT_ONCE):
            clients += [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(min(AT_ONCE, count - first))]
            answered(clients[first:])
        yield count / (time.monotonic() - began)
    finally:
        for client in clients:
            client.close()


def per_command(binary: str, proxy: Proxy, clients: int, commands: int) -> float:
    """Microseconds of CPU per GET; opening and closing the connections is part of it."""
    pids = measure.family([proxy.process.pid])
    before = measure.quiet_cpu(pids)
    generator.run(binary, Load("GET", 100, clients, 1, commands), proxy.port, commands)
    return (measure.quiet_cpu(pids) - before).total / commands * 1e6


def idle_share(pids: list[int], seconds: float) -> float:
    """Percent of a core that these use while nobody asks them anything."""
    before = measure.quiet_cpu(pids)
    time.sleep(seconds)
    return (measure.cpu(pids) - before).total / seconds * 100


def measured(binary: str, peer: Peer, found: str, servers: Sequence[int], clients: int, commands: int) -> Row:
    """One row of the table. Raises PeerFailed, LoadFailed or OSError."""
    with Proxy(peer, found, servers) as proxy:
        pids = measure.family([proxy.process.pid])
        per_command(binary, proxy, ACTIVE, commands // 4)  # warm
        few = per_command(binary, proxy, ACTIVE, commands)
        before = measure.memory(pids).now
        used = measure.quiet_cpu(pids)
        with crowd(proxy.port, clients):
            pass
        opening = (measure.quiet_cpu(pids) - used).total / clients * 1e6
        with crowd(proxy.port, clients) as connects:
            bytes_each = (measure.memory(pids).now - before) / clients
            idle = idle_share(pids, IDLE_SECONDS)
            few_of_many = per_command(binary, proxy, ACTIVE, commands)
        all_of_many = per_command(binary, proxy, clients, commands) - opening * clients / commands
        return Row(peer.name, proxy.listening, idle, bytes_each, connects, opening, few, few_of_many, all_of_many)


def table(rows: Sequence[Row], clients: int) -> str:
    """The rows, as Markdown."""
    title = f"| proxy | ms to listen | idle CPU | KB per idle client | connections/s | µs per connection | µs per GET, {ACTIVE} clients "
    lines = [
        f"{title}| {ACTIVE} of {clients:,} active | all of {clients:,} active |",
        f"| --- |{' ---: |' * 8}",
    ]
    for row in rows:
        many = [f"{figure:.2f} ({figure / row.few:.2f})" for figure in (row.few_of_many, row.all_of_many)]
        figures = [f"{row.listening * 1000:.0f}", f"{row.idle:.1f} %", f"{row.bytes_each / 1024:.1f}"]
        figures += [f"{row.connects:,.0f}", f"{row.opening:.0f}", f"{row.few:.2f}", *many]
        lines.append(f"| {row.name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 0, or 2 without a load generator."""
    parser = argparse.ArgumentParser(prog="python -m bench.crowds", description="What ten thousand clients cost.")
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"connected at once (default {CLIENTS})")
    parser.add_argument("--commands", type=int, default=COMMANDS, help=f"of each measurement (default {COMMANDS})")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="only these, and rproxy; none: rproxy alone")
    options = parser.parse_args(words)
    binary = generator.find()
    if binary is None:
        print(generator.INSTALL, file=sys.stderr)
        return 2
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = {"RPROXY_LIMITS__CLIENTS": str(2 * options.clients)}
    peers: list[Peer] = [Rproxy(environment=room), Rproxy("rproxy (eventual)", {**room, "RPROXY_CONSISTENCY": "eventual"})]
    peers += [Haproxy(connections=2 * options.clients) if isinstance(peer, Haproxy) else peer for peer in others()]
    rows = []
    with started_cluster(2) as servers:
        fill(servers, 100)
        servers[0].call("CONFIG", "SET", "maxclients", str(min(3 * options.clients, hard - 100)))
        for peer in peers:
            found = peer.binary()
            if found is None or (options.peers and not peer.name.startswith("rproxy") and peer.name not in options.peers):
                continue
            try:
                rows.append(measured(binary, peer, found, [server.port for server in servers], options.clients, options.commands))
                print(f"bench: {rows[-1]}", file=sys.stderr, flush=True)
            except (PeerFailed, LoadFailed, OSError) as problem:
                print(f"bench: {peer.name}: {problem}", file=sys.stderr, flush=True)
    print(table(rows, options.clients))
    return 0


if __name__ == "__main__":
    sys.exit(main())
