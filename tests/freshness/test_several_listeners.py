"""Listeners of several consistencies in one rproxy: what is written through any of them is fresh for who wants fresh reads, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rproxy.embedded import free_port
from tests.freshness.conftest import read_by_replicas
from tests.freshness.registers import Registers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster
from tests.integration.wire import Wire


@pytest.fixture(scope="module")
def addresses() -> dict[str, tuple[str, int]]:
    return {consistency: ("127.0.0.1", free_port()) for consistency in ("eventual", "leader")}


@pytest.fixture(scope="module")
def mixed(started: LaggingCluster, addresses: dict[str, tuple[str, int]]) -> Iterator[Proxy]:
    """Its own listener wants fresh reads."""
    started.let_go()  # what the last test has held
    flags = [word for name, (host, port) in addresses.items() for word in ("-l", f"tcp://{host}:{port}?consistency={name}")]
    with rproxy(started, "--consistency", "fresh", *flags) as proxy:
        yield proxy


@pytest.mark.parametrize("through", ["eventual", "leader"])
def test_what_is_written_through_another_listener_is_fresh(
    mixed: Proxy, addresses: dict[str, tuple[str, int]], servers: LaggingCluster, through: str
) -> None:
    servers.leader.call("SET", "k", "old")
    servers.settle()
    read_by_replicas(mixed, servers)
    servers.hold()
    with Wire(addresses[through]) as writer, mixed.connect() as reader, Wire(addresses["eventual"]) as careless:
        writer.send(b"SET k new\r\n")
        assert writer.frame() == b"+OK\r\n"
        for _ in range(20):
            assert reader.call("GET", "k") == b"new"
            assert careless.call("GET", "k") == b"old"


def test_registers_are_fresh_while_other_listeners_are_busy(
    mixed: Proxy, addresses: dict[str, tuple[str, int]], servers: LaggingCluster
) -> None:
    with Registers(mixed, rest=0.01) as registers, Wire(addresses["eventual"]) as careless:
        for number in range(200):
            careless.ask("GET", "string:0")
            careless.ask("SET", "other", number)
        registers.go_on(1000)
    assert registers.stale == registers.errors == []
