"""Input that waits."""

from __future__ import annotations

from rproxy.dataplane.backlog import Backlog
from tests.dataplane.kit import World

KB = b"x" * 1024


def test_pieces_come_back_in_order() -> None:
    backlog = Backlog()
    backlog.keep(b"2", None)
    backlog.keep(b"3", None)
    backlog.put_back(b"1")
    assert (backlog.size, backlog.take(), backlog.size) == (3, b"123", 0)


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
    pieces = [b"%d" % (number % 10) * 40 * 1024 for number in range(5)]
    for piece in pieces:
        backlog.keep(piece, None)
    parts = []
    while backlog.size:
        parts.append(backlog.take())
    assert b"".join(parts) == b"".join(pieces)
    assert [len(part) // 1024 for part in parts] == [80, 80, 40]
