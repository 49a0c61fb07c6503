"""What a run of a test suite gave, what is lost between two runs, and which of that is explained.

A test has one name on both sides: its class or file as the suite's own report has it, `::`, and the test's name. It must never start anything.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """The names of the tests that passed, and those of the tests that failed with what the report says of each."""

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """One side of the comparison: what it gave, in how many seconds, and what the suite printed."""

    outcome: Outcome
    seconds: float
    output: str


def from_junit(report: str, port: int) -> Outcome:
    """The outcome in a JUnit XML report, as pytest and jest-junit write it. A test that was skipped is in neither part.

    Where a test is reported twice (a failure in its teardown), it has failed. The server's port, which some suites have in their tests' names, is
    replaced by `PORT`. Raises ElementTree.ParseError where the report is cut off.
    """
    outcome = Outcome()
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}".replace(str(port), "PORT")
        problems = [child for child in case if child.tag in ("failure", "error")]
        if problems:
            outcome.failed[name] = problems[0].text or problems[0].get("message") or ""
        elif not any(child.tag == "skipped" for child in case):
            outcome.passed.add(name)
    outcome.passed -= outcome.failed.keys()
    return outcome


@dataclass(frozen=True)
class Comparison:
    """The tests that pass direct and not through rproxy: `explained` with the reason of each, `unexplained` without one.

    `kept` are the patterns of the list that match no lost test.
    """

    explained: dict[str, str]
    unexplained: list[str]
    kept: list[str]


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern is this name; a `*` in it stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def compare(direct: Outcome, proxied: Outcome, known: dict[str, str]) -> Comparison:
    """Compare two runs of one suite; `known` has the reasons by the pattern of the tests' names."""
    explained: dict[str, str] = {}
    unexplained = []
    for name in sorted(direct.passed - proxied.passed):
        reason = next((reason for pattern, reason in known.items() if matches(pattern, name)), None)
        if reason is None:
            unexplained.append(name)
        else:
            explained[name] = reason
    kept = [pattern for pattern in known if not any(matches(pattern, name) for name in explained)]
    return Comparison(explained, unexplained, kept)


_ROW = re.compile(r"^\| `(?P<suite>[a-z0-9-]+)(?P<any>\*?): (?P<test>[^`]+)` \| (?P<reason>[^|]+) \|$")


def listed(document: Path, suite: str) -> dict[str, str]:
    """The rows of the document's tables that are about this suite: the reason for each pattern of a test's name.

    A row is "| `suite: class::test` | reason |"; a `*` behind the suite's name stands for the suites whose names begin so.
    """
    found = {}
    for line in document.read_text().splitlines():
        if (row := _ROW.match(line)) and (suite.startswith(row["suite"]) if row["any"] else suite == row["suite"]):
            found[row["test"]] = row["reason"].strip()
    return found
