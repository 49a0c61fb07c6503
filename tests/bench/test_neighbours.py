"""Large values and bad neighbours: here small ones, through a real rproxy."""

from __future__ import annotations

import pytest

from bench import neighbours
from bench.peers import Rproxy
from bench.running import Proxy
from rproxy.embedded import started_cluster


def test_a_row_tells_of_each_nuisance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "LARGE", 4 * neighbours.MEGABYTE)
    monkeypatch.setattr(neighbours, "SECONDS", 0.1)
    peer = Rproxy()
    with started_cluster(1) as servers:
        neighbours.fill(servers, 1000)
        with Proxy(peer, peer.binary() or "", [server.port for server in servers]) as proxy:
            row = neighbours.measured(
                "rproxy", proxy.port, [proxy.process.pid], ["calm", "SET 256 MB", "GET 256 MB", "1-byte pieces"]
            )
    assert min(row.set_speed, row.get_speed, row.before, row.peak) > 0
    assert list(row.p99) == ["calm", "SET 256 MB", "GET 256 MB", "1-byte pieces"]


def test_a_reply_that_ends_early_is_an_error() -> None:
    with started_cluster(0) as servers:
        servers[0].call("SET", "k", "short")
        with pytest.raises(OSError), neighbours.connect(servers[0].port) as wire:
            wire.settimeout(0.2)
            neighbours.take(wire, 10)


def test_the_tables_have_a_line_for_each_proxy() -> None:
    lines = neighbours.table([neighbours.Row("rproxy", 900.4, 1000.0, 50, 60, {"calm": 0.31, "KEYS": 4.0})]).splitlines()
    assert lines[2] == "| rproxy | 900 | 1000 | 50 | 60 |"
    assert lines[4:] == ["| others' p99, ms | calm | KEYS |", "| --- | ---: | ---: |", "| rproxy | 0.3 | 4.0 |"]
