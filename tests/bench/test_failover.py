"""What the times of answers say about a failover."""

from __future__ import annotations

from bench.failover import Seen, spans


def test_the_spans_are_those_between_the_answers_around_the_promotion() -> None:
    seen = Seen(writes=[1.0, 2.0, 5.5, 6.0], reads=[1.0, 4.0, 1.5, 4.25])
    assert spans(seen, killed=2.5, visible=5.0) == {
        "promotion visible to first write": 0.5,
        "writes stopped in all": 3.5,
        "longest pause of reads": 2.5,
        "dead to promotion": 2.5,
    }
