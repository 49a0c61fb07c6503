"""Every line of the overlay changes something, and says why."""

from __future__ import annotations

import pytest

from rproxy.dataplane import overlay
from rproxy.dataplane.command_table import FACTS

NAMES = {row[0]: row[2].split() for row in FACTS}
LINES = [(name, route, why) for names, route, why in overlay.ROUTES for name in names.split()]


@pytest.mark.parametrize(("name", "route", "why"), LINES)
def test_a_line_names_a_known_command_and_a_reason(name: str, route: str, why: str) -> None:
    assert name in NAMES or name in overlay.ADDED
    assert why and route in (overlay.ANY, overlay.LEADER, overlay.LOCAL, overlay.DENIED)


@pytest.mark.parametrize(("name", "route", "why"), LINES)
def test_no_line_says_what_the_flags_say_already(name: str, route: str, why: str) -> None:
    readonly = "readonly" in NAMES.get(name, [])
    assert not (route == overlay.ANY and readonly) and not (route == overlay.LEADER and not readonly)


def test_no_command_stands_in_two_lines() -> None:
    names = [name for name, _, _ in LINES] + overlay.ATTACHING.split()
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*overlay.ATTACHING.split(), *overlay.BLOCK_OPTION])
def test_what_attaches_or_blocks_is_known(name: str) -> None:
    assert name in NAMES
