"""What one worker asks the others about their clients.

Called by `roster` for what concerns all clients; the others answer by `roster.answer`. It must never take an answer for granted: a worker may die before it
answers, and its clients with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy.dataplane.states import ASKED

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session


def ask(session: Session, words: list[bytes], told: Callable[[list[bytes]], None]) -> None:
    """Ask every other worker; `told` is given what they answer. The session takes no further command until then."""
    session.halt(ASKED)

    def come(answers: list[bytes]) -> None:
        if session.transport is not None:
            session.release(ASKED)
            told(answers)

    session.plane.ports.others(words, come)
