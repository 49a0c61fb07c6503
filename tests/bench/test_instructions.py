"""What a command may cost in instructions: counted by valgrind, compared with the last figure."""

from __future__ import annotations

import json

import pytest

from bench import instructions


def test_a_figure_that_has_grown_by_more_than_a_tenth_is_named() -> None:
    assert instructions.grown({"GET": 1101, "SET": 1099}, {"GET": 1000, "SET": 1000}) == ["GET"]


def test_a_figure_without_a_last_one_is_named() -> None:
    assert instructions.grown({"GET": 10}, {}) == ["GET"]


def test_every_phase_has_a_last_figure_for_this_python() -> None:
    saved = json.loads(instructions.SAVED.read_text())
    assert all(set(figures) == set(instructions.PHASES) for figures in saved.values())
    assert "cpython 3.11" in saved


@pytest.mark.parametrize("phase", instructions.PHASES)
def test_each_phase_runs(phase: str) -> None:
    assert instructions.main(["--run", phase]) == 0


def test_the_table_shows_both_figures_and_their_ratio() -> None:
    lines = instructions.table({"GET": 3000, "SET": 4000}, {"GET": 2500}).splitlines()
    assert lines[2:] == ["| GET | 3,000 | 2,500 | 1.20 |", "| SET | 4,000 | - | - |"]
