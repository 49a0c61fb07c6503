"""The states of a session, the transitions between them, and the reasons for which its commands wait.

Used by `session`, which makes every transition in one function, and by `leased` and `local`, which ask for them.
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
    ATTACHED = 5  # subscriptions, MONITOR, tracking: bytes go through to a lease until the client leaves
    CLOSING = 6


TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.SHARED: (State.TRANSACTION, State.BLOCKED, State.STREAMING, State.ATTACHED, State.CLOSING),
    State.TRANSACTION: (State.SHARED, State.BROKEN, State.CLOSING),
    State.BROKEN: (State.SHARED, State.CLOSING),
    State.BLOCKED: (State.SHARED, State.CLOSING),
    State.STREAMING: (State.SHARED, State.CLOSING),
    State.ATTACHED: (State.CLOSING,),
    State.CLOSING: (),
}

# Why no further command is taken from the input, as bits.
QUIET = 1  # until everything in flight is answered
ASKED = 2  # until the leader has answered a question (AUTH, HELLO, SELECT)
OUTPUT = 4  # until the client takes its replies
FLIGHT = 8  # until less is in flight
LEASE = 16  # until the lease takes bytes
OVER = 32  # for ever
