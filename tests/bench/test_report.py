"""What is written: medians, ratios, tables."""

from __future__ import annotations

import json

import pytest

from bench.load import Load
from bench.report import COLUMNS, cells, latency, markdown, middle, number, ratio, results, rows, spread, summary, table
from bench.rounds import Outcome, Sample

LOAD = Load("GET", 100, 50, 1, 100_000)
FACTS = {"Machine": {"cores": "2"}, "Versions": {"rproxy": "0.1.0 (compiled)"}}


def sample(cpu: float | None, rps: float = 50_000.0) -> Sample:
    half = cpu / 2 if cpu is not None else None
    return Sample(rps, 0.4, 0.9, 5.0, cpu, half, half, 2**20, 2**21) if cpu is not None else Sample(rps, 0.4, 0.9, 5.0)


def outcome() -> Outcome:
    samples = {
        "direct": [sample(None)],
        "rproxy": [sample(8.0), sample(9.0), sample(30.0)],
        "predixy": [sample(10.0), sample(12.0), sample(11.0)],
        "Envoy": [],
    }
    return Outcome([LOAD], {LOAD.key: samples}, ["GET 100 B, 50 clients: Envoy: not finished within 60 s"])


def test_the_median_is_not_moved_by_one_bad_round() -> None:
    assert middle([sample(8.0), sample(9.0), sample(30.0)], "cpu_us") == 9.0
    assert middle([sample(None)], "cpu_us") is None
    assert middle([], "rps") is None


def test_the_spread_is_in_percent_of_the_median() -> None:
    assert spread([sample(9.0), sample(10.0), sample(12.0)]) == pytest.approx(30.0)
    assert spread([sample(None)]) is None


def test_a_ratio_under_one_says_that_rproxy_needs_less() -> None:
    assert ratio(9.0, 12.0) == 0.75
    assert ratio(9.0, None) is None and ratio(None, 9.0) is None and ratio(9.0, 0.0) is None


def test_rows_are_named_by_proxy_and_carry_rproxys_ratio_to_them() -> None:
    found = {row.name: row for row in rows(outcome().samples[LOAD.key])}
    assert list(found) == ["direct", "rproxy", "predixy"]
    assert found["predixy"].against == pytest.approx(9.0 / 11.0)
    assert found["rproxy"].against is None and found["direct"].cpu_us is None


def test_every_row_has_a_cell_for_every_column() -> None:
    for row in rows(outcome().samples[LOAD.key]):
        assert len(cells(row)) == len(COLUMNS)


def test_figures_have_three_digits_or_so() -> None:
    assert [number(value) for value in (None, 0.784, 9.99, 9.999, 12.345)] == ["-", "0.78", "9.99", "10.0", "12.3"]


def test_latency_is_exact_where_it_is_small() -> None:
    assert [latency(value) for value in (0.047, 0.4, 13.449)] == ["0.047", "0.400", "13.4"]


def test_a_table_is_aligned() -> None:
    lines = table(["proxy", "CPU"], [["rproxy", "1.00"], ["x", "10.0"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------ | ---: |"


def test_the_summary_leaves_out_rows_without_cpu() -> None:
    assert summary(outcome()).splitlines()[0].split() == ["|", "load", "|", "rproxy", "|", "predixy", "|"]


def test_the_report_says_versions_problems_and_every_load() -> None:
    text = markdown(FACTS, outcome(), rounds=3, picture="full.png")
    for part in ("0.1.0 (compiled)", "not finished within 60 s", LOAD.key, "full.png", "100,000 commands"):
        assert part in text


def test_the_results_hold_every_round_and_the_medians() -> None:
    written = json.loads(json.dumps(results(FACTS, outcome(), rounds=3)))
    proxies = written["loads"][LOAD.key]["proxies"]
    assert [one["cpu_us"] for one in proxies["rproxy"]["rounds"]] == [8.0, 9.0, 30.0]
    assert proxies["rproxy"]["median"]["cpu_us"] == 9.0
