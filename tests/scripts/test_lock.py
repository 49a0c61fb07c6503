"""The lock files hold what `pyproject.toml` asks for, each package once, and nothing without a hash."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.lock import FOLDER, OLDEST_PYTHON, ROOT, wanted

SUITES = tuple(f"software/{path.stem}" for path in sorted((ROOT / FOLDER / "software").glob("*.in")))
"""Other people's test suites, each with an environment of its own."""
NAMES = ("build", "runtime", "demo", "test", "fuzz", "bench", "release")


def entries(name: str) -> list[str]:
    """The entries of a lock file: a requirement and its hashes, lines joined."""
    text = "\n".join(line for line in (ROOT / FOLDER / f"{name}.txt").read_text().splitlines() if not line.startswith("#"))
    return [line for line in re.sub(r" \\\n\s*", " ", text).splitlines() if line.strip()]


def locked(name: str) -> dict[str, set[Version]]:
    """The versions of each package: more than one only where a marker chooses."""
    versions: dict[str, set[Version]] = {}
    for entry in entries(name):
        requirement = Requirement(entry.partition(" --hash=")[0])
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        versions.setdefault(canonicalize_name(requirement.name), set()).add(Version(specifier.version))
    return versions


def test_there_is_a_lock_file_for_everything_that_is_installed_and_for_nothing_else() -> None:
    assert tuple(wanted()) == NAMES
    assert {path.stem for path in (ROOT / FOLDER).glob("*.txt")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_file_holds_what_is_asked_for(name: str) -> None:
    versions = locked(name)
    for text in wanted()[name]:
        requirement = Requirement(text)
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found and all(requirement.specifier.contains(version) for version in found), f"{text}: run `make lock`"


@pytest.mark.parametrize("name", SUITES)
def test_a_suites_lock_file_holds_what_is_asked_for(name: str) -> None:
    versions = locked(name)
    for text in (ROOT / FOLDER / f"{name}.in").read_text().splitlines():
        requirement = Requirement(text)
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found and all(requirement.specifier.contains(version) for version in found), f"{text}: run `make lock`"


@pytest.mark.parametrize("name", NAMES + SUITES)
def test_every_package_has_a_hash_and_comes_from_the_index(name: str) -> None:
    for entry in entries(name):
        assert re.fullmatch(r"[\w.\-]+(\[[\w,]+\])?==\S+( ; [^@#]+?)?( --hash=sha256:[0-9a-f]{64})+", entry), entry


def test_a_package_has_the_same_version_in_every_lock_file() -> None:
    seen: dict[str, set[Version]] = {}
    for name in NAMES:
        for package, versions in locked(name).items():
            assert seen.setdefault(package, versions) == versions, package


def test_the_lock_files_hold_from_the_oldest_python_on_that_rproxy_runs_on() -> None:
    assert f'requires-python = ">={OLDEST_PYTHON}"' in (ROOT / "pyproject.toml").read_text()
