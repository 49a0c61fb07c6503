"""Restarts under load, by both ways that refuse nobody: the next rproxy takes over from the one that runs, or systemd holds the socket meanwhile.

The clients are redis-py's with its own settings: one whose connection is closed between two commands connects again and says nothing of it.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from tests.integration.harness import REPOSITORY, SERVE
from tests.integration.servers import LaggingCluster
from tests.integration.wire import Wire, eventually

RESTARTS = 3
EACH = 150
"""Counters of one client: so many that replicas catch up with each now and then."""
READS = 800
"""Between two restarts."""
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
Start = Callable[[], subprocess.Popen[bytes]]
Change = Callable[[subprocess.Popen[bytes], Start], subprocess.Popen[bytes]]


class Counters:
    """Clients at work until the block ends: each counter is raised by one of them, now and then, and looked at by others. `stale` are reads that
    showed less than what was acknowledged, or shown, before they began; `errors` what a client's program would see.
    """

    def __init__(self, port: int, servers: LaggingCluster, writers: int = 3, readers: int = 4) -> None:
        self.port = port
        self.servers = servers
        self.writers = writers
        self.acknowledged = [0] * writers * EACH
        self.floors = list(self.acknowledged)
        self.reads = 0
        self.errors: list[str] = []
        self.stale: list[str] = []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._client, args=(self._raise, number)) for number in range(writers)]
        self.threads += [threading.Thread(target=self._client, args=(self._look, number)) for number in range(readers)]

    def __enter__(self) -> Counters:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(30)

    def go_on(self) -> None:
        """Wait for more reads, of replicas too, and more writes."""
        reads, writes, at_replicas = self.reads + READS, sum(self.acknowledged), self._at_replicas()
        eventually(lambda: self.reads >= reads and sum(self.acknowledged) > writes, "clients are served", within=30)
        eventually(lambda: self._at_replicas() > at_replicas + READS / 20, "replicas are read", within=30)

    def _at_replicas(self) -> int:
        return sum(node.calls("get") for node in self.servers.replicas)

    def _client(self, turn: Callable[[Redis, random.Random, int], None], number: int) -> None:
        dice = random.Random(number)
        with Redis(port=self.port) as client:
            while not self.over.is_set():
                try:
                    turn(client, dice, number)
                except Exception as problem:
                    self.errors.append(f"{type(problem).__name__} {problem}")

    def _raise(self, client: Redis, dice: random.Random, writer: int) -> None:
        number = writer + self.writers * dice.randrange(EACH)
        shown = int(client.incr(f"counter:{number}"))
        with self.lock:
            self.acknowledged[number] += 1
            self.floors[number] = max(self.floors[number], shown)
        self.over.wait(0.02 * dice.random())

    def _look(self, client: Redis, dice: random.Random, _: int) -> None:
        number = dice.randrange(len(self.floors))
        floor = self.floors[number]
        shown = int(client.get(f"counter:{number}") or 0)
        with self.lock:
            self.reads += 1
            if shown < floor:
                self.stale.append(f"counter:{number}: {shown} after {floor}")
            self.floors[number] = max(self.floors[number], shown)


def serves(port: int, process: subprocess.Popen[bytes]) -> bool:
    """This process, and no other that listens there too."""
    try:
        with Wire(("127.0.0.1", port), timeout=2) as wire:
            status = wire.ask("RPROXY", "STATUS")
            return b'"process": %d,' % process.pid in status or b'"workers": 1' not in status
    except (OSError, EOFError):
        return False


@contextmanager
def given(port: int) -> Iterator[socket.socket]:
    """What systemd holds."""
    with socket.create_server(("127.0.0.1", port), backlog=511) as held:
        yield held


def starting(words: Sequence[str], held: socket.socket | None) -> Start:
    environment = {
        name: value for name, value in os.environ.items() if name == "RPROXY_INTERPRETED" or not name.startswith("RPROXY_")
    }
    command = [*SERVE, *words]
    if held is not None:
        command = [sys.executable, "-c", ACTIVATED, str(held.fileno()), *command]
    passed = () if held is None else (held.fileno(),)
    return lambda: subprocess.Popen(command, pass_fds=passed, cwd=REPOSITORY, env=environment)


def take_over(old: subprocess.Popen[bytes], start: Start) -> subprocess.Popen[bytes]:
    """The next one starts, and the one that runs ends by itself."""
    following = start()
    assert old.wait(30) == 0
    return following


def stop_and_start(old: subprocess.Popen[bytes], start: Start) -> subprocess.Popen[bytes]:
    """As `systemctl restart`."""
    old.send_signal(signal.SIGTERM)
    assert old.wait(30) == 0
    return start()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("way", ["takeover", "activation"])
def test_restarts_under_load_cost_no_client_an_error_and_show_nobody_the_past(
    servers: LaggingCluster, tmp_path: Path, way: str, workers: str
) -> None:
    servers.lag(0.5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-l", f"tcp://127.0.0.1:{port}", "-s", ",".join(servers.urls), "--workers", workers, "--admin.listen", ""]
    if way == "takeover":
        restart_under_load(port, starting([*words, "--takeover", str(tmp_path / "takeover.sock")], None), take_over, servers)
    else:
        with given(port) as held:
            restart_under_load(port, starting(words, held), stop_and_start, servers)


def restart_under_load(port: int, start: Start, change: Change, servers: LaggingCluster) -> None:
    process = start()
    try:
        eventually(lambda: serves(port, process), "rproxy answers", within=20)
        with Counters(port, servers) as counters:
            for _ in range(RESTARTS):
                counters.go_on()
                process = change(process, start)
            counters.go_on()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert counters.errors == []
    assert counters.stale == []
    counted = [int(servers.leader.call("GET", f"counter:{number}") or 0) for number in range(len(counters.acknowledged))]
    assert counted == counters.acknowledged, "every write once"
