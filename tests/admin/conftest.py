"""Fixtures of the admin room: a leader with two replicas, and an rproxy in front of them with an admin listener on TCP and one on a unix socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rproxy.embedded import free_port
from tests.admin.asking import answers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually


@pytest.fixture(scope="package")
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


@pytest.fixture(scope="package")
def admin() -> str:
    """Where administrators ask."""
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture(scope="package")
def admin_socket(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where administrators ask, too."""
    path: Path = tmp_path_factory.mktemp("admin") / "admin.sock"
    return f"unix://{path}"


@pytest.fixture(scope="package")
def proxy(servers: Cluster, admin: str, admin_socket: str) -> Iterator[Proxy]:
    """rproxy, with both."""
    with rproxy(servers, admin=f"{admin},{admin_socket}") as proxy:
        eventually(lambda: answers(admin), "the admin listener answers", within=15)
        yield proxy
