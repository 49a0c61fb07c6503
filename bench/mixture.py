"""A load that redis-benchmark doesn't have: one SET among ten commands, the others GET, on the same connections and keys.

Run by `generator` as a program of its own; prints a table as redis-benchmark's `--csv` does. Every client sends a pipeline of commands and waits for all of
their replies, whose size is known, as all keys exist. It must never connect to anything but 127.0.0.1.
"""

from __future__ import annotations

import random
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

NAME = "MIX"
EACH = 10
"""The last of so many commands is a SET."""
PIECES = 1000
DEADLINE = 10.0
"""Seconds without a reply after which the run has failed."""


def packed(*words: bytes) -> bytes:
    """A command."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def pieces(pipeline: int, size: int, keys: int) -> list[tuple[bytes, int]]:
    """Pipelines to be sent one after the other, and the bytes of their replies; keys at random, the same for every run."""
    dice = random.Random(0)
    value = b"x" * size
    replies = {b"GET": len(b"$%d\r\n\r\n" % size) + size, b"SET": len(b"+OK\r\n")}
    numbers = range(pipeline * PIECES)
    names = [b"SET" if number % EACH == EACH - 1 else b"GET" for number in numbers]
    commands = [packed(name, b"key:%012d" % dice.randrange(keys), *([value] if name == b"SET" else [])) for name in names]
    cuts = [slice(first, first + pipeline) for first in range(0, len(commands), pipeline)]
    return [(b"".join(commands[cut]), sum(replies[name] for name in names[cut])) for cut in cuts]


def exchanged(clients: Sequence[socket.socket], todo: Iterator[tuple[bytes, int]]) -> list[float]:
    """Have the clients send all pipelines and take the replies; the seconds that each pipeline took. Raises OSError where replies are errors, or missing."""
    owed: dict[socket.socket, int] = {}
    began: dict[socket.socket, float] = {}
    times: list[float] = []
    with selectors.DefaultSelector() as selector:

        def ask(client: socket.socket) -> None:
            piece, owed[client] = next(todo, (b"", 0))
            began[client] = time.perf_counter()
            client.sendall(piece)
            if not piece:
                selector.unregister(client)

        for client in clients:
            selector.register(client, selectors.EVENT_READ, client)
            ask(client)
        while selector.get_map():
            found = selector.select(DEADLINE)
            if not found:
                raise OSError("replies are missing")
            for key, _ in found:
                data = key.data.recv(1 << 16)
                owed[key.data] -= len(data)
                if not data or data.startswith(b"-"):
                    raise OSError(data.decode(errors="replace").strip() or "the connection was closed")
                if not owed[key.data]:
                    times.append(time.perf_counter() - began[key.data])
                    ask(key.data)
    return times


def main(words: Sequence[str]) -> int:
    """`PORT CLIENTS PIPELINE SIZE KEYS REQUESTS`: print the table; 1 where the run failed."""
    port, count, pipeline, size, keys, requests = map(int, words)
    todo = islice(cycle(pieces(pipeline, size, keys)), requests // pipeline)
    clients: list[socket.socket] = []
    try:
        clients += [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(count)]
        began = time.perf_counter()
        times = exchanged(clients, todo)
        rate = requests / (time.perf_counter() - began)
    except OSError as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        for client in clients:
            client.close()
    shares = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
    print('"test","rps","p50_latency_ms","p99_latency_ms"')
    print(f'"{NAME}","{rate:.2f}","{shares[49] * 1000:.3f}","{shares[98] * 1000:.3f}"')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
