"""How long writes and reads stop when the leader is killed and a replica is promoted: `python -m bench.failover`.

Run by hand. Real servers and a real rproxy on this machine; writers push numbers onto lists of their own at a steady rate, readers read. It must never
count anything as written that was not acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import hiredis

from rproxy.dataplane.resp import encode
from rproxy.embedded import EmbeddedServer, free_port, started_cluster, wait_for

WRITERS, READERS = 8, 4
RATE = 2000
"""Writes per second, all writers together."""
DEAD_FOR = 0.5
"""Seconds between the leader's death and the promotion: what a Sentinel or an operator takes at the least."""


@dataclass
class Seen:
    """What the clients saw: times of answers, pushed numbers by writer, errors."""

    writes: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    pushed: dict[int, list[int]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    read_errors: int = 0


class Client:
    """One connection that asks and waits."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader = hiredis.Reader()

    async def open(self) -> None:
        self._in, self._out = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, *words: str) -> Any:
        self._out.write(encode([word.encode() for word in words]))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(await self._in.read(65536))
        return reply

    def close(self) -> None:
        self._out.close()


async def write(port: int, number: int, seen: Seen, over: asyncio.Event) -> None:
    client = Client(port)
    await client.open()
    turn = 0
    due = time.monotonic()
    while not over.is_set():
        reply = await client.ask("RPUSH", f"pushed:{number}", str(turn))
        if isinstance(reply, int):
            seen.writes.append(time.monotonic())
            seen.pushed.setdefault(number, []).append(turn)
        else:
            kind = (
                "not executed"
                if "not executed" in str(reply)
                else "may or may not"
                if "may or may not" in str(reply)
                else str(reply)
            )
            seen.errors[kind] = seen.errors.get(kind, 0) + 1
        turn += 1
        due = max(due + WRITERS / RATE, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
    client.close()


async def read(port: int, seen: Seen, over: asyncio.Event) -> None:
    client = Client(port)
    await client.open()
    while not over.is_set():
        reply = await client.ask("GET", "planted")
        seen.reads.append(time.monotonic())
        seen.read_errors += reply != b"value"
        await asyncio.sleep(0.002)
    client.close()


async def measure(servers: list[EmbeddedServer], port: int) -> dict[str, float]:
    """One failover. Times in seconds."""
    leader, one, two = servers
    seen, over = Seen(), asyncio.Event()
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(write(port, number, seen, over)) for number in range(WRITERS)]
    tasks += [loop.create_task(read(port, seen, over)) for _ in range(READERS)]
    await asyncio.sleep(2)
    killed = time.monotonic()
    await asyncio.to_thread(leader.kill)
    await asyncio.sleep(DEAD_FOR)
    await asyncio.to_thread(one.call, "REPLICAOF", "NO", "ONE")
    visible = time.monotonic()
    await asyncio.to_thread(two.call, "REPLICAOF", "127.0.0.1", str(one.port))
    await asyncio.sleep(3)
    over.set()
    await asyncio.gather(*tasks)
    twice = 0
    for number in range(WRITERS):
        stored = one.call("LRANGE", f"pushed:{number}", "0", "-1")
        twice += len(stored) - len(set(stored))
    print(
        f"  errors of writes: {seen.errors or 'none'}; wrong or failed reads: {seen.read_errors} of {len(seen.reads)}; done twice: {twice}"
    )
    return spans(seen, killed, visible)


def spans(seen: Seen, killed: float, visible: float) -> dict[str, float]:
    """What the times of answers say, in seconds. `visible`: when the promotion was answered."""
    resumed = min(moment for moment in seen.writes if moment > visible)
    reads = sorted(seen.reads)
    return {
        "promotion visible to first write": resumed - visible,
        "writes stopped in all": resumed - max(moment for moment in seen.writes if moment < visible),
        "longest pause of reads": max(after - before for before, after in zip(reads, reads[1:], strict=False)),
        "dead to promotion": visible - killed,
    }


def one_failover(number: int) -> dict[str, float]:
    """Servers and rproxy of its own for each."""
    print(f"failover {number}")
    with started_cluster(replicas=2) as servers:
        servers[0].call("SET", "planted", "value")
        port = free_port()
        words = [sys.executable, "-m", "rproxy", "serve", "-l", f"tcp://127.0.0.1:{port}"]
        for server in servers:
            words += ["-s", server.url]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as proxy:
            try:
                wait_for(lambda: _answers(port), "rproxy answers")
                time.sleep(1.5)
                return asyncio.run(measure(servers, port))
            finally:
                proxy.terminate()


def main() -> None:
    """Measure some failovers and print the medians and the worst."""
    parser = argparse.ArgumentParser(
        description="How long writes and reads stop when the leader is killed and a replica promoted."
    )
    parser.add_argument("--rounds", type=int, default=5)
    found = [one_failover(number) for number in range(1, parser.parse_args().rounds + 1)]
    print(f"\n{WRITERS} writers, {RATE} writes/s, {READERS} readers; median and worst of {len(found)}, in ms")
    for name in found[0]:
        values = [round_[name] * 1000 for round_ in found]
        print(f"  {name:36} {median(values):8.0f} {max(values):8.0f}")


def _answers(port: int) -> bool:
    async def asked() -> bool:
        client = Client(port)
        try:
            await client.open()
        except OSError:
            return False
        answered = await client.ask("PING")
        client.close()
        return bool(answered)

    return asyncio.run(asked())


if __name__ == "__main__":
    main()
