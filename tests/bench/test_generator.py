"""The load generator: its words, its output read, its failures."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bench import generator
from bench.generator import Figures, LoadFailed, command_line, parse
from bench.load import Load

HEADING = '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"'
ROW = '"GET","103092.78","0.307","0.088","0.295","0.551","0.855","1.415"'
GET = Load("GET", 100, 50, 16, 8000)


def program(folder: Path, text: str) -> str:
    """A load generator that runs this shell script."""
    path = folder / "generator"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_figures_are_read_from_the_csv() -> None:
    assert parse(f"{HEADING}\n{ROW}\n", "GET") == Figures(103092.78, 0.295, 0.855)


def test_warnings_before_the_heading_are_skipped() -> None:
    assert parse(f"WARNING: Could not fetch server CONFIG\n{HEADING}\n{ROW}\n", "GET").rps == 103092.78


def test_a_table_without_the_command_gives_no_figures() -> None:
    with pytest.raises(LoadFailed, match="no row for SET"):
        parse(f"{HEADING}\n{ROW}\n", "SET")


@pytest.mark.parametrize("text", ["", "GET: 100000 requests per second", '"GET","103092.78"'])
def test_output_of_another_shape_gives_no_figures(text: str) -> None:
    with pytest.raises(LoadFailed, match=r"6\.2 or newer"):
        parse(text, "GET")


def test_a_broken_figure_is_no_figure() -> None:
    with pytest.raises(LoadFailed, match="missing or wrong"):
        parse(f"{HEADING}\n{ROW.replace('103092.78', 'many')}\n", "GET")


def test_the_words_say_the_whole_load_and_stay_on_loopback() -> None:
    words = command_line("redis-benchmark", GET, 7379, GET.requests)
    assert words[:5] == ["redis-benchmark", "-h", "127.0.0.1", "-p", "7379"]
    for flag, value in {"-t": "get", "-n": "8000", "-c": "50", "-P": "16", "-d": "100"}.items():
        assert words[words.index(flag) + 1] == value


def test_a_generator_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="ended with 1: Error from server: READONLY"):
        generator.run(program(tmp_path, "echo 'Error from server: READONLY' >&2; exit 1"), GET, 1, 10)


def test_a_generator_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "DEADLINE", 0.2)
    with pytest.raises(LoadFailed, match="not finished"):
        generator.run(program(tmp_path, "exec sleep 20"), GET, 1, 10)
