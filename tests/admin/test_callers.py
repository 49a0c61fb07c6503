"""Which user asks, from the kernel."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rproxy.admin import callers


def scope(host: str, family: int = socket.AF_INET) -> tuple[dict[str, Any], list[socket.socket]]:
    """A request over TCP as ASGI describes it, and the sockets that must be kept."""
    with socket.socket(family) as listening:
        listening.bind((host, 0))
        listening.listen()
        client = socket.socket(family)
        client.connect(listening.getsockname())
        server, _ = listening.accept()
    told = {"state": {"connection": server}, "client": server.getpeername()[:2], "server": server.getsockname()[:2]}
    return told, [client, server]


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("::ffff:127.0.0.1", socket.AF_INET6)]
)
def test_the_user_at_the_other_end_of_a_loopback_connection_is_found(
    host: str, family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, kept = scope(host, family)
    assert callers.is_owner(told)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(callers, "ROOT", 54321)
    assert not callers.is_owner(told), "rproxy runs as somebody else"
    for each in kept:
        each.close()


def test_a_connection_that_the_kernel_does_not_list_is_nobodys() -> None:
    told, kept = scope("127.0.0.1")
    told["client"] = ("127.0.0.1", 1)
    assert not callers.is_owner(told)
    for each in kept:
        each.close()


@pytest.mark.parametrize(("mode", "trusted"), [(0o660, True), (0o666, False)])
def test_over_a_unix_socket_that_everybody_may_use_the_user_counts(
    tmp_path: Path, mode: int, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "s")
    with closing(socket.socket(socket.AF_UNIX)) as listening, closing(socket.socket(socket.AF_UNIX)) as client:
        listening.bind(path)
        os.chmod(path, mode)
        listening.listen()
        client.connect(path)
        server, _ = listening.accept()
        with server:
            told = {"state": {"connection": server}, "client": None, "server": (path, None)}
            assert callers.is_owner(told)
            monkeypatch.setattr(callers, "user_of", lambda connection: 12345)
            assert callers.is_owner(told) is trusted
