"""What runs during a load: the servers behind, and the proxies in front of them, each in a folder of its own
that is gone at the end.

Called by `rounds`. The servers are `rproxy.embedded`'s. It must never end a process that it did not start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench import mixture
from bench.generator import KEYS
from bench.peers import Peer
from rproxy.embedded import EmbeddedError, EmbeddedServer, free_port, wait_for

START_DEADLINE = 15.0
END_DEADLINE = 5.0
CATCH_UP_DEADLINE = 30.0
KEYS_AT_ONCE = 100


class PeerFailed(RuntimeError):
    """A proxy did not start. The text is one sentence for people."""


class Proxy:
    """One proxy process on `port` of 127.0.0.1; a context manager. `listening`: seconds from its start until it took a connection."""

    def __init__(self, peer: Peer, binary: str, servers: Sequence[int]) -> None:
        """Start it and wait until a GET through it is answered by a server. Raises PeerFailed."""
        self.name = peer.name
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="rproxy-bench-")
        self._log = Path(self._folder.name) / "output.log"
        start = peer.start(binary, self.port, servers)
        for name, text in start.files.items():
            (Path(self._folder.name) / name).write_text(text)
        # rproxy is found from the checkout, wherever the proxy's folder is
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **start.environment}
        began = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                start.words, cwd=self._folder.name, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_for(lambda: self.process.poll() is not None or self._listens(), "it listens", START_DEADLINE)
            self.listening = time.monotonic() - began
            wait_for(lambda: self.process.poll() is not None or self._serves(), "it answers", START_DEADLINE)
            if self.process.poll() is not None:
                raise EmbeddedError(f"it ended with {self.process.returncode}")
        except EmbeddedError as problem:
            said = self._log.read_text(errors="replace").strip().splitlines()
            self.end()
            raise PeerFailed(f"{peer.name} did not start: {problem}; {said[-1] if said else 'it said nothing'}") from None
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough."""
        self.process.terminate()
        try:
            self.process.wait(END_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2.0):
            return True
        return False

    def _serves(self) -> bool:
        """It has its connection to a server: a GET of a key that is missing gives the null bulk, not an
        error.
        """
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2.0) as connection:
            connection.sendall(b"*2\r\n$3\r\nGET\r\n$7\r\nmissing\r\n")
            return connection.recv(64) == b"$-1\r\n"
        return False


@contextmanager
def proxies(peers: Sequence[tuple[Peer, str]], servers: Sequence[EmbeddedServer]) -> Iterator[tuple[list[Proxy], list[str]]]:
    """Those of the peers that start, in front of the servers, and for each of the others a sentence."""
    ports = [server.port for server in servers]
    started: list[Proxy] = []
    failed: list[str] = []
    with ExitStack() as running:
        for peer, binary in peers:
            try:
                started.append(running.enter_context(Proxy(peer, binary, ports)))
            except PeerFailed as problem:
                failed.append(str(problem))
        yield started, failed


def fill(servers: Sequence[EmbeddedServer], size: int) -> None:
    """Give the leader all the keys that the loads use, with values of `size` bytes, and wait until the
    replicas have them. Raises EmbeddedError.
    """
    leader, *replicas = servers
    value = "x" * size
    for first in range(0, KEYS, KEYS_AT_ONCE):
        words = [word for number in range(first, min(first + KEYS_AT_ONCE, KEYS)) for word in (f"key:{number:012d}", value)]
        leader.call("MSET", *words)
    settle(leader, replicas)


def settle(leader: EmbeddedServer, replicas: Sequence[EmbeddedServer]) -> None:
    """Wait until the replicas have all that the leader has. Raises EmbeddedError."""
    wait_for(lambda: all(_offset(one) >= _offset(leader) for one in replicas), "the replicas have caught up", CATCH_UP_DEADLINE)


def _offset(server: EmbeddedServer) -> int:
    facts = server.info("replication")
    return int(facts["slave_repl_offset"] if facts["role"] == "slave" else facts["master_repl_offset"])


def commands_served(servers: Sequence[EmbeddedServer], command: str) -> int:
    """How many GET or SET, or both, the servers have executed for clients so far, with a result: a GET that
    found its key, a SET on the leader.
    """
    if command == mixture.NAME:
        return commands_served(servers, "GET") + commands_served(servers, "SET")
    if command == "GET":
        return sum(int(server.info("stats")["keyspace_hits"]) for server in servers)
    calls = servers[0].info("commandstats").get(f"cmdstat_{command.lower()}", "calls=0")
    return int(dict(pair.split("=") for pair in calls.split(","))["calls"])
