"""What is left of a run after some of its replies have come."""

from __future__ import annotations

from rproxy.dataplane.pending import Pending
from tests.dataplane.kit import command

RUN = [command("GET", str(number)) for number in range(3)]


def test_without_replies_the_whole_run_is_unanswered() -> None:
    assert Pending(None, 3, b"".join(RUN), True).unanswered() == b"".join(RUN)


def test_what_has_its_reply_is_not_sent_again() -> None:
    pending = Pending(None, 3, b"".join(RUN), True)
    pending.left = 1
    pending.again()
    assert (pending.request, pending.count, pending.left, pending.tries) == (RUN[2], 1, 1, 1)
    assert pending.unanswered() == RUN[2]
