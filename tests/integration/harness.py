"""rproxy as a real subprocess: start it, wait until it answers, end it by its process id, and show its log
when something fails.

Used by the fixtures in the conftest.py files of the integration, fault and compatibility tests. It must never
reach into the process: what a test sees is what a client or an operator could see.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rproxy.embedded import free_port
from tests.integration.servers import Cluster
from tests.integration.wire import Address, Wire, eventually

REPOSITORY = Path(__file__).resolve().parents[2]
SERVE = [sys.executable, "-m", "rproxy", "serve"]


class Proxy:
    """A running `rproxy serve`. `address` is where clients connect; `log()` is what it wrote to stderr."""

    def __init__(self, folder: Path, servers: Sequence[str], flags: Sequence[str], settings: str, admin: str = "") -> None:
        self.port = free_port()
        self.log_path = folder / "stderr.log"
        command = [*SERVE, "-l", f"tcp://127.0.0.1:{self.port}"]
        if settings:
            path = folder / "rproxy.toml"
            path.write_text(settings)
            command += ["-c", str(path)]
        for server in servers:
            command += ["-s", server]
        keep = {"RPROXY_INTERPRETED"}  # which build is tested; every other variable would be a setting
        environment = {name: value for name, value in os.environ.items() if name in keep or not name.startswith("RPROXY_")}
        environment["RPROXY_ADMIN__LISTEN"] = admin
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen([*command, *flags], stderr=log, stdout=log, cwd=REPOSITORY, env=environment)
        try:
            eventually(self.answers, f"rproxy answers on {self.port}", within=15)
        except BaseException:
            print(f"--- rproxy's log ---\n{self.log()}", file=sys.stderr)
            self.process.kill()
            self.process.wait()
            raise

    @property
    def address(self) -> Address:
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        assert self.process.poll() is None, f"rproxy ended with {self.process.returncode}; its log:\n{self.log()}"
        try:
            with Wire(self.address, timeout=2) as wire:
                return bool(wire.ask("PING"))
        except (OSError, EOFError):
            return False

    def connect(self, timeout: float = 15.0) -> Wire:
        return Wire(self.address, timeout)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")[-6000:]

    def resident(self, field: str = "VmRSS") -> int:
        """Resident memory in bytes now, or with `VmHWM` the highest so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, within: float) -> int:
        """The exit code; fails when rproxy is still there after `within` seconds."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"rproxy still runs after {within} s; its log:\n{self.log()}") from None

    def stop(self) -> None:
        """SIGTERM: it must drain and exit with 0, and no traceback may stand in its log."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            code = self.wait(within=10)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        assert code == 0, f"rproxy exited with {code}; its log:\n{self.log()}"
        assert "Traceback" not in self.log(), f"a traceback in the log:\n{self.log()}"


def reads_reach_replicas(proxy: Proxy, servers: Cluster) -> bool:
    """A burst of reads has come to every replica, so all of them are connected."""
    before = [node.calls("exists") for node in servers.replicas]
    with proxy.connect() as wire:
        for _ in range(20):
            if wire.ask("EXISTS", "nothing").startswith(b"-NOAUTH"):
                return True
    return all(node.calls("exists") > seen for node, seen in zip(servers.replicas, before, strict=True))


def knows_its_leader(proxy: Proxy) -> bool:
    """It has asked its servers who leads: before that, writes wait."""
    with proxy.connect() as wire:
        reply = wire.ask("RPROXY", "STATUS")
    return reply.startswith(b"-") or b'"settled": true' in reply


@contextlib.contextmanager
def rproxy(servers: Cluster, *flags: str, settings: str = "", urls: Sequence[str] = (), admin: str = "") -> Iterator[Proxy]:
    """rproxy in front of these servers, ended with the block.

    `urls` are used in place of the servers' own, where a password or a database is to stand in them. With
    reads on the replicas, the block begins when every replica answers reads. `admin` is where administrators ask.
    """
    with tempfile.TemporaryDirectory(prefix="rproxy-test-") as folder:
        proxy = Proxy(Path(folder), urls or servers.urls, flags, settings, admin)
        try:
            eventually(lambda: "listening on" in proxy.log_path.read_text(errors="replace"), "every worker is ready", within=20)
            if servers.leader.running:
                eventually(lambda: knows_its_leader(proxy), "it is known who leads", within=20)
            if servers.replicas and "leader" not in flags:
                eventually(lambda: reads_reach_replicas(proxy, servers), "reads reach every replica", pause=0.1)
            yield proxy
        except BaseException:
            print(f"--- rproxy's log ---\n{proxy.log()}", file=sys.stderr)
            proxy.process.kill()
            proxy.process.wait()
            raise
        if proxy.process.poll() is None:
            proxy.stop()
