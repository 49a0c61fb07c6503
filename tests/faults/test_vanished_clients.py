"""Clients that vanish in the middle of something, politely or not: nothing of them stays behind."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.faults.load import plant
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, eventually, pack


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    """For all of these tests: they break rproxy's clients, not the servers."""
    with cluster() as started:
        plant(started)
        started.leader.call("SET", "large", b"x" * (1 << 20))
        started.settle()
        yield started


@pytest.fixture
def proxy(servers: Cluster) -> Iterator[Proxy]:
    with rproxy(servers) as started:
        yield started


UPLOAD = pack("SET", "upload", bytes(4 << 20))


def transaction(wire: Wire) -> None:
    wire.send(pack("MULTI") + pack("INCR", "n"))
    wire.frames(2)


def watch(wire: Wire) -> None:
    wire.ask("WATCH", "n")


def upload_in_transaction(wire: Wire) -> None:
    wire.ask("MULTI")
    wire.send(UPLOAD[: 1 << 20])


def sends(data: bytes) -> Callable[[Wire], None]:
    return lambda wire: wire.send(data)


MOMENTS: dict[str, Callable[[Wire], None]] = {
    "idle": sends(b""),
    "in a transaction": transaction,
    "while it watches": watch,
    "in a small command": sends(b"*2\r\n$3\r\nGET\r\n$7\r\nplan"),
    "in a count": sends(b"*104"),
    "in a command of a million arguments": sends(b"*1048576\r\n$3\r\nDEL\r\n"),
    "at the beginning of an upload": sends(UPLOAD[:1000]),
    "in the middle of an upload": sends(UPLOAD[: 3 << 20]),
    "in an upload in a transaction": upload_in_transaction,
    "while it blocks": sends(pack("BLPOP", "q", "0")),
    "while it blocks and more waits": sends(pack("BLPOP", "q", "0") + pack("INCR", "n")),
    "with replies on their way": sends(pack("GET", "planted:1") * 500),
    "with large replies on their way": sends(pack("GET", "large") * 50),
}


@pytest.mark.parametrize("leave", ["close", "abort"])
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_client_that_vanishes_is_let_go_at_once(
    proxy: Proxy, servers: Cluster, moment: Callable[[Wire], None], leave: str
) -> None:
    """Nobody is left to wait for: rproxy drains in no time, and no connection of it stays on the leader."""
    for _ in range(3):
        wire = proxy.connect()
        moment(wire)
        getattr(wire, leave)()
    with proxy.connect() as other:
        assert other.ask("SET", "other", "v") == b"+OK\r\n"
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(within=10) == 0
    eventually(lambda: servers.leader.blocked_clients() == 0, "no client is blocked on the leader")
    assert servers.leader.call("LRANGE", "q", "0", "-1") == []
    assert servers.leader.call("EXISTS", "upload", "n") == 0
