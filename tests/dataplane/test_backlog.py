"""Input that waits."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.backlog import Backlog
from tests.dataplane.kit import World

KB = b"x" * 1024


def taken(backlog: Backlog) -> list[bytes]:
    """All that it holds, part by part."""
    parts = []
    while backlog.size:
        data, start = backlog.take()
        parts.append(data[start:])
    return parts


def test_pieces_come_back_in_order() -> None:
    backlog = Backlog()
    backlog.keep(b"2", None)
    backlog.keep(b"3", None)
    backlog.put_back(b"01", 1)
    assert backlog.size == 3
    assert taken(backlog) == [b"123"]
    assert backlog.size == 0


def test_what_is_put_back_twice_stands_before_what_was_put_back_first() -> None:
    backlog = Backlog()
    backlog.keep(b"3", None)
    backlog.put_back(b"12", 1)
    backlog.put_back(b"01", 1)
    assert b"".join(taken(backlog)) == b"123"


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=9), st.integers(0, 8)), max_size=30))
def test_in_any_order_of_keeping_and_putting_back_it_holds_the_same_bytes(steps: list[tuple[bool, bytes, int]]) -> None:
    backlog, expected = Backlog(), b""
    for back, data, start in steps:
        if back:
            start = min(start, len(data) - 1)
            backlog.put_back(data, start)
            expected = data[start:] + expected
        else:
            backlog.keep(data, None)
            expected += data
        assert backlog.size == len(expected)
    assert b"".join(taken(backlog)) == expected


def test_a_megabyte_that_comes_byte_by_byte_takes_little_more_than_a_megabyte() -> None:
    backlog = Backlog()
    tracemalloc.start()
    try:
        for _ in range(1024):
            for byte in KB:
                backlog.keep(bytes([byte]), None)
        assert tracemalloc.get_traced_memory()[0] < 1.2 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert len(taken(backlog)) <= 17


def test_the_rest_of_a_part_is_put_back_without_being_copied() -> None:
    backlog = Backlog()
    data = KB * 60
    backlog.keep(data, None)
    part, start = backlog.take()
    backlog.put_back(part, start + 1)
    again, start = backlog.take()
    assert again is part and start == 1


def test_reading_stops_while_more_than_64_kb_are_held() -> None:
    transport = World().client().transport
    backlog = Backlog()
    for _ in range(64):
        backlog.keep(KB, transport)
    assert transport.reading
    backlog.keep(KB, transport)
    assert not transport.reading
    backlog.relax(transport)
    assert not transport.reading
    backlog.take()
    backlog.relax(transport)
    assert transport.reading


def test_more_is_held_while_the_client_does_not_take_its_replies() -> None:
    transport = World().client().transport
    backlog = Backlog()
    for _ in range(65):
        backlog.keep(KB, transport)
    assert not transport.reading
    backlog.bear(100 * 1024, transport)
    assert transport.reading
    for _ in range(36):
        backlog.keep(KB, transport)
    assert not transport.reading


def test_it_is_taken_up_in_parts() -> None:
    backlog = Backlog()
    pieces = [b"%d" % (number % 10) * 20 * 1024 for number in range(10)]
    for piece in pieces:
        backlog.keep(piece, None)
    parts = taken(backlog)
    assert b"".join(parts) == b"".join(pieces)
    assert [len(part) // 1024 for part in parts] == [60, 60, 60, 20]


def test_nothing_is_taken_of_nothing() -> None:
    assert Backlog().take() == (b"", 0)
