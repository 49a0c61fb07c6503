"""Servers whose passwords change while rproxy runs: they come from a file, or a command prints them."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually

WORKERS = [(), ("--workers", "2")]


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster(replicas=1) as started:
        for node in started.nodes:
            node.call("ACL", "SETUSER", "token", "on", "~*", "&*", "+@all", ">first")
            node.call("ACL", "SETUSER", "second-user", "on", "~*", "&*", "+@all", ">second")
            node.call("CONFIG", "SET", "masterauth", "m")
        started.nodes[0].call("ACL", "SETUSER", "replication", "on", "+psync", "+replconf", "+ping", ">m")
        started.nodes[1].call("CONFIG", "SET", "masteruser", "replication")
        started.settle()
        yield started


@contextlib.contextmanager
def started(servers: Cluster, query: str, *flags: str) -> Iterator[Proxy]:
    urls = [f"redis://token@127.0.0.1:{node.port}?{query}" for node in servers.nodes]
    with rproxy(servers, *flags, urls=urls) as proxy:
        yield proxy


def users(servers: Cluster) -> set[bytes]:
    """As whom rproxy is connected to the leader."""
    rows = servers.leader.call("CLIENT", "LIST", "TYPE", "normal").splitlines()
    return {field for row in rows for field in row.split() if field.startswith(b"user=")} - {b"user=default"}


@pytest.mark.parametrize("flags", WORKERS, ids=len)
def test_every_connection_has_the_password_of_the_file_and_gets_the_next_one(
    servers: Cluster, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    path = tmp_path / "password"
    path.write_text("first\n")
    with started(servers, f"password_file={path}", *flags) as proxy, proxy.connect() as wire:
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"
        assert users(servers) == {b"user=token"}
        path.write_text(json.dumps({"user": "second-user", "password": "second"}))
        eventually(lambda: users(servers) == {b"user=second-user"}, "all authenticate anew", within=20)
        assert wire.ask("GET", "k") == b"$1\r\nv\r\n"
        wire.ask("MULTI")
        wire.ask("SET", "k", "w")
        assert wire.ask("EXEC") == b"*1\r\n+OK\r\n"
        assert users(servers) == {b"user=second-user"}
        assert "first" not in proxy.log() and '"second"' not in proxy.log()


def test_a_command_prints_it(servers: Cluster, tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-c", 'print("first")']).replace(" ", "%20").replace('"', "%22").replace("'", "%27")
    with started(servers, f"password_command={command}&expires=1h") as proxy, proxy.connect() as wire:
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"
        assert users(servers) == {b"user=token"}


def test_a_password_that_the_server_changed_is_taken_from_the_file_when_it_is_there(servers: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("first")
    with started(servers, f"password_file={path}") as proxy:
        for node in servers.nodes:
            node.call("ACL", "SETUSER", "token", "resetpass", ">third")
            node.call("CLIENT", "KILL", "USER", "token")
        with proxy.connect() as wire:
            eventually(lambda: wire.ask("SET", "k", "v").startswith(b"-WRONGPASS"), "the last one is refused")
            path.write_text("third")
            eventually(lambda: wire.ask("SET", "k", "v") == b"+OK\r\n", "the next one is taken")
