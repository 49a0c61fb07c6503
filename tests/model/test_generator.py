"""Plans are the same for the same seed, and survive being written down."""

from __future__ import annotations

import random

import pytest

from tests.model import vocabulary
from tests.model.generator import TYPES, Words, plan_of
from tests.model.steps import from_json, to_json

TABLES = {name: value for name, value in vars(vocabulary).items() if name.isupper() and isinstance(value, tuple)}


def test_a_seed_gives_the_same_plan_each_time() -> None:
    assert plan_of(7) == plan_of(7)
    assert plan_of(7) != plan_of(9)


def test_odd_seeds_speak_resp3() -> None:
    assert [plan_of(seed, steps=1).protocol for seed in (4, 5)] == [2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_is_read_as_it_was_written(seed: int) -> None:
    plan = plan_of(seed)
    assert from_json(to_json(plan, "why it is kept")) == plan


@pytest.mark.parametrize("table", TABLES)
def test_no_place_of_a_template_is_left_open(table: str) -> None:
    words = Words(random.Random(1))
    for template in TABLES[table]:
        assert "<" not in "".join(words.fill(template)).replace("<v>", "")


def test_a_prefix_keeps_keys_apart() -> None:
    words = Words(random.Random(1), "mine:")
    assert all(words.key(kind).startswith("mine:") for kind in TYPES for _ in range(20))
