"""Sentinels for tests: real ones, of the program that the servers are of, and in more haste than they usually are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from rproxy.embedded import EmbeddedServer, free_port, wait_for
from rproxy.parent_process import die_with_parent

HASTE = ("INFO-PERIOD", "200", "PUBLISH-PERIOD", "200", "ASK-PERIOD", "200", "PING-PERIOD", "100", "ELECTION-TIMEOUT", "1000")
"""Milliseconds: what it does every ten seconds, or two, for tests."""


class Sentinel:
    """One Sentinel of `service`, in a folder of its own, ended with the block."""

    def __init__(self, leader: EmbeddedServer, service: str = "mymaster", quorum: int = 1) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="rproxy-sentinel-"))
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}"]
        lines += [f"sentinel monitor {service} 127.0.0.1 {leader.port} {quorum}"]
        lines += [f"sentinel down-after-milliseconds {service} 300", f"sentinel failover-timeout {service} 3000"]
        lines += [f"sentinel auth-pass {service} {leader.password}"] if leader.password else []
        self.settings = self.folder / "sentinel.conf"
        self.settings.write_text("\n".join(lines) + "\n")
        self.binary = leader.binary
        self.start()

    def start(self) -> None:
        parent = os.getpid()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, str(self.settings), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: die_with_parent(parent),
            )
        wait_for(self.answers, "the Sentinel answers")
        self.call("SENTINEL", "DEBUG", *HASTE)

    def __enter__(self) -> Sentinel:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def call(self, *words: str) -> object:
        return EmbeddedServer.call(self, *words)  # type: ignore[arg-type]  # it has a port and a password

    password = ""

    def answers(self) -> bool:
        try:
            return self.call("PING") == b"PONG"
        except OSError:
            return False

    def wait_for_replicas(self, count: int) -> None:
        wait_for(lambda: self.knows(count), "it has found the replicas")

    def knows(self, replicas: int) -> bool:
        """It has found this many replicas, all well."""
        rows = self.call("SENTINEL", "REPLICAS", "mymaster")
        assert isinstance(rows, list)
        return len(rows) == replicas and all(row[row.index(b"flags") + 1] == b"slave" for row in rows)
