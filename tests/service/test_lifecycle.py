"""Start, serve, drain, stop, with real servers behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from rproxy.dataplane.topology import Server
from rproxy.embedded import EmbeddedServer, free_port
from rproxy.service.lifecycle import Running, serve
from rproxy.settings import Settings, Timeouts


def settings(*ports: int, drain: float = 5.0, listen: str = "tcp://127.0.0.1:0") -> Settings:
    servers = tuple(Server(index, "127.0.0.1", port) for index, port in enumerate(ports))
    return Settings(listen=(listen,), servers=servers, timeouts=Timeouts(drain=drain, probe_interval=0.2))


def life(chosen: Settings, scenario: Callable[[Running], Awaitable[None]]) -> int:
    """Serve with these settings, play the scenario once it listens; the exit code of the whole life."""

    async def play() -> int:
        loop = asyncio.get_running_loop()
        playing: list[asyncio.Task[None]] = []
        code = await serve(chosen, lambda running: playing.append(loop.create_task(_play(running))))
        for task in playing:
            await task
        return code

    async def _play(running: Running) -> None:
        try:
            await scenario(running)
        except BaseException:
            running.stop()
            raise

    return asyncio.run(play())


@asynccontextmanager
async def connected(running: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.addresses[0].rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def test_it_serves_and_ends_with_0(leader: EmbeddedServer) -> None:
    async def scenario(running: Running) -> None:
        async with connected(running) as (reader, writer):
            writer.write(b"SET k v\r\nGET k\r\n")
            assert await reader.readexactly(12) == b"+OK\r\n$1\r\nv\r\n"
            running.stop()
            assert await reader.read() == b""

    assert life(settings(leader.port), scenario) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(leader: EmbeddedServer, number: int) -> None:
    async def scenario(running: Running) -> None:
        os.kill(os.getpid(), number)

    assert life(settings(leader.port), scenario) == 0


def test_what_is_in_flight_is_answered_before_it_ends(leader: EmbeddedServer) -> None:
    async def scenario(running: Running) -> None:
        async with connected(running) as (reader, writer):
            writer.write(b"BLPOP q 0\r\n")
            while not leader.call("CLIENT", "LIST").count(b"cmd=blpop"):
                await asyncio.sleep(0.01)
            running.stop()
            await asyncio.sleep(0)
            leader.call("RPUSH", "q", "x")
            assert await reader.read() == b"*2\r\n$1\r\nq\r\n$1\r\nx\r\n"

    assert life(settings(leader.port), scenario) == 0


def test_who_waits_longer_than_the_drain_time_is_cut_off(leader: EmbeddedServer) -> None:
    async def scenario(running: Running) -> None:
        async with connected(running) as (reader, writer):
            writer.write(b"BLPOP q 0\r\n")
            while not leader.call("CLIENT", "LIST").count(b"cmd=blpop"):
                await asyncio.sleep(0.01)
            running.stop()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)

    assert life(settings(leader.port, drain=0.1), scenario) == 0


def test_a_second_signal_ends_at_once_and_says_so(leader: EmbeddedServer) -> None:
    async def scenario(running: Running) -> None:
        async with connected(running) as (reader, writer):
            writer.write(b"BLPOP q 0\r\n")
            while not leader.call("CLIENT", "LIST").count(b"cmd=blpop"):
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            os.kill(os.getpid(), signal.SIGTERM)

    assert life(settings(leader.port, drain=600), scenario) == 128 + signal.SIGTERM


def test_a_taken_port_is_said_and_ends_with_1(leader: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(running: Running) -> None:
        raise AssertionError("it must not start")

    with caplog.at_level(logging.ERROR, "rproxy"):
        assert life(settings(leader.port, listen=f"tcp://127.0.0.1:{leader.port}"), scenario) == 1
    assert f"cannot listen on tcp://127.0.0.1:{leader.port}" in caplog.text


def test_a_replica_that_is_not_there_is_left_out(leader: EmbeddedServer) -> None:
    async def scenario(running: Running) -> None:
        while running.plane.topology.readers:
            await asyncio.sleep(0.01)
        running.stop()

    assert life(settings(leader.port, free_port()), scenario) == 0


def test_commands_that_only_the_leader_knows_are_learnt(leader: EmbeddedServer) -> None:
    async def scenario(running: Running) -> None:
        table = running.plane.table
        for name in (b"GETDEL", b"getdel"):
            del table.commands[name]
        while table.find(b"GETDEL") is table.unknown:
            await asyncio.sleep(0.01)
        assert table.find(b"GETDEL").rule.startswith("the leader's own COMMAND")
        running.stop()

    assert life(settings(leader.port), scenario) == 0
