"""Signals that administrators send by habit, to one process or to all of rproxy: none of them ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from rproxy.service.signals import handled
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import cluster
from tests.integration.wire import Wire, eventually


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with cluster(replicas=1) as servers, rproxy(servers, "--workers", request.param) as started:
        yield started


def processes(proxy: Proxy) -> list[int]:
    """That of rproxy, and those of its workers."""
    children = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text()
    return [proxy.process.pid, *map(int, children.split())]


def written(proxy: Proxy) -> str:
    return proxy.log_path.read_text()


@pytest.mark.parametrize(
    ("number", "sign"),
    [(signal.SIGHUP, "settings reloaded"), (signal.SIGUSR1, "status, as asked"), (signal.SIGQUIT, "most recent call first")],
)
def test_a_signal_to_every_process_ends_none_and_is_answered(proxy: Proxy, number: signal.Signals, sign: str) -> None:
    before, said = processes(proxy), written(proxy).count(sign)
    with proxy.connect() as wire:
        for process in before:
            os.kill(process, number)
        eventually(lambda: written(proxy).count(sign) > said, f"{sign} is written", within=10)
        assert wire.ask("PING") == b"+PONG\r\n"
    assert processes(proxy) == before


def test_the_status_in_the_log_is_that_of_all_workers(proxy: Proxy) -> None:
    def both_are_counted() -> bool:
        proxy.signal(signal.SIGUSR1)
        lines = [json.loads(line)["message"] for line in written(proxy).splitlines() if "status, as asked" in line]
        return 2 in [json.loads(line.partition(": ")[2])["clients"] for line in lines]

    with Wire(proxy.address), Wire(proxy.address):
        eventually(both_are_counted, "both clients are counted", within=10)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_signal_that_comes_while_the_loop_reads_another_is_handled_once(run: Callable[..., list[str]]) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert run(heard()) == ["SIGTERM"]
    finally:
        signal.signal(signal.SIGALRM, before)


async def heard() -> list[str]:
    """The names of the signals that the loop was told of, when a SIGALRM comes, of which it is not told, while it waits."""
    names: list[str] = []
    with handled({signal.SIGTERM: lambda: names.append("SIGTERM")}):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not names:
            await asyncio.sleep(0.1)
        for _ in range(10):  # a second one would come within two passes of the loop
            await asyncio.sleep(0.01)
    return names


def test_signals_are_handled_as_before_once_nobody_listens() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def listens() -> None:
        with handled({signal.SIGTERM: lambda: None}):
            assert signal.getsignal(signal.SIGTERM) != before

    asyncio.run(listens())
    assert signal.getsignal(signal.SIGTERM) == before
