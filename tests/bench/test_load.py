"""The loads of the benchmark: their names, their counts, their selection."""

from __future__ import annotations

import pytest

from bench.load import QUICK, Load, matrix, select


def test_the_matrix_holds_every_combination_once() -> None:
    loads = matrix()
    assert len({load.key for load in loads}) == len(loads) == 2 * 2 * 3 * 2 + 1


def test_every_load_sends_whole_pipelines_from_every_client() -> None:
    for scale in (1.0, 0.4, 0.0001):
        for load in matrix(scale):
            assert load.requests >= load.clients * load.pipeline
            assert load.requests % (load.clients * load.pipeline) == 0


def test_a_load_is_named_for_the_command_line_and_for_people() -> None:
    load = Load("GET", 16384, 50, 16, 8000)
    assert (load.key, load.title) == ("get-16kb-c50-p16", "GET 16 KB, 50 clients, pipeline 16")
    assert Load("SET", 100, 1, 1, 10).title == "SET 100 B, 1 client"
    assert Load("MIX", 100, 50, 16, 800).title == "90 % GET, 10 % SET 100 B, 50 clients, pipeline 16"


def test_the_scale_multiplies_the_counts() -> None:
    whole, half = (select(matrix(scale), ["get-100b-c1-p1"])[0].requests for scale in (1.0, 0.5))
    assert half == whole / 2


def test_patterns_select_and_no_pattern_selects_all() -> None:
    assert [load.key for load in select(matrix(), ["get-100b-c50-*"])] == ["get-100b-c50-p1", "get-100b-c50-p16"]
    assert select(matrix(), []) == matrix()


def test_the_quick_loads_exist() -> None:
    assert len(select(matrix(), QUICK)) == len(QUICK)


def test_a_pattern_that_matches_nothing_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="no load matches get-1mb-"):
        select(matrix(), ["get-1mb-*"])
