"""The comparison of other people's suites: what it reads of a report, what is lost, what the list explains, and that every suite is pinned."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.compat.redis_suite import LIST
from tests.compat.software import __main__ as runner
from tests.compat.software import workers
from tests.compat.software.outcomes import Outcome, compare, from_junit, listed, matches
from tests.compat.software.suites import SUITES, Edit, Suite
from tests.compat.software.workspace import LOCKS, PLUGINS, copy, locked_version

REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="passes[redis://127.0.0.1:12345]"/>
<testcase classname="tests.a" name="fails"><failure message="m">assert 1 == 2</failure></testcase>
<testcase classname="tests.a" name="leaves"><error message="no teardown"/></testcase>
<testcase classname="tests.a" name="leaves"/>
<testcase classname="tests.a" name="skipped"><skipped message="no"/></testcase>
</testsuite></testsuites>"""
SUITE = Suite(name="some", package="some", lock="some", arguments=(), edits=(Edit("tests/*.py", ":6379", ":{port}"),))


def test_the_report_tells_what_passed_and_why_the_others_failed() -> None:
    outcome = from_junit(REPORT, 12345)
    assert outcome.passed == {"tests.a::passes[redis://127.0.0.1:PORT]"}
    assert outcome.failed == {"tests.a::fails": "assert 1 == 2", "tests.a::leaves": "no teardown"}


def test_a_report_that_is_cut_off_is_no_report() -> None:
    with pytest.raises(ElementTree.ParseError):
        from_junit(REPORT[:100], 1)


def test_what_passes_direct_alone_is_lost_and_explained_or_not() -> None:
    found = compare(Outcome({"a::x", "a::y[1]", "b::z", "b::w"}), Outcome({"b::w", "b::new"}), {"a::y[*]": "why", "b::w": "once"})
    assert found.explained == {"a::y[1]": "why"}
    assert found.unexplained == ["a::x", "b::z"]
    assert found.kept == ["b::w"]


@pytest.mark.parametrize(
    ("pattern", "name", "same"),
    [("a[1]", "a[1]", True), ("a[*]", "a[1-2]", True), ("a", "ab", False), ("*", "a\nb", True), ("a.b", "axb", False)],
)
def test_only_an_asterisk_stands_for_something_else(pattern: str, name: str, same: bool) -> None:
    assert matches(pattern, name) is same


def test_a_row_of_the_list_is_about_the_suites_that_it_names(tmp_path: Path) -> None:
    document = tmp_path / "list.md"
    document.write_text(
        "| `some-resp2: a::x` | first |\n| `some-*: b::y` | second |\n| `other: a::x` | third |\n| `unit/a: b` | no |\n"
    )
    assert listed(document, "some-resp2") == {"a::x": "first", "b::y": "second"}
    assert listed(document, "some-resp3") == {"b::y": "second"}


def test_every_row_is_about_a_suite_that_is_run() -> None:
    rows = [line for line in LIST.read_text().splitlines() if line.startswith("| `") and "::" in line]
    named = {pattern for suite in runner.ALL for pattern in listed(LIST, suite.name)}
    assert all(any(f": {pattern}`" in row for pattern in named) for row in rows)


def test_a_copy_names_the_servers_port(tmp_path: Path) -> None:
    (tmp_path / "source" / "tests").mkdir(parents=True)
    (tmp_path / "source" / "tests" / "a.py").write_text('URL = "redis://localhost:6379"\n')
    copied = copy(SUITE, tmp_path / "source", tmp_path / "copy", 12345)
    assert (copied / "tests" / "a.py").read_text() == 'URL = "redis://localhost:12345"\n'


def test_a_suite_that_looks_otherwise_is_not_run_blindly(tmp_path: Path) -> None:
    (tmp_path / "source" / "tests").mkdir(parents=True)
    (tmp_path / "source" / "tests" / "a.py").write_text("")
    with pytest.raises(SystemExit, match="no file"):
        copy(SUITE, tmp_path / "source", tmp_path / "copy", 12345)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suite_is_pinned_in_its_lock_file(suite: Suite) -> None:
    wanted = next(line for line in (LOCKS / f"{suite.lock}.in").read_text().splitlines() if line.startswith(suite.package))
    assert wanted.partition("==")[2] == locked_version((LOCKS / f"{suite.lock}.txt").read_text(), suite.package)


def test_a_compressed_value_is_the_same_in_every_second_where_a_suite_asks_for_that() -> None:
    program = "import timeless_gzip, gzip, sys; sys.stdout.buffer.write(gzip.compress(b'member'))"
    compressed = subprocess.check_output([sys.executable, "-c", program], env={"PYTHONPATH": str(PLUGINS)})
    assert (compressed[4:8], gzip.decompress(compressed)) == (bytes(4), b"member")


def test_names_and_quick_ones_choose_the_suites(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == [suite.name for suite in runner.ALL]
    assert runner.main(["--list", "--quick"]) == 0
    assert capsys.readouterr().out.split() == [suite.name for suite in runner.ALL if suite.quick]
    with pytest.raises(SystemExit):
        runner.main(["--list", "no-such-suite"])


@pytest.mark.parametrize("lock", [path.parent for path in LOCKS.glob("*/package-lock.json")], ids=lambda folder: folder.name)
def test_every_node_package_has_a_hash_and_no_address(lock: Path) -> None:
    packages = json.loads((lock / "package-lock.json").read_text())["packages"]
    assert packages[""]["dependencies"] == json.loads((lock / "package.json").read_text())["dependencies"]
    assert all("integrity" in package and "resolved" not in package for path, package in packages.items() if path)


@pytest.mark.parametrize("framework", workers.FRAMEWORKS, ids=lambda framework: framework.name)
def test_a_workers_programs_are_there(framework: workers.Framework) -> None:
    words = (*framework.worker, *framework.producer)
    files = [workers.JOBS / word.removeprefix("{jobs}/") for word in words if word.startswith("{jobs}/")]
    files += [workers.JOBS / f"{word.partition('.')[0]}.py" for word in words if re.match(r"\w+_jobs\b", word)]
    assert files and all(file.exists() for file in files)
