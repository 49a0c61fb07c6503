"""Settings that are read again under load: no error, and no read behind a write that anybody has seen."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.freshness.registers import KINDS, Registers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, LaggingCluster
from tests.integration.wire import eventually

SMALL = [kind for kind in KINDS if kind != "large"]
READS = 1500
"""Between two reloads."""


class Named(Cluster):
    """Servers that the settings file names, and no flag."""

    @property
    def urls(self) -> list[str]:
        return []


def settings(urls: list[str], consistency: str = "fresh") -> str:
    return f'servers = {urls}\nconsistency = "{consistency}"\n[timeouts]\nprobe_interval = "200ms"\n'


@contextmanager
def running(servers: LaggingCluster, workers: int, consistency: str = "fresh") -> Iterator[Proxy]:
    with rproxy(
        Named(servers.leader, servers.replicas), "--workers", str(workers), settings=settings(servers.urls, consistency)
    ) as proxy:
        yield proxy


def reload(proxy: Proxy, text: str) -> None:
    """Have these settings read; returns when they are taken over."""
    file: Path = proxy.log_path.parent / "rproxy.toml"
    file.write_text(text)
    said = proxy.log_path.read_text().count("settings reloaded")
    proxy.signal(signal.SIGHUP)
    eventually(lambda: proxy.log_path.read_text().count("settings reloaded") > said, "the settings are taken over")


@pytest.mark.parametrize("workers", [1, 2])
def test_replicas_that_go_and_come_under_load_cost_no_error_and_no_stale_read(servers: LaggingCluster, workers: int) -> None:
    leader, first, second = servers.urls
    with running(servers, workers) as proxy, Registers(proxy, rest=0.02) as registers:
        for urls in ([leader, first], [leader, second, first], [leader, second], [leader], [leader, first, second]):
            registers.go_on(READS)
            reload(proxy, settings(urls))
        before = [node.calls("get") for node in servers.replicas]
        registers.go_on(READS)
        eventually(
            lambda: all(node.calls("get") > seen for node, seen in zip(servers.replicas, before, strict=True)), "all are read"
        )
    assert registers.errors == []
    assert registers.stale == []


@pytest.mark.parametrize("workers", [1, 2])
def test_reads_are_fresh_from_the_moment_on_that_the_settings_say_so(servers: LaggingCluster, workers: int) -> None:
    servers.lag(0.3)
    with running(servers, workers, "eventual") as proxy, Registers(proxy, kinds=SMALL, rest=0.01) as registers:
        registers.go_on(READS)
        assert registers.stale, "until then they are not"
        reload(proxy, settings(servers.urls, "fresh"))
        registers.go_on(100)  # those that were under way
        known = len(registers.stale)
        registers.go_on(2 * READS)
    assert registers.errors == []
    assert registers.stale[known:] == []
