"""What machine and what versions the figures belong to.

Called by `__main__` for the heading of the results. It must never name the host, a user or a path.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from bench import generator
from bench.peers import Peer
from rproxy.embedded import EmbeddedServer


def machine() -> dict[str, str]:
    """Processor, cores, kernel, load, Python, day."""
    return {
        "processor": processor(_text("/proc/cpuinfo")),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
        "load average at the start": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def versions(server: EmbeddedServer, binary: str, peers: Sequence[tuple[Peer, str]]) -> dict[str, str]:
    """The server, the load generator, and each proxy that was found."""
    facts = server.info("server")
    name = "Valkey" if "valkey_version" in facts else "Redis"
    servers = f"{name} {facts.get('valkey_version', facts['redis_version'])}"
    return {"servers": servers, "load generator": generator.version(binary)} | {
        peer.name: peer.version(found) for peer, found in peers
    }


def processor(cpuinfo: str) -> str:
    """The model out of the text of /proc/cpuinfo."""
    names = (line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name"))
    return next(names, platform.machine())


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
