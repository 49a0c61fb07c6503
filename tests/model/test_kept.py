"""Plans that have shown faults, shrunk, do so no more. What each stands for is said in its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.rig import Rig, started
from tests.model.runner import Run
from tests.model.steps import from_json

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with started() as both:
        yield both


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_plan_shows_no_difference(rig: Rig, path: Path) -> None:
    assert Run(rig, from_json(path.read_text())).run() is None
