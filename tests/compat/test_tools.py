"""redis-cli and redis-benchmark, the tools that everybody tries first."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import pack


def tool(name: str) -> str:
    for candidate in (f"redis-{name}", f"valkey-{name}"):
        if found := shutil.which(candidate):
            return found
    pytest.skip(f"neither redis-{name} nor valkey-{name} is on PATH (Debian's package redis-tools has it; CI installs it)")


def cli(proxy: Proxy, *words: str, data: bytes = b"") -> str:
    command = [tool("cli"), "-p", str(proxy.port), "--no-auth-warning", *words]
    return subprocess.run(command, input=data, capture_output=True, timeout=60, check=True).stdout.decode()


def test_redis_cli_answers_single_commands(strict: Proxy) -> None:
    assert cli(strict, "SET", "k", "one word") == "OK\n"
    assert cli(strict, "GET", "k") == "one word\n"
    assert cli(strict, "-3", "HGETALL", "nothing") == "\n"
    assert "role:master" in cli(strict, "INFO", "replication")


def test_redis_cli_reads_commands_from_a_pipe(strict: Proxy) -> None:
    lines = b"SET a 1\nINCR a\nMULTI\nINCR a\nEXEC\nGET a\n"
    assert cli(strict, data=lines).split() == ["OK", "2", "OK", "QUEUED", "3", "3"]


def test_redis_cli_selects_a_database(strict: Proxy, servers: Cluster) -> None:
    assert cli(strict, "-n", "4", "SET", "k", "v") == "OK\n"
    assert servers.leader.info("keyspace")["db4"].startswith("keys=1,")


def test_redis_cli_loads_in_bulk(strict: Proxy, servers: Cluster) -> None:
    data = b"".join(pack("SET", f"key{number}", f"value{number}") for number in range(20_000))
    report = cli(strict, "--pipe", data=data)
    assert "errors: 0, replies: 20000" in report
    assert servers.leader.call("DBSIZE") == 20_000


def test_redis_cli_scans(strict: Proxy, servers: Cluster) -> None:
    for number in range(300):
        servers.leader.call("SET", f"key{number}", "v")
    assert len(cli(strict, "--scan", "--pattern", "key*").split()) == 300


def test_redis_benchmark_runs_through(proxy: Proxy, servers: Cluster) -> None:
    command = [tool("benchmark"), "-p", str(proxy.port), *"-t get,set -n 20000 -P 16 -c 50 -q --csv".split()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    rates = re.findall(r'^"(SET|GET)","([\d.]+)"', done.stdout.decode(), re.MULTILINE)
    assert [name for name, rate in rates if float(rate) > 0] == ["SET", "GET"]
    assert servers.leader.calls("set") >= 20_000
    assert servers.leader.calls("get") == 0
    assert sum(node.calls("get") for node in servers.replicas) >= 20_000
