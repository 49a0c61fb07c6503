"""Settings that are read again while rproxy serves: by SIGHUP, by `rproxy reload`, by a POST."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rproxy.embedded import free_port
from tests.admin.asking import answers, ask
from tests.integration.harness import REPOSITORY, Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually


class Unnamed(Cluster):
    """Servers that no flag names: the file does."""

    @property
    def urls(self) -> list[str]:
        return []


class Running:
    """An rproxy whose settings stand in a file. `write` changes that, `reload` has it read."""

    def __init__(self, proxy: Proxy, admin: str, file: Path) -> None:
        self.proxy = proxy
        self.admin = admin
        self._file = file

    def write(self, servers: list[str], **settings: object) -> None:
        self._file.write_text(text(servers, **settings))

    def reload(self) -> tuple[int, str]:
        command = [sys.executable, "-m", "rproxy", "reload", "--admin", self.admin]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=REPOSITORY)
        return done.returncode, (done.stdout or done.stderr).strip()

    def log(self) -> str:
        return self.proxy.log_path.read_text()

    def status(self) -> Any:
        return ask(self.admin, "/api/status").json


def text(servers: list[str], **settings: object) -> str:
    """A settings file."""
    lines = [f"{key} = {value if isinstance(value, int) else repr(value)}" for key, value in settings.items()]
    return "\n".join([f"servers = {servers}", *lines, '[timeouts]\nprobe_interval = "200ms"', ""])


@contextmanager
def running(servers: Cluster, *flags: str, **settings: object) -> Iterator[Running]:
    """One, on settings of its own."""
    admin = f"tcp://127.0.0.1:{free_port()}"
    unnamed = Unnamed(servers.leader, servers.replicas)
    with rproxy(unnamed, *flags, settings=text(servers.urls, **settings), admin=admin) as proxy:
        eventually(lambda: answers(admin), "it answers")
        yield Running(proxy, admin, proxy.log_path.parent / "rproxy.toml")


@pytest.fixture(scope="module", params=[1, 2])
def one(servers: Cluster, request: pytest.FixtureRequest) -> Iterator[Running]:
    """One of one worker, and one of two."""
    with running(servers, "--workers", str(request.param)) as started:
        yield started


@pytest.fixture(autouse=True)
def as_at_first(one: Running, servers: Cluster) -> Iterator[None]:
    """Every test begins with these settings."""
    one.write(servers.urls)
    assert one.reload()[0] == 0
    eventually(lambda: all(row["in"] for row in one.status()["servers"]), "all servers are in")
    yield


def test_a_replica_that_is_named_no_more_is_left_and_comes_back(one: Running, servers: Cluster) -> None:
    leader, first, second = servers.urls
    with one.proxy.connect() as wire:
        wire.ask("SET", "k", "v")
        one.write([leader, first])
        code, said = one.reload()
        assert code == 0 and said == f"settings reloaded: servers {leader}, {first}, {second} -> {leader}, {first}"
        assert [row["server"] for row in one.status()["servers"]] == [url.removeprefix("redis://") for url in (leader, first)]
        before = servers.replicas[1].calls("exists")
        for _ in range(20):
            wire.ask("EXISTS", "k")
        assert servers.replicas[1].calls("exists") == before
        one.write([leader, first, second])
        assert one.reload()[0] == 0
        eventually(lambda: wire.ask("EXISTS", "k") and servers.replicas[1].calls("exists") > before, "it is read again")


def test_what_counts_per_command_and_per_client_changes_without_a_new_connection(one: Running, servers: Cluster) -> None:
    with one.proxy.connect() as wire:
        assert wire.ask("KEYS", "*").startswith(b"*")
        one.write(servers.urls, consistency="leader", read_policy="nearest")
        one._file.write_text(one._file.read_text() + '[commands]\nKEYS = "deny"\n[limits]\nclients = 1\n[log]\nlevel = "debug"\n')
        assert one.reload()[0] == 0
        assert b"rproxy" in wire.ask("KEYS", "*")
        reads = [node.calls("exists") for node in servers.replicas]
        for _ in range(10):
            wire.ask("EXISTS", "k")
        assert [node.calls("exists") for node in servers.replicas] == reads, "reads go to the leader now"
        with one.proxy.connect() as other:
            assert other.frame() == b"-ERR max number of clients reached\r\n"


def test_what_can_not_change_is_refused_and_nothing_is_changed(one: Running, servers: Cluster) -> None:
    one.write(servers.urls[:1], discovery="static", max_lag="3s")
    code, said = one.reload()
    assert code == 2 and said == "rproxy: discovery: this needs a restart; nothing else was changed either"
    assert len(one.status()["servers"]) == 3
    config = {row["key"]: row["value"] for row in ask(one.admin, "/api/config").json["settings"]}
    assert config["discovery"] == "roles" and config["max_lag"] == "10s"


def test_a_bad_file_is_refused_and_said(one: Running, servers: Cluster) -> None:
    one._file.write_text("servers = [1]\n")
    code, said = one.reload()
    assert code == 2 and said.startswith("rproxy: servers = 1 (") and "rproxy.toml:1" in said
    refusals = one.log().count("the settings stay as they were: servers = 1")
    assert refusals
    one.proxy.signal(signal.SIGHUP)
    eventually(lambda: one.log().count("the settings stay as they were: servers = 1") > refusals, "the signal is answered too")
    assert ask(one.admin, "/readyz").status == 200


def test_the_signal_does_the_same(one: Running, servers: Cluster) -> None:
    one.write(servers.urls, max_lag="7s")
    one.proxy.signal(signal.SIGHUP)
    eventually(lambda: "settings reloaded: max_lag 10s -> 7s" in one.log(), "it is said")
    config = {row["key"]: row for row in ask(one.admin, "/api/config").json["settings"]}
    assert config["max_lag"]["value"] == "7s" and re.search(r"rproxy\.toml:\d+$", config["max_lag"]["origin"])


def test_nothing_new_is_nothing(one: Running) -> None:
    assert one.reload() == (0, "settings reloaded: nothing has changed")
