"""WAIT and WAITAOF: they ask about the writes of their own connection, and the client's have gone over a lane that others share.

Called by `dispatch` and `leased`. All of the client's writes are answered by then; the lease is given a place in the leader's stream behind them, and WAIT asks
from there. So it may also wait for writes of others that came in between, and never for less. It must never answer for a place that is not behind them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import blocking, leased, resp
from rproxy.dataplane.commands import Command, Effect
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import ASK, ASKED, QUIET, State

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session

_MOVERS = (
    resp.encode([b"SPUBLISH", b"rproxy:wait", b""]),  # nobody hears it: patterns don't match shard channels
    resp.encode([b"SWAPDB", b"0", b"0"]),
)
"""Commands that change nothing and go to the replicas all the same: they move the connection's place in the stream."""
_VERSION = re.compile(rb"\$6\r\nserver\r\n\$5\r\nredis\r\n\$7\r\nversion\r\n\$\d+\r\n(\d{1,9})\.(\d{1,9})")
_ANY_COMMAND_MOVES = (7, 2)  # until this version of Redis every command did (processCommand, server.c; later call())
_OWN = (b"-ERR rproxy: ", b"-MASTERDOWN rproxy: ")  # and no server's own words
_PING = resp.encode([b"PING"])


def take(session: Session, command: Command, frame: bytes) -> bool:
    """WAIT outside of MULTI; False when it must wait and be taken again."""
    if not leased.quiet(session):
        return False
    if session.lease is None:
        session.lease = session.plane.leader.lease(session, session.key)
        session.enter(State.BLOCKED)
    _move(session, command, list(_MOVERS), frame)
    return True


def _move(session: Session, command: Command, movers: list[bytes], frame: bytes) -> None:
    """Send the first of what may move the connection's place, and WAIT behind it if it did."""

    def answered(reply: bytes) -> None:
        lease = session.lease
        if lease is None and reply.startswith(_OWN):
            session.cut()  # as where the server goes on which it waits
        elif lease is None:
            _end(session, reply)
        elif not reply.startswith(b"-"):
            blocking.begin(session, command, leased.send(session, frame, Effect.BLOCKING))
            session.halt(QUIET)
        elif len(movers) > 1:
            _move(session, command, movers[1:], frame)
        elif movers[0] is not _PING and _any_command_moves(lease.hello):
            _move(session, command, [_PING], frame)
        else:
            _end(session, errors.WAIT_NOPERM if reply.startswith(b"-NOPERM") else reply)

    assert session.lease is not None
    session.answer_with = answered
    session.halt(ASKED)
    pending = Pending(session, 1, movers[0], False, ASK)
    pending.parts = []
    session.lease.send(pending)


def _any_command_moves(hello: bytes) -> bool:
    found = _VERSION.search(hello)
    return found is not None and (int(found[1]), int(found[2])) < _ANY_COMMAND_MOVES


def _end(session: Session, error: bytes) -> None:
    session.answer(error)
    if session.state is State.BLOCKED:
        leased.end(session)
