"""The overlay: few lines, each about a command that exists, each with its reason."""

from __future__ import annotations

from rproxy.dataplane import overlay
from rproxy.dataplane.command_table import FACTS

KNOWN = {row[0] for row in FACTS}
ROUTED = [(name, route, why) for names, route, why in overlay.ROUTES for name in names.split()]
NAMES = [name for name, _, _ in ROUTED] + overlay.ATTACHING.split()


def test_every_command_of_the_overlay_exists() -> None:
    assert set(NAMES) | set(overlay.BLOCK_OPTION) <= KNOWN | set(overlay.ADDED)


def test_no_command_stands_there_twice() -> None:
    assert len(NAMES) == len(set(NAMES))


def test_what_is_added_is_what_no_server_of_the_table_knows() -> None:
    assert not set(overlay.ADDED) & KNOWN


def test_each_line_has_a_reason_of_one_sentence() -> None:
    for _, _, why in ROUTED:
        assert why[0].islower() and len(why.split()) >= 5 and not why.endswith(".") and "\n" not in why


def test_no_line_is_superfluous() -> None:
    flags = {row[0]: row[2].split() for row in FACTS}
    for name, route, _ in ROUTED:
        by_flags = overlay.ANY if "readonly" in flags.get(name, []) else overlay.LEADER
        assert route != by_flags, f"{name} goes there by its flags"


def test_no_write_is_ever_a_read() -> None:
    flags = {row[0]: row[2].split() for row in FACTS}
    for name, route, _ in ROUTED:
        assert route != overlay.ANY or "write" not in flags[name]


def test_what_only_asks_is_not_refused() -> None:
    refused = {name for name, route, _ in ROUTED if route == overlay.DENIED}
    assert not refused & {"CLIENT|LIST", "CLIENT|INFO", "CLIENT|HELP", "ROLE", "INFO", "SCRIPT|EXISTS"}
