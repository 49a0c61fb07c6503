"""Django's own cache tests, unchanged, with `LOCATION` at rproxy: all of them run and all of them pass.

Most of their time is sleep, so all runs go on at the same time, each with servers and a proxy of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually

SETTINGS = """
DATABASES = {{name: {{"ENGINE": "django.db.backends.sqlite3"}} for name in ("default", "other")}}
SECRET_KEY = "only for tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
CACHES = {{
    "default": {{
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": {location!r},
        "OPTIONS": {options!r},
    }}
}}
"""


RUNS: dict[str, tuple[str, dict[str, object], str]] = {
    # LOCATION with {} for host and port, OPTIONS, the servers' password
    "defaults": ("redis://{}", {}, ""),
    "RESP2": ("redis://{}", {"protocol": 2}, ""),
    "RESP3": ("redis://{}", {"protocol": 3}, ""),
    "a user": ("redis://site:sites-secret@{}", {}, "masters-secret"),
    "a user and a database": ("redis://site:sites-secret@{}/1", {}, "masters-secret"),
}


def let_in(servers: Cluster) -> None:
    for node in servers.nodes:
        node.call("ACL", "SETUSER", "site", "on", ">sites-secret", "~*", "&*", "+@all")


@contextlib.contextmanager
def suite(source: Path, folder: Path, name: str) -> Iterator[Path]:
    """One run of Django's tests, going on in the background; the file that its report goes to."""
    location, options, password = RUNS[name]
    folder.mkdir()
    with cluster(password=password) as servers:
        let_in(servers)
        with rproxy(servers, "--consistency", "leader") as proxy:
            settings = SETTINGS.format(location=location.format(f"127.0.0.1:{proxy.port}"), options=options)
            (folder / "rproxy_settings.py").write_text(settings)
            command = [sys.executable, "runtests.py", "cache.tests.RedisCacheTests"]
            command += ["--settings=rproxy_settings", "--parallel=1"]
            environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{folder}"}
            with (folder / "report").open("wb") as report:
                process = subprocess.Popen(
                    command, cwd=source / "tests", env=environment, stdout=report, stderr=subprocess.STDOUT
                )
            try:
                yield folder / "report"
            finally:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def reports(django_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("django")
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(suite(django_source, folder / str(number), name)) for number, name in enumerate(RUNS)}


def finished(report: Path) -> str:
    """The whole report, once the run is over."""

    def over() -> str:
        text = report.read_text()
        return text if "Destroying test database" in text or "Traceback (most recent call last)" in text[:2000] else ""

    return str(eventually(over, f"Django's tests end; so far:\n{report.read_text()}", within=120, pause=0.1))


@pytest.mark.parametrize("name", ["defaults", "RESP2", "RESP3", "a user"])
def test_all_of_djangos_cache_tests_pass(reports: dict[str, Path], name: str) -> None:
    report = finished(reports[name])
    assert re.search(r"^Ran 62 tests", report, re.MULTILINE), report
    # The three that skip themselves are about culling, which this backend leaves to the server.
    assert re.search(r"^OK \(skipped=3\)$", report, re.MULTILINE), report


def test_all_pass_with_a_database_in_location_but_the_one_that_sets_another(reports: dict[str, Path]) -> None:
    """test_redis_pool_options wants `OPTIONS = {"db": 5}` to hold, but redis-py prefers the URL's database.

    It fails so against a server too, without rproxy.
    """
    report = finished(reports["a user and a database"])
    assert re.search(r"^Ran 62 tests", report, re.MULTILINE), report
    assert re.findall(r"^(?:FAIL|ERROR): (\w+)", report, re.MULTILINE) == ["test_redis_pool_options"], report
    assert "AssertionError: 1 != 5" in report, report
