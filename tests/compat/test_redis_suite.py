"""The comparison itself: what it reads of the suite's output, and of the list of what may be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat import redis_suite


def test_the_suites_output_tells_what_passed_and_how_often() -> None:
    log = "\x1b[0;32m[ok]\x1b[0m: A: b (3 ms)\n[ok]: A: b (4 ms)\n[err]: C in tests/x.tcl\nfoo\n[exception]: Executing: no\n"
    passed, failed = redis_suite.outcome(log)
    assert passed == {"A: b": 2}
    assert failed == ["C in tests/x.tcl", "Executing: no"]


def test_colours_within_brackets_are_no_part_of_it() -> None:
    assert redis_suite.outcome("[\x1b[0;32;49mok\x1b[0m]: A (3 ms)")[0] == {"A": 1}


@pytest.mark.parametrize(("fresh", "most"), [(False, 20), (True, 40)])
def test_every_test_that_may_be_lost_has_a_reason(fresh: bool, most: int) -> None:
    known = redis_suite.explained(fresh)
    assert 0 < len(known) <= most
    assert all(name.split(":")[0] in redis_suite.UNITS and reason for name, reason in known.items())


def test_what_fresh_reads_lose_may_not_be_lost_without_them() -> None:
    assert redis_suite.explained(False).items() < redis_suite.explained(True).items()


def test_the_suites_client_is_made_to_speak_resp3(tmp_path: Path) -> None:
    (tmp_path / "tests" / "support").mkdir(parents=True)
    client = tmp_path / "tests" / "support" / "redis.tcl"
    client.write_text("proc redis {} {\n    interp alias {} ::redis::redisHandle$id {}\n}\n")
    redis_suite.speak_resp3(tmp_path)
    assert "HELLO 3" in client.read_text()


def test_a_client_that_looks_otherwise_is_not_changed_blindly(tmp_path: Path) -> None:
    (tmp_path / "tests" / "support").mkdir(parents=True)
    (tmp_path / "tests" / "support" / "redis.tcl").write_text("proc redis {} {}\n")
    with pytest.raises(AssertionError):
        redis_suite.speak_resp3(tmp_path)
