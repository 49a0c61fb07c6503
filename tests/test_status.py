"""`rproxy status` and `rproxy explain --connect` tell what a running rproxy knows, also when its servers are gone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rproxy.embedded import free_port
from rproxy.errors import SettingsError
from rproxy.status import NotThere, address_of, ask
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


@pytest.fixture(scope="module")
def proxy(servers: Cluster) -> Iterator[Proxy]:
    with rproxy(servers) as started:
        yield started


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "rproxy", *words], capture_output=True, text=True, timeout=60)


def status(proxy: Proxy) -> dict[str, Any]:
    facts: dict[str, Any] = ask(address_of(proxy.url), b"STATUS")
    return facts


def test_the_status_names_every_server_its_role_and_its_freshness(proxy: Proxy, servers: Cluster) -> None:
    eventually(lambda: all(row["fresh"] and row["in"] for row in status(proxy)["servers"]), "all replicas are fresh")
    facts = status(proxy)
    assert [row["server"] for row in facts["servers"]] == [f"127.0.0.1:{node.port}" for node in servers.nodes]
    assert [row["role"] for row in facts["servers"]] == ["leader", "replica", "replica"]
    assert facts["leader_up"] and facts["settled"] and facts["consistency"] == "fresh"
    assert all(row["mark_age_ms"] is not None for row in facts["servers"][1:])


def test_the_command_prints_a_table_and_exits_with_0(proxy: Proxy) -> None:
    done = run("status", f"tcp://127.0.0.1:{proxy.port}")
    assert done.returncode == 0, done.stderr
    for word in ("leader", "replica", "consistency fresh", "cmd/s", "why"):
        assert word in done.stdout


def test_the_command_prints_json_with_commands_per_second(proxy: Proxy) -> None:
    done = run("status", "--json", proxy.url)
    facts = json.loads(done.stdout)
    assert all(row["commands_per_s"] >= 0 for row in facts["servers"])


def test_the_listener_of_the_settings_is_asked_where_no_url_is_given(proxy: Proxy) -> None:
    assert run("status", "-l", f"tcp://0.0.0.0:{proxy.port}").returncode == 0


def test_where_nothing_listens_it_says_so_in_one_line() -> None:
    done = run("status", f"tcp://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no rproxy answers" in done.stderr


def test_a_server_is_no_rproxy(servers: Cluster) -> None:
    with pytest.raises(NotThere, match="is no rproxy"):
        ask(address_of(servers.urls[0]), b"STATUS")


def test_a_bad_url_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError):
        address_of("http://127.0.0.1")
    assert run("status", "http://x").returncode == 2


def test_a_read_is_explained_with_the_replicas_that_are_fresh_for_its_keys(proxy: Proxy) -> None:
    eventually(lambda: all(row["fresh"] for row in status(proxy)["servers"]), "all replicas are fresh")
    facts = ask(address_of(proxy.url), b"EXPLAIN", b"GET", b"user:1")
    assert (facts["kind"], facts["keys"], len(facts["servers"])) == ("read", ["user:1"], 2)
    assert all(row["fresh"] and row["may_be_read"] for row in facts["replicas"])


def test_a_write_is_explained_with_the_leader(proxy: Proxy, servers: Cluster) -> None:
    facts = ask(address_of(proxy.url), b"EXPLAIN", b"SET", b"k", b"v")
    assert facts["servers"] == [f"127.0.0.1:{servers.leader.port}"]


def test_explain_connect_prints_what_the_running_proxy_would_do(proxy: Proxy) -> None:
    done = run("explain", "-l", f"tcp://127.0.0.1:{proxy.port}", "--connect", "GET", "user:1")
    assert done.returncode == 0, done.stderr
    for word in ("user:1", "served by", "fresh", "mark"):
        assert word in done.stdout


def test_without_servers_the_status_still_answers_and_the_exit_code_is_3() -> None:
    with cluster() as servers, rproxy(servers) as proxy:
        for node in servers.nodes:
            node.kill()
        eventually(lambda: not status(proxy)["leader_up"], "the leader is seen to be gone")
        done = run("status", proxy.url)
        assert done.returncode == 3
        assert "out" in done.stdout


def test_help_lists_the_subcommands(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        assert b"EXPLAIN" in wire.ask("RPROXY", "HELP")
        assert wire.ask("RPROXY", "STATUS", "x").startswith(b"-ERR wrong number of arguments")
