"""Large values and bad neighbours: here small ones, through a real rproxy."""

from __future__ import annotations

import time

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
            nuisances = ["calm", "SET 256 MB", "GET 256 MB", "KEYS of 1M", "1-byte pieces"]
            row = neighbours.measured("rproxy", proxy.port, [proxy.process.pid], nuisances)
    assert min(row.set_speed, row.get_speed, row.before, row.peak) > 0
    assert list(row.p99) == nuisances


def test_a_nuisance_lasts_as_long_as_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "SECONDS", 0.05)
    ports: list[int] = []

    def nuisance(port: int) -> None:
        ports.append(port)
        time.sleep(0.02)

    spent = list(neighbours.lasting(nuisance, 7))
    assert len(spent) >= 2 and min(spent) >= 0.02
    assert ports == [7] * len(spent)


def test_a_nuisance_that_takes_longer_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "SECONDS", 0.01)
    assert len(list(neighbours.lasting(lambda port: time.sleep(0.02), 7))) == 1


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


def test_what_a_proxy_refuses_is_told_and_has_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(neighbours, "SECONDS", 0.05)
    with started_cluster(0) as servers:
        servers[0].call("SET", "small", "x")
        servers[0].call("ACL", "SETUSER", "default", "-keys")
        row = neighbours.measured("direct", servers[0].port, [], ["calm", "KEYS of 1M"])
    assert list(row.p99) == ["calm"]
    assert 'bench: direct: KEYS of 1M: no reply to KEYS: b"-NOPERM' in capsys.readouterr().err
    other = neighbours.Row("rproxy", 1.0, 1.0, 1, 1, {"calm": 0.31, "KEYS of 1M": 4.0})
    assert neighbours.table([other, row]).splitlines()[-1].endswith(" | - |")
