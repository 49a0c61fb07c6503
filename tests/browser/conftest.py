"""Fixtures of the tests of the page: servers, an rproxy with an admin listener, and a browser, each for all of them.

Without Chromium these tests are left out, and the summary says so; with BROWSER_TESTS=required that is a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator

import pytest

from rproxy.embedded import free_port
from tests.admin.asking import answers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually


@pytest.fixture(scope="package", autouse=True)
def _needs_a_browser() -> None:
    lacks = ""
    if importlib.util.find_spec("selenium") is None:
        lacks = "selenium is not installed: pip install '.[test]'"
    elif not (shutil.which("chromium") and shutil.which("chromedriver")):
        lacks = "chromium and chromedriver are not installed: apt-get install chromium chromium-driver"
    if lacks:
        (pytest.fail if os.environ.get("BROWSER_TESTS") == "required" else pytest.skip)(lacks)


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
