"""`rproxy status` and `rproxy explain --connect` tell what a running rproxy knows, also when its servers are gone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from rproxy.embedded import free_port
from rproxy.errors import SettingsError
from rproxy.status import NotThere, add_rates, address_of, ask, is_fine
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


def explained(proxy: Proxy, *words: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = ask(address_of(proxy.url), b"EXPLAIN", *words)
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
    for word in ("leader", "replica", "consistency fresh", "reads/s", "writes/s", "why"):
        assert word in done.stdout


def test_the_command_prints_json_with_commands_per_second(proxy: Proxy) -> None:
    done = run("status", "--json", proxy.url)
    facts = json.loads(done.stdout)
    assert all(row[name] >= 0 for row in facts["servers"] for name in ("commands_per_s", "reads_per_s", "writes_per_s"))


def test_the_listener_of_the_settings_is_asked_where_no_url_is_given(proxy: Proxy) -> None:
    assert run("status", "-l", f"tcp://0.0.0.0:{proxy.port}").returncode == 0


def test_where_nothing_listens_it_says_so_in_one_line() -> None:
    done = run("status", f"tcp://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no rproxy answers" in done.stderr


def test_a_server_is_no_rproxy(servers: Cluster) -> None:
    with pytest.raises(NotThere, match="is no rproxy"):
        ask(address_of(servers.urls[0]), b"STATUS")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "tcp://127.0.0.1:0:1", "redis://h:0", "rediss://:hunter2@h:x", "unix://"])
def test_a_bad_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError):
        address_of(url)
    assert run("status", url).returncode == 2


@pytest.mark.parametrize("url", ["tcp://u:hunter2@127.0.0.1:7379", "redis://u:hunter2@h:99999", "unix://u:hunter2@"])
def test_a_password_in_a_bad_url_is_not_shown(url: str) -> None:
    done = run("status", url)
    assert done.returncode == 2 and "hunter2" not in done.stdout + done.stderr and "***" in done.stderr


def test_an_address_is_that_of_a_listener_or_what_clients_write() -> None:
    assert address_of("tcp://[::]:7379").host == "::1"
    assert address_of("unix:///run/rproxy.sock?consistency=leader").path == "/run/rproxy.sock"
    server = address_of("unix://u:s3cret@/run/rproxy.sock")
    assert (server.path, server.user, server.password) == ("/run/rproxy.sock", "u", "s3cret")
    assert address_of("redis://proxy").port == 7379


def test_a_read_is_explained_with_the_replicas_that_are_fresh_for_its_keys(proxy: Proxy) -> None:
    eventually(lambda: all(row["fresh"] for row in status(proxy)["servers"]), "all replicas are fresh")
    facts = explained(proxy, b"GET", b"user:1")
    assert (facts["kind"], facts["keys"], len(facts["servers"])) == ("read", ["user:1"], 2)
    assert all(row["fresh"] and row["may_be_read"] for row in facts["replicas"])


def test_a_write_is_explained_with_the_leader(proxy: Proxy, servers: Cluster) -> None:
    facts = explained(proxy, b"SET", b"k", b"v")
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


@pytest.mark.parametrize("flags", [("--connect",), ("--connect", "--json")])
def test_connect_may_stand_behind_the_command(proxy: Proxy, flags: tuple[str, ...]) -> None:
    done = run("explain", "-l", f"tcp://127.0.0.1:{proxy.port}", "GET", "user:1", *flags)
    assert done.returncode == 0, done.stderr
    assert "mark" in done.stdout and "--connect" not in done.stdout
    assert ("--json" in flags) == done.stdout.startswith("{")


def test_behind_two_dashes_connect_is_a_word_of_the_command() -> None:
    facts = json.loads(run("explain", "--json", "--", "MGET", "user:1", "--connect").stdout)
    assert facts["keys"] == ["user:1", "--connect"]


def test_explain_connect_says_in_one_line_that_nothing_listens_there() -> None:
    done = run("explain", "-l", f"tcp://127.0.0.1:{free_port()}", "GET", "k", "--connect")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_rates_are_counted_by_the_clock_of_the_proxy() -> None:
    def at(now_ms: float, reads: int, writes: int) -> dict[str, Any]:
        return {"now_ms": now_ms, "servers": [{"server": "a:1", "reads": reads, "writes": writes}]}

    facts = at(2500.0, 30, 6)
    add_rates(at(2000.0, 10, 5), facts)
    (row,) = facts["servers"]
    assert (row["reads_per_s"], row["writes_per_s"], row["commands_per_s"]) == (40.0, 2.0, 42.0)


def test_a_server_that_has_just_come_has_no_rate_yet() -> None:
    facts: dict[str, Any] = {"now_ms": 2.0, "servers": [{"server": "b:1", "reads": 9, "writes": 9}]}
    add_rates({"now_ms": 1.0, "servers": []}, facts)
    assert facts["servers"][0]["commands_per_s"] == 0.0


@pytest.mark.parametrize(
    ("leader_up", "settled", "read", "fine"),
    [
        (True, True, [True, False], True),
        (True, True, [], True),
        (True, True, [False, False], False),
        (False, True, [True], False),
        (True, False, [True], False),
    ],
)
def test_it_is_fine_with_a_leader_and_a_reader_where_there_are_replicas(
    leader_up: bool, settled: bool, read: list[bool], fine: bool
) -> None:
    servers = [{"role": "leader", "in": leader_up}, *({"role": "replica", "in": inside} for inside in read)]
    assert is_fine({"leader_up": leader_up, "settled": settled, "servers": servers}) is fine


def test_a_status_that_is_denied_is_said_to_be() -> None:
    with cluster(replicas=0) as servers, rproxy(servers, "--commands.RPROXY", "deny") as proxy:
        done = run("status", proxy.url)
        assert done.returncode == 1 and "does not tell" in done.stderr


def test_with_a_password_the_status_is_told_to_who_has_it() -> None:
    with cluster(password="s3cret") as servers, rproxy(servers) as proxy:
        port = proxy.port
        stranger, wrong, known = (run("status", f"redis://{login}127.0.0.1:{port}") for login in ("", ":hunter2@", ":s3cret@"))
        assert stranger.returncode == 1 and "wants a password" in stranger.stderr and stranger.stdout == ""
        assert wrong.returncode == 1 and "does not take" in wrong.stderr and "hunter2" not in wrong.stderr
        assert known.returncode == 0 and "leader" in known.stdout and "s3cret" not in known.stdout
        asked = run("explain", "-l", f"tcp://127.0.0.1:{port}", "GET", "k", "--connect")
        assert asked.returncode == 1 and "redis-cli" in asked.stderr


def test_with_a_password_and_no_server_the_status_is_told() -> None:
    with cluster(password="s3cret") as servers, rproxy(servers) as proxy:
        for node in servers.nodes:
            node.kill()
        url = f"redis://:s3cret@127.0.0.1:{proxy.port}"

        def seen_to_be_gone() -> bool:
            with contextlib.suppress(NotThere):  # AUTH has been waiting for the leader meanwhile
                return not ask(address_of(url), b"STATUS")["leader_up"]
            return False

        eventually(seen_to_be_gone, "the leader is seen to be gone")
        done = run("status", "--json", url)
        assert done.returncode == 3 and json.loads(done.stdout)["leader_up"] is False


def test_where_the_settings_hold_the_password_nobody_needs_one() -> None:
    with cluster(password="s3cret") as servers:
        urls = [url.replace("redis://", "redis://:s3cret@") for url in servers.urls]
        with rproxy(servers, urls=urls) as proxy:
            done = run("status", "--json", proxy.url)
            assert done.returncode == 0, done.stderr
            assert "s3cret" not in done.stdout


def test_an_inline_question_is_answered(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        wire.send(b"RPROXY STATUS\r\n")
        assert wire.frame().startswith(b"$")


def in_a_terminal(columns: int, *words: str) -> str:
    """What the program prints on a terminal that is so wide."""
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    with open(parent, "rb", buffering=0) as terminal:
        program = subprocess.Popen([sys.executable, "-m", "rproxy", *words], stdout=child, stdin=child, env=environment)
        os.close(child)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux says that nobody writes any more
            while piece := terminal.read(65536):
                shown += piece
        assert program.wait(60) == 0
    return shown.decode()


@pytest.mark.parametrize("columns", [80, 200])
def test_no_name_is_broken_whatever_the_terminals_width(proxy: Proxy, servers: Cluster, columns: int) -> None:
    shown = in_a_terminal(columns, "status", proxy.url)
    for word in (*(f"127.0.0.1:{node.port} " for node in servers.nodes), "reads/s", "latency"):
        assert word in shown


def test_the_status_says_how_many_workers_there_are(servers: Cluster) -> None:
    with rproxy(servers, "--workers", "2") as proxy:
        assert " 2 workers, clients " in run("status", proxy.url).stdout
