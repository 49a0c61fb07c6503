"""More clients than there are file descriptors: each is told so, and rproxy itself goes on."""

from __future__ import annotations

import contextlib
import resource
from collections import Counter
from collections.abc import Iterator

import pytest

from rproxy.embedded import free_port
from tests.admin.asking import ask
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster

TOO_MANY = b"-ERR max number of clients reached\r\n"
LIMIT = 96


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


@pytest.fixture(scope="module")
def admin() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def proxy(servers: Cluster, admin: str) -> Iterator[Proxy]:
    """rproxy, which may have few files open."""
    with rproxy(servers, admin=admin) as started:
        resource.prlimit(started.process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        yield started


def test_who_gets_no_descriptor_is_told_so_and_the_servers_stay_up(proxy: Proxy, admin: str) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy.connect()) for _ in range(2 * LIMIT)]
        for client in clients:
            with contextlib.suppress(OSError):  # it is closed already
                client.send(b"PING\r\n")
        told = Counter(client.frame() for client in clients)
        assert set(told) == {b"+PONG\r\n", TOO_MANY}
        first = clients[0]
        assert first.ask("MULTI") == b"+OK\r\n" and first.ask("EXEC") == b"*0\r\n", "a lease has a descriptor"
        assert ask(admin, "/readyz").status == 200
        assert f'rproxy_clients_refused_total{{reason="limit"}} {told[TOO_MANY]}.0' in ask(admin, "/metrics").text
    assert "a client is refused: no file descriptor is left for it" in proxy.log()
    assert "is not up" not in proxy.log()
