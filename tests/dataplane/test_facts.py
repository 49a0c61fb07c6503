"""A row of COMMAND, made into facts."""

from __future__ import annotations

import pytest

from rproxy.dataplane.facts import Fact, facts_of


def test_a_row_of_a_server_before_7_gives_its_keys_by_first_last_and_step() -> None:
    assert list(facts_of([b"mset", -3, [b"write", b"denyoom"], 1, -1, 2])) == [
        Fact("MSET", -3, "denyoom write", ("1 range -1 2 0",))
    ]
    assert list(facts_of([b"rename", 3, [b"write"], 1, 2, 1])) == [Fact("RENAME", 3, "write", ("1 range 1 1 0",))]
    assert list(facts_of([b"ping", -1, [b"fast"], 0, 0, 0])) == [Fact("PING", -1, "fast", ())]


def test_a_row_gives_its_key_specifications_and_its_subcommands() -> None:
    index = [b"begin_search", [b"type", b"index", b"spec", [b"index", 1]]]
    span = [b"find_keys", [b"type", b"range", b"spec", [b"lastkey", 0, b"keystep", 1, b"limit", 0]]]
    numbered = [b"find_keys", [b"type", b"keynum", b"spec", [b"keynumidx", 0, b"firstkey", 1, b"keystep", 1]]]
    keyword = [b"begin_search", [b"type", b"keyword", b"spec", [b"keyword", b"STORE", b"startfrom", -2]]]
    inner = [b"x|y", 2, [b"readonly"], 0, 0, 0, [], [], [[b"flags", [b"RO"], *keyword, *span]], []]
    row = [
        b"x",
        -2,
        [],
        0,
        0,
        0,
        [],
        [],
        [[b"flags", [b"RO"], *index, *numbered], [b"flags", [b"incomplete"], *index, *span]],
        [inner],
    ]
    assert list(facts_of(row)) == [
        Fact("X", -2, "", ("1 keynum 0 1 1", "unknown")),
        Fact("X|Y", 2, "readonly", ("STORE -2 range 0 1 0",)),
    ]


@pytest.mark.parametrize(
    "row", [[], [b"x"], [b"x", b"y", [], 0, 0, 0], [b"x", 1, 2, 0, 0, 0], [b"x", 1, [], 0, 0, 0, [], [], [[b"odd"]]]]
)
def test_what_is_no_row_is_refused(row: list[object]) -> None:
    with pytest.raises(ValueError, match="not a row of COMMAND"):
        list(facts_of(row))
