"""Django's own cache tests, unchanged, through rproxy as it comes, over replicas that lag: by 20 ms, and by half a second.

Django's tests write and then read at once, so a read that the wrong replica answers fails one of them. All runs go on at the same time.
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

from tests.compat.django.test_django_suite import SETTINGS, finished
from tests.integration.harness import rproxy
from tests.integration.servers import lagging_cluster

RUNS: dict[str, tuple[float, tuple[str, ...]]] = {
    "20 ms": (0.02, ()),
    "half a second": (0.5, ()),
    "half a second, and careless": (0.5, ("--consistency", "eventual")),
}


@contextlib.contextmanager
def suite(source: Path, folder: Path, name: str) -> Iterator[Path]:
    """One run of Django's tests, going on in the background; the file that its report goes to."""
    lag, flags = RUNS[name]
    folder.mkdir()
    with lagging_cluster(lag) as servers, rproxy(servers, *flags) as proxy:
        (folder / "rproxy_settings.py").write_text(SETTINGS.format(location=proxy.url, options={}))
        command = [sys.executable, "runtests.py", "cache.tests.RedisCacheTests", "--settings=rproxy_settings", "--parallel=1"]
        environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{folder}"}
        with (folder / "report").open("wb") as report:
            process = subprocess.Popen(command, cwd=source / "tests", env=environment, stdout=report, stderr=subprocess.STDOUT)
        try:
            yield folder / "report"
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def reports(django_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("lagging")
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(suite(django_source, folder / str(number), name)) for number, name in enumerate(RUNS)}


@pytest.mark.parametrize("name", ["20 ms", "half a second"])
def test_all_of_djangos_cache_tests_pass_over_replicas_that_lag(reports: dict[str, Path], name: str) -> None:
    report = finished(reports[name])
    assert re.search(r"^Ran 62 tests", report, re.MULTILINE), report
    assert re.search(r"^OK \(skipped=3\)$", report, re.MULTILINE), report


def test_without_fresh_reads_many_of_them_fail(reports: dict[str, Path]) -> None:
    report = finished(reports["half a second, and careless"])
    failed = re.findall(r"^(?:FAIL|ERROR): (\w+)", report, re.MULTILINE)
    assert len(failed) > 20, report
    assert "test_incr" in failed, report
