"""Each promise of docs/threat-model.md names tests, and the tests are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
PROMISING = ("A client against others", "A client against the service", "Administrators and operators", "Servers and the network")


def promises() -> list[str]:
    """The items of the sections that promise something."""
    sections = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")}
    return [item for title in PROMISING for item in sections[title].split("\n- ")[1:]]


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_is_named_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_promise_names_a_test() -> None:
    without = [item.split("\n")[0] for item in promises() if "::test_" not in item]
    assert len(promises()) > 20
    assert not without


def test_how_to_report_names_the_page() -> None:
    assert "docs/threat-model.md" in (ROOT / "SECURITY.md").read_text()
