"""Blocking commands whose server is lost, or leads no more, while a client waits for something to happen there.

Called by `retry` and `upstream`. A server that goes down closes the connections of the clients that it has blocked, and whoever waits connects anew; so does
rproxy. A leader that is demoted unblocks them with an error first: that has run nothing, and the command is asked again of the next leader, for what is
left of its own time-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import resp
from rproxy.dataplane.commands import Effect
from rproxy.dataplane.states import State

if TYPE_CHECKING:
    from rproxy.dataplane.commands import Command
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

NOT_RUN = (b"-UNBLOCKED force unblock", b"-READONLY")
"""Errors by which a server that leads no more says that it has not run a blocking command (blocked.c, disconnectOrUnblockAllClients; server.c)."""
_ONCE_IN = 1.0  # seconds at least between two times that a command is asked again
_TIMEOUT_FIRST = (b"BLMPOP", b"BZMPOP")
_MILLISECONDS = (b"XREAD", b"XREADGROUP")
_WAITS = (b"WAIT", b"WAITAOF")


def waits(pending: Pending) -> bool:
    """Whether this command waits until something happens."""
    command = pending.command
    if command is None or pending.effect != Effect.BLOCKING or command.alone:
        return False  # of one that runs alone nobody knows whether it waits
    return command.effect in (Effect.BLOCKING, Effect.WAIT)


def begin(session: Session, command: Command, pending: Pending) -> None:
    """A command of a client that may be blocked has been sent: note what it is, since when it waits, and whether it may be asked again."""
    pending.command = command
    pending.since = session.plane.clock()
    _expect(session, pending.request, pending.since)
    pending.vouched = not command.relays
    pending.resend = (
        command.effect == Effect.BLOCKING and not command.alone and pending.vouched and session.state is State.BLOCKED
    )


def ask_again(upstream: Upstream, pending: Pending) -> bool:
    """The server has not run this command, and leads no more: ask whoever leads then. False where the client gets the server's error."""
    session = pending.session
    if session is None or session.lease is not upstream or session.state is not State.BLOCKED:
        return False
    plane = session.plane
    now = plane.clock()
    waited = now - pending.since
    if pending.tries and waited < _ONCE_IN:
        return False
    pending.request = shortened(pending.request, waited)
    pending.again()
    pending.since = now
    upstream.owner = None
    plane.later(0, upstream.close)
    session.lease = plane.leader.lease(session, session.key)
    plane.leader.writes += 1
    session.lease.send(pending)
    _expect(session, pending.request, now)
    return True


def _expect(session: Session, frame: bytes, now: float) -> None:
    """Note until when the blocking command `frame`, which has just been sent on the session's lease, should be answered."""
    seconds = timeout_of(resp.split(frame))[1]
    if seconds > 0 and session.lease is not None:
        session.plane.connection_checks.expect(session.lease, now + seconds)


def timeout_of(words: list[bytes]) -> tuple[int, float]:
    """Where the time-out of a blocking command stands, and how many seconds it is; 0.0 where it has none, or none that can be read."""
    name = words[0].upper()
    if name in _MILLISECONDS:
        at = next((index + 1 for index, word in enumerate(words) if word.upper() == b"BLOCK"), len(words))
    else:
        at = 1 if name in _TIMEOUT_FIRST else len(words) - 1
    try:
        timeout = float(words[at])
    except (ValueError, IndexError):
        return at, 0.0
    return at, max(timeout, 0.0) / (1000 if name in _MILLISECONDS or name in _WAITS else 1)


def shortened(frame: bytes, waited: float) -> bytes:
    """The blocking command `frame` with a time-out that is shorter by `waited` seconds, and a moment at least: 0 would be for ever. One without a time-out that
    can be read stays as it is, for the server to refuse.
    """
    words = resp.split(frame)
    at, seconds = timeout_of(words)
    if not seconds:
        return frame
    if words[0].upper() in _MILLISECONDS:
        words[at] = b"%d" % max(1, int((seconds - waited) * 1000))
    else:
        words[at] = b"%.3f" % max(0.001, seconds - waited)
    return resp.encode(words)
