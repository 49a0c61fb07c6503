"""Servers, Sentinels, relays and rproxy of one run, all on free ports, all ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hiredis

from rproxy.embedded import EmbeddedServer, free_port, wait_for
from tests.chaos.checker import COUNTERS, LISTS, STRINGS, Data
from tests.integration.wire import Wire, Word

REPOSITORY = Path(__file__).resolve().parents[2]
SERVE = [sys.executable, "-m", "rproxy", "serve"]
RELAY = Path(__file__).with_name("relay_process.py")
DNS = Path(__file__).with_name("dns_process.py")
OPTIONS = (
    "--enable-debug-command",
    "yes",
    "--repl-ping-replica-period",
    "1",
    "--repl-timeout",
    "10",
    "--repl-backlog-size",
    "32mb",
    "--hz",
    "20",
)
MASTER = "mymaster"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
Fault = (OSError, hiredis.ReplyError)


class Server(EmbeddedServer):
    """A server that can come back in another role, from another program, or with another clock."""

    def __init__(self, *arguments: str, binary: str = "") -> None:
        self.shift = ""
        super().__init__(arguments=(*OPTIONS, *arguments), binary=binary)

    def come_back(self, of: int = 0, binary: str = "", shift: str = "") -> None:
        """Start again on the same port, as a replica of the server on the port `of`; with a clock that is `shift` off (`+3s`)."""
        self.kill()
        words = self._options
        while "--replicaof" in words:
            at = words.index("--replicaof")
            del words[at : at + 3]
        if of:
            words += ["--replicaof", "127.0.0.1", str(of)]
        self.binary = binary or self.binary
        self.shift = shift
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._start()

    def _spawn(self) -> None:
        clock = {"LD_PRELOAD": FAKETIME, "FAKETIME": self.shift, "DONT_FAKE_MONOTONIC": "1"} if self.shift else {}
        before = {name: os.environ.get(name) for name in clock}
        os.environ.update(clock)
        try:
            super()._spawn()
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value

    def follow(self, port: int) -> None:
        self.call("REPLICAOF", "127.0.0.1", port)

    def lead(self) -> None:
        self.call("REPLICAOF", "NO", "ONE")


class Links:
    """Relays in front of `targets` that can be spoiled (see `relay_process`)."""

    def __init__(self, targets: Mapping[str, int]) -> None:
        words = [f"{name}:{port}" for name, port in targets.items()]
        self.process = subprocess.Popen([sys.executable, str(RELAY), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ports: dict[str, int] = json.loads(self._line())

    def order(self, link: str, mode: str = "", act: str = "", **values: float) -> None:
        """Set a link's mode, or do something to its connections once."""
        assert self.process.stdin is not None
        words = {"link": link, **({"mode": mode} if mode else {}), **({"act": act} if act else {}), **values}
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        self._line()

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the relay has ended"
        return line

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(5)


