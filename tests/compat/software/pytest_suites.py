"""A suite that pytest runs: against one server, and through rproxy in front of a leader and two replicas that lag."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.compat.redis_suite import LAG
from tests.compat.software.outcomes import Outcome, Side, from_junit
from tests.compat.software.suites import Suite
from tests.compat.software.workspace import Workspace, copy, environment
from tests.integration.harness import rproxy
from tests.integration.servers import Node, lagging_cluster

TEST_TIMEOUT = 60
"""Seconds for one test: pytest-timeout fails one that takes longer, and the run goes on."""
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=native", "--timeout-method=signal", "-o", "junit_family=xunit1")


class PytestSuite:
    """One suite, ready to be run both ways."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self.name = suite.name
        self.quick = suite.quick
        self._workspace = Workspace(suite.lock, suite.package)

    def prepare(self) -> None:
        """Install its packages, where that has not been done."""
        self._workspace.prepare()

    def direct(self) -> Side:
        """Run it against one server."""
        with tempfile.TemporaryDirectory(prefix="rproxy-software-") as folder, Node() as server:
            return self._run(server.port, Path(folder))

    def proxied(self) -> Side:
        """Run it through rproxy."""
        with contextlib.ExitStack() as ends:
            folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="rproxy-software-"))
            servers = ends.enter_context(lagging_cluster(LAG))
            proxy = ends.enter_context(rproxy(servers, "--timeouts.drain", "1s"))
            return self._run(proxy.port, Path(folder))

    def _run(self, port: int, folder: Path) -> Side:
        """Against whatever answers on this port. A run that does not end in time has passed nothing."""
        where = copy(self._suite, self._workspace.source, folder / "suite", port)
        report = folder / "report.xml"
        words = [word.replace("{port}", str(port)) for word in self._suite.arguments]
        command = [str(self._workspace.python), *PYTEST, "--timeout", str(TEST_TIMEOUT), "--junit-xml", str(report), *words]
        variables = environment(self._suite, self._workspace, port)
        began = time.monotonic()
        with (folder / "output").open("w+", errors="replace") as output:
            process = subprocess.Popen(command, cwd=where, env=variables, stdout=output, stderr=output, start_new_session=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._suite.timeout)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the group that was started here, with what the suite left behind
            process.wait()
            output.seek(0)
            text = output.read()
        try:
            outcome = from_junit(report.read_text(), port)
        except (FileNotFoundError, ElementTree.ParseError):
            outcome = Outcome()
        return Side(outcome, time.monotonic() - began, text)
