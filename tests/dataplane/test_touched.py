"""The slots that a command touches, found in its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane import resp
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.freshness import KEYSPACE, LEADERS, Freshness, slot_of
from rproxy.dataplane.touched import need_of, slots_of, slots_of_head, slots_of_run, slots_of_words
from tests.dataplane.kit import command

TABLE = CommandTable()
FIXED = ("GET", "SET", "MGET", "MSET", "DEL", "BLPOP", "PFCOUNT", "LCS", "RENAME", "EVAL", "ZUNION", "PING", "KEYS", "XREAD")


def slots(*words: str | bytes) -> list[int]:
    frame = command(*words)
    framer = resp.RequestFramer()
    stop = framer.scan(b"??" + frame, 2)
    name, sub = (resp.split(frame) + [b""])[:2]
    return slots_of(TABLE.find(name, sub), b"??" + frame, 2, stop, framer)


def of(*keys: str) -> list[int]:
    return [slot_of(key.encode(), 0, len(key)) for key in keys]


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["GET", "a"], ["a"]),
        (["SET", "a", "b", "EX", "1"], ["a"]),
        (["MGET", "a", "b", "c"], ["a", "b", "c"]),
        (["MSET", "a", "1", "b", "2"], ["a", "b"]),
        (["DEL", "a"], ["a"]),
        (["BLPOP", "a", "b", "0"], ["a", "b"]),
        (["RENAME", "a", "b"], ["a", "b"]),
        (["LCS", "a", "b", "LEN"], ["a", "b"]),
        (["EVAL", "return 1", "2", "a", "b", "c"], ["a", "b"]),
        (["SORT", "a", "BY", "x", "STORE", "b"], ["a", "b"]),
        (["SORT_RO", "a"], ["a"]),
        (["XREAD", "COUNT", "1", "STREAMS", "a", "b", "0", "0"], ["a", "b"]),
        (["XINFO", "GROUPS", "a"], ["a"]),
        (["GET"], []),
        (["MGET"], []),
        (["INFO"], []),
    ],
)
def test_a_command_touches_the_slots_of_its_keys(words: list[str], keys: list[str]) -> None:
    assert slots(*words) == of(*keys)


@pytest.mark.parametrize(
    "words",
    [
        ["FLUSHALL"], ["KEYS", "*"], ["SWAPDB", "0", "1"], ["EVAL", "return 1", "0"], ["EVAL", "return 1", "nine"], ["NO.SUCH", "a"],
        ["SORT_RO", "a", "BY", "w_*"], ["SORT_RO", "a", "get", "*->x"], ["FUNCTION", "FLUSH"], ["RENAME", "a"],
    ],
)  # fmt: skip
def test_where_the_keys_cannot_be_known_all_are_touched(words: list[str]) -> None:
    assert slots(*words) == [KEYSPACE]


@given(st.sampled_from(FIXED), st.lists(st.binary(max_size=12), max_size=7))
def test_bytes_and_words_of_a_command_tell_the_same(name: str, words: list[bytes]) -> None:
    found = TABLE.find(name.encode())
    fits = len(words) + 1 == found.arity if found.arity > 0 else len(words) + 1 >= -found.arity
    if fits:
        assert slots(name, *words) == slots_of_words(found, [name.encode(), *words])


@pytest.mark.parametrize("words", [["PING"], ["PING", "x"], ["ECHO", "x"]])
def test_a_sign_of_life_touches_the_slot_that_is_the_leaders(words: list[str]) -> None:
    assert slots(*words) == slots_of_words(TABLE.find(words[0].encode()), [word.encode() for word in words]) == [LEADERS]


def test_the_slots_of_a_run_are_those_of_its_commands() -> None:
    run = command("get", "a") + command("MGET", "b", "c") + command("XINFO", "GROUPS", "d") + command("KEYS", "*")
    assert slots_of_run(TABLE.commands, run, 4) == [*of("a", "b", "c", "d"), KEYSPACE]


def test_a_read_needs_the_newest_stamp_of_all_its_keys() -> None:
    table = Freshness()
    table.stamp(of("a"), 10)
    table.stamp(of("c"), 30)

    def need(*words: str) -> int:
        frame = command(*words)
        framer = resp.RequestFramer()
        return need_of(table, TABLE.find(words[0].encode()), frame, 0, framer.scan(frame, 0), framer)

    assert [need("GET", "a"), need("MGET", "a", "b", "c"), need("GET", "b"), need("KEYS", "*"), need("INFO")] == [
        10,
        30,
        0,
        30,
        0,
    ]


@pytest.mark.parametrize(
    ("words", "cut", "expected"),
    [
        (["SET", "a", "x" * 50], 30, of("a")),
        (["SET", "aaaaaaaaaaaaaaaaaaaa", "x"], 25, [KEYSPACE]),
        (["MSET", "a", "x" * 50], 30, [KEYSPACE]),
        (["PUBLISH", "c", "x" * 50], 30, []),
    ],
)
def test_of_a_command_that_has_begun_the_one_key_is_known_if_it_has_come(words: list[str], cut: int, expected: list[int]) -> None:
    head = command(*words)[:cut]
    framer = resp.RequestFramer()
    framer.scan(head, 0)
    assert slots_of_head(TABLE.find(words[0].encode()), head, framer) == expected
