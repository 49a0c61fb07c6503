"""Questions to the leader that must not wait behind what they are meant to end: a busy script, a pause, a blocked client.

Called by `local` and `roster`. Every user has one more connection for them, in no database and with nothing on it that takes time. The session takes no
further command until the answer has come. It must never be given a command that may block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy.dataplane import resp
from rproxy.dataplane.handshake import URGENT
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import ASK, ASKED

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session


def ask(session: Session, words: list[bytes], answered: Callable[[bytes], None]) -> None:
    """Ask the leader as this session's user; `answered` is given the reply, whole."""
    plane = session.plane
    session.answer_with = answered
    session.halt(ASKED)
    pending = Pending(session, 1, resp.encode(words), False, ASK)
    pending.parts = []
    key = plane.keys.beside(session.key, URGENT)
    pending.key = key.base
    plane.leader.lane(key).send(pending)


def kill(session: Session, words: list[bytes]) -> None:
    """Let the server that is busy with a script or function end it: the leader, or else a replica, where those that only read run."""
    plane = session.plane

    def led(reply: bytes) -> None:
        replicas = (
            []
            if reply[:9] != b"-NOTBUSY "
            else [pool for pool in plane.pools.values() if pool is not plane.leader and pool.lanes]
        )
        answers: list[bytes] = []

        def answered(other: bytes) -> None:
            answers.append(other)
            if len(answers) == len(replicas) and session.transport is not None:
                session.release(ASKED)
                better = [answer for answer in answers if answer == b"+OK\r\n" or answer.startswith(b"-UNKILLABLE")]
                session.answer(min(better, default=reply))

        if replicas:
            session.halt(ASKED)
            for pool in replicas:
                plane.broadcasts.send(pool, plane.keys.beside(session.key, URGENT), resp.encode(words), answered)
        else:
            session.answer(reply)

    ask(session, words, led)


def forward(session: Session, words: list[bytes]) -> None:
    """Let the leader answer."""
    ask(session, words, session.answer)