class Rig:
    """What a nemesis has to break. `leader` is the index of the server that leads, as far as the nemesis knows."""

    def __init__(self, *, durable: bool = False, binary: str = "", arguments: Sequence[str] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rproxy-chaos-"))
        self.binary = binary
        self.arguments = (*arguments, *(("--appendonly", "yes", "--appendfsync", "no") if durable else ()))
        self.servers: list[Server] = []
        self.sentinels: list[tuple[int, subprocess.Popen[bytes]]] = []
        self.links: Links | None = None
        self.relayed = False
        self.replication_relayed = False
        self.port, self.admin_port = free_port(), free_port()
        self.proxy: subprocess.Popen[bytes]
        self.dns: subprocess.Popen[bytes]
        self.proxies: list[subprocess.Popen[bytes]] = []
        self.helpers: list[subprocess.Popen[bytes]] = []
        self.leader = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pid in [pid for proxy in self.proxies for pid in [*children(proxy.pid), proxy.pid] if proxy.poll() is None]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in [*self.proxies, *self.helpers, *(sentinel for _, sentinel in self.sentinels)]:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        for server in self.servers:
            server.end()
        if self.links is not None:
            self.links.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    # starting

    def start_servers(self, relayed: bool = False, replication_relayed: bool = False) -> None:
        """A leader and two replicas; rproxy, or replicas, reach them through relays."""
        self.servers = [Server(*self.arguments, binary=self.binary) for _ in range(3)]
        self.relayed, self.replication_relayed = relayed, replication_relayed
        if relayed or replication_relayed:
            ports = {f"{kind}{number}": server.port for kind in "pr" for number, server in enumerate(self.servers)}
            self.links = Links(ports)
        for number in (1, 2):
            self.follow(number, 0)
            self.servers[number].wait_in_sync()

    def start_sentinels(self) -> None:
        """Three Sentinels that promote after a second."""
        for number in range(3):
            port = free_port()
            path = self.folder / f"sentinel{number}.conf"
            path.write_text(
                f"port {port}\nbind 127.0.0.1\nprotected-mode no\ndir {self.folder}\n"
                f"sentinel monitor {MASTER} 127.0.0.1 {self.servers[0].port} 2\nsentinel down-after-milliseconds {MASTER} 1000\n"
                f"sentinel failover-timeout {MASTER} 3000\nsentinel parallel-syncs {MASTER} 2\n"
            )
            with (self.folder / f"sentinel{number}.log").open("wb") as log:
                words = [self.servers[0].binary, str(path), "--sentinel"]
                self.sentinels.append((port, subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder)))

        def know_all() -> bool:
            facts = [call(port, "INFO", "sentinel") for port, _ in self.sentinels]
            return all(b"slaves=2,sentinels=3" in fact for fact in facts)

        wait_for(lambda: bool(tried(know_all)), "the Sentinels know each other", 30)

    def start_proxy(
        self, *flags: str, workers: int = 1, wrap: Sequence[str] = (), stderr: int | None = None, wait: bool = True
    ) -> None:
        """rproxy in front of the servers, or of what the Sentinels name; the next one if there was one before."""
        words = [*wrap, *SERVE, "-l", f"tcp://127.0.0.1:{self.port}", "--admin.listen", f"tcp://127.0.0.1:{self.admin_port}"]
        words += ["--workers", str(workers)] if workers != 1 else []
        if self.sentinels:
            words += [
                "--discovery",
                "sentinel",
                "--sentinels",
                ",".join(f"redis://127.0.0.1:{port}" for port, _ in self.sentinels),
            ]
        elif not {"-c", "-s"} & set(flags):
            words += [word for url in self.urls() for word in ("-s", url)]
        keep = {"RPROXY_INTERPRETED"}
        environment = {name: value for name, value in os.environ.items() if name in keep or not name.startswith("RPROXY_")}
        with self.log_path(len(self.proxies)).open("ab") as log:
            where = log.fileno() if stderr is None else stderr
            self.proxy = subprocess.Popen(
                [*words, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=where, cwd=REPOSITORY, env=environment
            )
        self.proxies.append(self.proxy)
        if wait:
            wait_for(self.takes_writes, f"rproxy takes writes\n{self.log()}", 20)

    def start_dns(self) -> None:
        """A resolver on 127.0.0.1, which tells that address for every name."""
        words = [sys.executable, str(DNS)]
        self.dns = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.helpers.append(self.dns)
        assert self.dns.stdout is not None and self.dns.stdout.readline() == b"ready\n", "the resolver does not start"

    def resolve(self, mode: str) -> None:
        """What the resolver does from now on: see `dns_process`."""
        assert self.dns.stdin is not None and self.dns.stdout is not None
        self.dns.stdin.write(mode.encode() + b"\n")
        self.dns.stdin.flush()
        self.dns.stdout.readline()

    def urls(self) -> list[str]:
        ports = [server.port for server in self.servers]
        if self.relayed:
            assert self.links is not None
            ports = [self.links.ports[f"p{number}"] for number in range(3)]
        return [f"redis://127.0.0.1:{port}" for port in ports]

    def write_settings(self, path: Path, urls: Sequence[str] = (), **more: str) -> None:
        """A file of settings; each of `more` is a line of it."""
        servers = ", ".join(f'"{url}"' for url in urls or self.urls())
        lines = [
            f"servers = [{servers}]",
            f'listen = ["tcp://127.0.0.1:{self.port}"]',
            *(f"{name} = {value}" for name, value in more.items()),
        ]
        path.write_text("\n".join([*lines, "[admin]", f'listen = ["tcp://127.0.0.1:{self.admin_port}"]', ""]))

    # breaking

    async def on(self, number: int, *words: Word, timeout: float = 5.0) -> Any:
        """One command to a server, on a connection of its own; None when it fails."""
        server = self.servers[number]
        return await asyncio.to_thread(lambda: tried(lambda: server.call(*words, timeout=timeout)))

    async def through(self, *words: Word, timeout: float = 5.0) -> Any:
        """One command through rproxy; None when it fails."""
        return await asyncio.to_thread(lambda: tried(lambda: call(self.port, *words, timeout=timeout)))

    async def kill(self, number: int) -> None:
        await asyncio.to_thread(self.servers[number].kill)

    async def come_back(self, number: int, **how: Any) -> None:
        """Start a server that was killed; as a replica of the leader, unless it is the leader."""
        of = 0 if number == self.leader else self.source(self.leader)
        await asyncio.to_thread(lambda: self.servers[number].come_back(of, **how))

    def source(self, number: int) -> int:
        """The port at which replicas reach a server."""
        if self.replication_relayed:
            assert self.links is not None
            return self.links.ports[f"r{number}"]
        return self.servers[number].port

    def follow(self, number: int, of: int) -> None:
        self.servers[number].follow(self.source(of))

    async def promote(self, number: int, demote: bool = False) -> None:
        """Make a server the leader, and have the third follow it; the old one too with `demote`."""
        old, self.leader = self.leader, number
        await asyncio.to_thread(self.servers[number].lead)
        for other in range(3):
            if other != number and (other != old or demote):
                await asyncio.to_thread(tried, functools.partial(self.follow, other, number))

    async def demote(self, number: int) -> None:
        """Make a server a replica of the leader, and wait until all are in sync."""
        await asyncio.to_thread(self.follow, number, self.leader)
        await self.whole()

    async def whole(self, seconds: float = 30.0) -> None:
        """Wait until all replicas are in sync. Raises EmbeddedError."""
        for number, server in enumerate(self.servers):
            if number != self.leader:
                await asyncio.to_thread(wait_for, server.in_sync, f"server {number} is in sync", seconds)

    async def until(self, holds: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
        """Wait until something holds that may raise OSError or an error reply meanwhile. Raises EmbeddedError."""
        await asyncio.to_thread(wait_for, lambda: bool(tried(holds)), what, seconds)

    async def until_leads(self, number: int) -> None:
        await self.until(lambda: self.servers[number].info("replication")["role"] == "master", f"server {number} leads")

    async def until_ended(self, process: subprocess.Popen[bytes]) -> None:
        await self.until(lambda: process.poll() is not None, "the older rproxy has ended", 30)

    def spoil(self, link: str, mode: str = "", act: str = "", **values: float) -> None:
        """Spoil a link: `p0` is between rproxy and server 0, `r0` between replicas and it."""
        assert self.links is not None
        self.links.order(link, mode, act, **values)

    def named(self) -> int:
        """The index of the server that the Sentinels name."""
        for port, _ in self.sentinels:
            said = tried(functools.partial(call, port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER, timeout=1.0))
            if said:
                return [server.port for server in self.servers].index(int(said[1]))
        return self.leader

    def signal(self, number: signal.Signals) -> None:
        self.proxy.send_signal(number)

    def workers(self) -> list[int]:
        """The process ids of rproxy's workers."""
        return children(self.proxy.pid)

    def takes_writes(self) -> bool:
        return bool(tried(lambda: call(self.port, "SET", "rig", "1")) == b"OK")

    # seeing

    def log_path(self, number: int) -> Path:
        return self.folder / f"rproxy.{number}.log"

    def log(self) -> str:
        """What all rproxies of the run have logged."""
        return "".join(self.log_path(number).read_text(errors="replace") for number in range(len(self.proxies)))

    def resident(self) -> int:
        """Bytes of memory of rproxy and its workers."""
        total = 0
        for pid in [self.proxy.pid, *self.workers()]:
            with contextlib.suppress(OSError):
                found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
                total += int(found[1]) * 1024 if found else 0
        return total

    def descriptors(self) -> int:
        """How many files rproxy and its workers have open."""
        total = 0
        for pid in [self.proxy.pid, *self.workers()]:
            with contextlib.suppress(OSError):
                total += len(os.listdir(f"/proc/{pid}/fd"))
        return total

    def data(self) -> Data:
        """What the leader holds."""
        server = self.servers[self.leader]

        def value(key: str) -> bytes:
            return server.call("GET", key, timeout=20) or b""

        def elements(key: str) -> list[str]:
            return [element.decode() for element in server.call("LRANGE", key, 0, -1, timeout=20)]

        strings = {key: value(key).decode().split("|")[1:] for key in STRINGS}
        return Data({key: elements(key) for key in LISTS}, strings, {key: int(value(key) or 0) for key in COUNTERS})


def call(port: int, *words: Word, timeout: float = 5.0) -> Any:
    """One command on a connection of its own. Raises OSError, and hiredis.ReplyError for an error reply."""
    try:
        with Wire(("127.0.0.1", port), timeout) as wire:
            reply = wire.call(*words)
    except EOFError as problem:
        raise ConnectionResetError from problem
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    return reply


def tried(what: Callable[[], Any]) -> Any:
    """Its result, or None where it failed."""
    try:
        return what()
    except Fault:
        return None


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
