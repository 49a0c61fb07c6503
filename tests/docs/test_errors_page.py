"""docs/errors.md has an entry for each error of rproxy's own."""

from __future__ import annotations

import re
from pathlib import Path

from rproxy import errors
from tests.test_errors import REDIS_WORDS, SENTENCES

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
MADE = {errors.denied(b"NAME"), errors.not_allowed(b"NAME")}
"""Those that name a command."""


def said(sentence: bytes) -> str:
    return sentence.decode().removeprefix("-").strip()


def test_each_error_of_rproxys_own_has_its_entry_and_no_other_has_one() -> None:
    own = {sentence for name, sentence in SENTENCES.items() if name not in REDIS_WORDS} | {errors.TOO_MANY_CLIENTS} | MADE
    assert set(re.findall(r"^### (.+)$", PAGE, re.MULTILINE)) == set(map(said, own))


def test_each_entry_says_whether_the_command_was_executed() -> None:
    for entry in PAGE.split("\n### ")[1:]:
        title, _, text = entry.partition("\n")
        wanted = (
            "Executed: unknown"
            if "may or may not" in title
            else "It changed nothing"
            if "not answered" in title
            else "Executed: no"
        )
        assert wanted in text, title
