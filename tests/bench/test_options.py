"""The options of `python -m bench`: which loads and proxies they choose."""

from __future__ import annotations

import pytest

from bench import generator
from bench.__main__ import arguments, chosen_loads, chosen_peers, main


def names(*words: str) -> list[str]:
    return [peer.name for peer in chosen_peers(arguments(words))]


def test_without_options_everything_is_measured() -> None:
    assert len(chosen_loads(arguments([]))) == 25
    assert names() == ["rproxy", "predixy", "nutcracker", "Envoy", "HAProxy"]


def test_quick_takes_few_loads_and_fewer_commands() -> None:
    quick, full = chosen_loads(arguments(["--quick"])), {load.key: load for load in chosen_loads(arguments([]))}
    assert len(quick) == 3
    assert all(load.requests < full[load.key].requests for load in quick)


def test_peers_are_chosen_by_name_in_any_case() -> None:
    assert names("--peers", "haproxy", "Envoy") == ["rproxy", "Envoy", "HAProxy"]
    assert names("--peers", "none") == ["rproxy"]
    assert names("--without-rproxy", "--peers", "predixy") == ["predixy"]


def test_further_rows_of_rproxy_are_named_by_what_is_different() -> None:
    rows = chosen_peers(arguments(["--peers", "none", "--interpreted", "--rproxy-env", "RPROXY_CONSISTENCY=leader"]))
    assert [row.name for row in rows] == ["rproxy", "rproxy (interpreted)", "rproxy (RPROXY_CONSISTENCY=leader)"]
    assert rows[2].start("python", 1, [2]).environment == {"RPROXY_CONSISTENCY": "leader"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--peers", "squid"], "there is no peer squid"),
        (["--loads", "ping"], "no load matches ping"),
        (["--rproxy-env", "X"], "wants KEY=VALUE, not X"),
    ],
)
def test_a_wrong_choice_is_told_before_anything_runs(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "find", lambda: "redis-benchmark")
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_missing_load_generator_is_told_with_its_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "find", lambda: None)
    assert main([]) == 2
    assert "apt-get install redis-tools" in capsys.readouterr().err
