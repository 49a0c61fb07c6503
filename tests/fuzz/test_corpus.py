"""What the fuzzers have kept is run as an ordinary test, on whichever build is tested, and then as many inputs by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import framers, session

CORPUS = Path(__file__).parent / "corpus"
TARGETS: dict[str, Callable[[bytes], None]] = {"framers": framers.one_input, "session": session.one_input}


@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_inputs_find_nothing(target: str) -> None:
    kept = sorted((CORPUS / target).iterdir())
    assert kept
    for path in kept:
        try:
            TARGETS[target](path.read_bytes())
        except Exception as problem:
            raise AssertionError(f"{path.name}: {problem!r}") from problem


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_by_chance_find_nothing(target: str) -> None:
    dice = random.Random(1)
    for _ in range(100):
        TARGETS[target](dice.randbytes(dice.choice((40, 200, 900))))


def test_a_framer_that_depends_on_cuts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = framers.replies
    monkeypatch.setattr(framers, "replies", lambda stream, cuts: right(stream, []) + [("cut",)] * bool(cuts))
    with pytest.raises(AssertionError, match="cut at"):
        framers.one_input(bytes(range(2, 11)) + b"+OK\r\n+OK\r\n" * 3)


def test_a_command_in_the_wrong_database_is_found() -> None:
    server = session.Scripted.__new__(session.Scripted)
    server.database, server.user, server.queued = 1, 0, -1
    with pytest.raises(AssertionError, match="came to a connection"):
        server.answer([b"GET", b"db=0,user=0"], honest=True)
