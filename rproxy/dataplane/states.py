"""The states of a session and the stages of an upstream connection, the transitions between them, and the reasons for which commands wait.

Used by `session` and `upstream`, which make every transition in one function each, and by those that ask for them.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """What a session has on a server."""

    SHARED = 0  # nothing: its commands travel on lanes
    TRANSACTION = 1  # WATCH or MULTI, on a lease
    BROKEN = 2  # a transaction whose lease is lost: errors until it ends
    BLOCKED = 3  # a blocking command, on a lease
    STREAMING = 4  # a command too large for a lane, on a lease
    ATTACHED = 5  # subscriptions, MONITOR, tracking, on a lease
    CLOSING = 6


TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.SHARED: (State.TRANSACTION, State.BLOCKED, State.STREAMING, State.ATTACHED, State.CLOSING),
    State.TRANSACTION: (State.SHARED, State.BROKEN, State.ATTACHED, State.CLOSING),
    State.BROKEN: (State.SHARED, State.CLOSING),
    State.BLOCKED: (State.SHARED, State.CLOSING),
    State.STREAMING: (State.SHARED, State.CLOSING),
    State.ATTACHED: (State.SHARED, State.CLOSING),
    State.CLOSING: (),
}

# Why no further command is taken from the input, as bits.
QUIET = 1  # until everything in flight is answered
ASKED = 2  # until the leader has answered a question (AUTH, HELLO, SELECT)
OUTPUT = 4  # until the client takes its replies
FLIGHT = 8  # until less is in flight
LEASE = 16  # until the lease takes bytes
OVER = 32  # for ever
READS = 64  # until the session's reads on replicas are answered
PAUSED = 128  # until an administrator, or the end of a CLIENT PAUSE, lets all clients go on
BARRIER = 256  # until the leader has confirmed what came before over another connection

MOST_COMMANDS = 1024
"""Commands of one session that may be in flight."""
MOST_BYTES = 1024 * 1024
"""Bytes of one session's requests that may be in flight."""

# Effects that no command has by itself; they go on from `commands.Effect`.
SCRIPT = 100  # a script on its way to the leader
SELECT = 101  # a SELECT on a lease
UPLOAD = 102  # a command that is streamed
OWN = 104  # a reply of rproxy's own, which waits for those before it
STEP = 105  # a step of an iteration, or what holds the place of a reply; from here on the pending itself says what is shown of it
COPY = 106  # a command for every server on its way to one of them, which stands in no session's FIFO
ASK = 103  # a question of rproxy's own, which stands in no session's FIFO


class RefusedTransition(Exception):
    """A state or stage was to be entered that the table does not allow: whatever asked for it is out of step, and its connection is closed."""


class Stage(IntEnum):
    """How far an upstream connection is."""

    WAITING = 0  # for its turn to dial
    DIALING = 1
    OPENING = 2  # connected; the handshake is on its way
    READY = 3
    REFUSED = 4  # the server will not have this user or database, or no more clients
    CLOSED = 5
    LOST = 6  # it has ended, and what was on it is being settled


STAGES: dict[Stage, tuple[Stage, ...]] = {
    Stage.WAITING: (Stage.DIALING, Stage.REFUSED, Stage.CLOSED),
    Stage.DIALING: (Stage.WAITING, Stage.OPENING, Stage.CLOSED),
    Stage.OPENING: (Stage.READY, Stage.REFUSED, Stage.LOST),
    Stage.READY: (Stage.LOST,),
    Stage.REFUSED: (Stage.LOST, Stage.CLOSED),
    Stage.LOST: (Stage.WAITING, Stage.CLOSED),
    Stage.CLOSED: (),
}
