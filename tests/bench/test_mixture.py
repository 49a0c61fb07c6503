"""Mixed commands: what is sent, and what comes of a server that answers otherwise."""

from __future__ import annotations

import pytest

from bench import generator, mixture
from bench.generator import LoadFailed
from bench.load import MIXED, Load, matrix
from bench.running import commands_served, fill
from rproxy.embedded import started_cluster


def test_one_of_ten_commands_is_a_set_on_a_real_server() -> None:
    with started_cluster(0) as servers:
        fill(servers, 100)
        gets, sets = (commands_served(servers, name) for name in ("GET", "SET"))
        figures = generator.run("none is needed", Load("MIX", 100, 5, 16, 800), servers[0].port, 800)
        assert commands_served(servers, "GET") - gets == 720
        assert commands_served(servers, "SET") - sets == 80
    assert figures.rps > 0 and 0 < figures.p50_ms <= figures.p99_ms


def test_every_run_sends_the_same() -> None:
    assert mixture.pieces(16, 100, 1000) == mixture.pieces(16, 100, 1000)
    assert len({piece for piece, _ in mixture.pieces(16, 100, 1000)}) > 1


def test_an_error_ends_the_run() -> None:
    with started_cluster(0, {"password": "secret"}) as servers, pytest.raises(LoadFailed, match="NOAUTH"):
        generator.run("none is needed", Load("MIX", 100, 2, 16, 160), servers[0].port, 160)


def test_replies_that_are_missing_end_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(mixture, "DEADLINE", 0.2)
    with started_cluster(0) as servers:
        assert mixture.main([str(servers[0].port), "2", "16", "100", "1000", "160"]) == 1
    assert capsys.readouterr().err == "replies are missing\n"


def test_the_mixed_load_is_one_of_the_loads() -> None:
    assert [load.key for load in matrix() if load.command == MIXED[0]] == ["mix-100b-c50-p16"]
