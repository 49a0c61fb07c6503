"""A log pipe that nobody reads: clients notice nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from rproxy.embedded import free_port
from tests.integration.harness import SERVE
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, eventually


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


def answers(port: int) -> bool:
    with contextlib.suppress(OSError, EOFError), Wire(("127.0.0.1", port), timeout=5) as wire:
        return wire.ask("SET", "k", "v") == b"+OK\r\n"
    return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_clients_are_served_while_nobody_reads_the_log(servers: Cluster, workers: str) -> None:
    port = free_port()
    flags = ["-l", f"tcp://127.0.0.1:{port}", "--workers", workers, "--admin.listen", "", "--log.level", "debug"]
    command = [*SERVE, *flags, *(word for url in servers.urls for word in ("-s", url))]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            eventually(lambda: answers(port), "it serves", within=20)
            for _ in range(100):  # each writes the whole status to the log
                os.kill(process.pid, signal.SIGUSR1)
                assert answers(port)
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
