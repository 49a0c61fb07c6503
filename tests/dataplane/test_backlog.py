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
