"""Fixtures of the tests of the page: servers, an rproxy with an admin listener, and a browser, each for all of them.

Without Chromium these tests are left out, and the summary says so; with BROWSER_TESTS=required that is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rproxy.embedded import free_port
from tests.admin.asking import answers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually


@pytest.fixture(scope="package", autouse=True)
def _needs_a_browser() -> None:
    pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[test]'")
    from tests.browser import browsing

    if not browsing.installed():
        (pytest.fail if os.environ.get("BROWSER_TESTS") == "required" else pytest.skip)(browsing.NEEDED)


@pytest.fixture(scope="package")
def servers(_needs_a_browser: None) -> Iterator[Cluster]:
    with cluster() as started:
        yield started


@pytest.fixture(scope="package")
def port() -> int:
    """Where administrators ask."""
    return free_port()


@pytest.fixture(scope="package")
def proxy(servers: Cluster, port: int) -> Iterator[Proxy]:
    admin = f"tcp://127.0.0.1:{port}"
    with rproxy(servers, admin=admin) as proxy:
        eventually(lambda: answers(admin), "the admin listener answers", within=15)
        yield proxy
