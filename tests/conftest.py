"""Fixtures of all tests: real servers, started by `rproxy.embedded` and gone with the test or the session.

`leader` and `cluster_of_three` are shared by all tests of a session and emptied before each: a test that
breaks servers takes `start_server`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest

from rproxy.embedded import EmbeddedServer, start_leader, start_replica, started_cluster, wait_for

hypothesis.settings.register_profile("rproxy", deadline=None)  # how long an example takes says how busy the machine is
hypothesis.settings.load_profile("rproxy")

NOT_RUN = "the tests of the page have not run: "


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A machine without a browser can run all other tests, and is told that it has run only those."""
    reasons = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", []) if "browser" in report.keywords}
    for reason in sorted(reasons):
        terminalreporter.write_line(NOT_RUN + reason.removeprefix("Skipped: "), yellow=True)


StartServer = Callable[..., EmbeddedServer]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts a server that the test may break; options as for EmbeddedServer, `of=leader` makes it a replica
    that is in sync.
    """
    with ExitStack() as servers:

        def start(of: EmbeddedServer | None = None, **options: Any) -> EmbeddedServer:
            return servers.enter_context(start_leader(**options) if of is None else start_replica(of, **options))

        yield start


@pytest.fixture(scope="session")
def session_servers() -> Iterator[list[EmbeddedServer]]:
    """One leader and two replicas for the whole session. For the fixtures below, not for tests."""
    with started_cluster() as servers:
        yield servers


@pytest.fixture
def cluster_of_three(session_servers: list[EmbeddedServer]) -> list[EmbeddedServer]:
    """A leader and two replicas, in this order: without keys, replication in sync, command counters at zero."""
    leader, *replicas = session_servers
    leader.call("FLUSHALL")
    offset = int(leader.info("replication")["master_repl_offset"])
    wait_for(
        lambda: all(int(server.info("replication")["slave_repl_offset"]) >= offset for server in replicas),
        "the replicas have caught up",
    )
    for server in session_servers:
        server.call("CONFIG", "RESETSTAT")
    return session_servers


@pytest.fixture
def leader(cluster_of_three: list[EmbeddedServer]) -> EmbeddedServer:
    """One server without keys. It has replicas, which a test may leave out of its view."""
    return cluster_of_three[0]
