"""What systemd is told, received on a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rproxy.service.systemd import notify, start_watchdog, watchdog_interval

WAIT = 10.0  # seconds that a message may take at most


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The service manager's end of the socket, and the environment that names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@rproxy-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1) if request.param == "abstract" else name)
        receiver.settimeout(WAIT)
        yield receiver, {"NOTIFY_SOCKET": name}


def test_messages_arrive_as_lines_of_one_datagram(manager: tuple[socket.socket, dict[str, str]]) -> None:
    receiver, env = manager
    notify("READY=1", "STATUS=listening on\ntcp://127.0.0.1:7379", env=env)
    assert receiver.recv(4096) == b"READY=1\nSTATUS=listening on tcp://127.0.0.1:7379"
    notify("STOPPING=1", env=env)
    assert receiver.recv(4096) == b"STOPPING=1"


def test_the_watchdog_gives_signs_of_life_until_it_is_cancelled(manager: tuple[socket.socket, dict[str, str]]) -> None:
    receiver, env = manager
    receiver.setblocking(False)

    async def watched() -> list[bytes]:
        loop = asyncio.get_running_loop()
        task = start_watchdog({**env, "WATCHDOG_USEC": "20000"})
        assert task is not None
        async with asyncio.timeout(WAIT):
            signs = [await loop.sock_recv(receiver, 4096) for _ in range(3)]
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return signs

    assert asyncio.run(watched()) == [b"WATCHDOG=1"] * 3


def test_a_sign_of_life_comes_twice_in_the_time_that_systemd_allows() -> None:
    assert watchdog_interval({"WATCHDOG_USEC": "10000000"}) == 5.0
    assert watchdog_interval({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}) == 5.0


@pytest.mark.parametrize(
    "env", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "10", "WATCHDOG_PID": "1"}]
)
def test_a_process_that_systemd_does_not_watch_has_no_watchdog(env: dict[str, str]) -> None:
    async def started() -> object:
        return start_watchdog(env)

    assert asyncio.run(started()) is None


@pytest.mark.parametrize("name", ["", "/", "/absent/notify", "@absent", "vsock:2:1234", "relative"])
def test_without_a_service_manager_nothing_happens(name: str) -> None:
    notify("READY=1", env={"NOTIFY_SOCKET": name})


def test_a_manager_that_does_not_read_holds_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        for _ in range(2000):  # more than any queue holds
            notify("WATCHDOG=1", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
