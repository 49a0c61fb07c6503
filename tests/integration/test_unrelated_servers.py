"""Servers that don't replicate from each other: rproxy says so, and goes on by the order of the settings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.harness import rproxy
from tests.integration.servers import Cluster, Node
from tests.integration.wire import eventually


@pytest.fixture(scope="module")
def strangers() -> Iterator[Cluster]:
    with Node() as one, Node() as two:
        yield Cluster(one, [two])


@pytest.mark.parametrize("discovery", ["roles", "static"])
def test_fresh_reads_stay_on_the_leader(strangers: Cluster, discovery: str) -> None:
    one, two = strangers.nodes
    two.call("SET", "k", "another value")
    # the harness waits for reads on every replica, which never come here
    with rproxy(Cluster(one, []), "--discovery", discovery, urls=strangers.urls) as proxy, proxy.connect() as wire:
        eventually(lambda: wire.ask("SET", "k", "value") == b"+OK\r\n", "writes go to the first server")
        two.forget()
        assert {wire.ask("GET", "k") for _ in range(50)} == {b"$5\r\nvalue\r\n"}
        assert (two.calls("get"), two.calls("set")) == (0, 0)
        eventually(lambda: f"127.0.0.1:{two.port}" in proxy.log() and "it says that it leads" in proxy.log(), "the log says so")


def test_eventual_reads_by_a_static_order_go_to_the_listed_replica(strangers: Cluster) -> None:
    one, two = strangers.nodes
    two.call("SET", "k", "another value")
    flags = ("--discovery", "static", "--consistency", "eventual")
    with rproxy(Cluster(one, []), *flags, urls=strangers.urls) as proxy, proxy.connect() as wire:
        assert wire.ask("SET", "k", "value") == b"+OK\r\n"
        eventually(lambda: "127.0.0.1" in proxy.log() and "replicate" in proxy.log(), "it has been asked how it is")
        assert {wire.ask("GET", "k") for _ in range(50)} == {b"$13\r\nanother value\r\n"}


def test_check_says_so_and_exits_with_3(strangers: Cluster) -> None:
    words = [sys.executable, "-m", "rproxy", "check", "--connect"]
    for url in strangers.urls:
        words += ["-s", url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert f"127.0.0.1:{strangers.replicas[0].port} should be a replica" in done.stdout
