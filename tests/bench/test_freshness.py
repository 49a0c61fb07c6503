"""The measurement of fresh reads: its table, its packets, and one small run of it all."""

from __future__ import annotations

import hiredis
import pytest

from bench import freshness
from rproxy.embedded import EmbeddedServer
from tests.conftest import StartServer


def test_a_row_tells_shares_and_cpu() -> None:
    text = freshness.table([freshness.Row(0.02, 19998.4, 0.9994, 0.981, 0.28, 19.7, 28.3)], 20_000)
    assert text.splitlines()[0].startswith("Reads of keys that nobody writes, while 20,000 SETs per second")
    assert text.splitlines()[-1] == "| 20 ms | 19,998 | 99.9% | 98.1% | 0.28 % | 20 % | 28 % |"


def test_a_packet_is_what_a_server_reads() -> None:
    reader = hiredis.Reader()
    reader.feed(freshness.pack("SET", "k", "value"))
    assert reader.gets() == [b"SET", b"k", b"value"]


def test_the_share_is_that_of_the_replicas_since_then(start_server: StartServer) -> None:
    servers: list[EmbeddedServer] = [start_server(), start_server()]
    servers[0].call("GET", "k")
    before = [freshness.calls(server, "get") for server in servers]
    assert before == [1, 0]
    servers[0].call("GET", "k")
    for _ in range(3):
        servers[1].call("GET", "k")
    assert freshness.share(servers, before, "get") == 0.75


def test_a_small_run_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert freshness.main(["--rate", "2000", "--seconds", "0.2", "--lags", "0.01"]) == 0
    assert "| 10 ms |" in capsys.readouterr().out
