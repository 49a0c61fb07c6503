"""What is about the client's connection, or for every server, inside MULTI: queued on the server like the rest, and looked at, or replaced, when EXEC brings
its reply.

Called by `leased`. For that the session is attached to its lease, whose replies are read one by one. It must never act on a command that EXEC did not run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rproxy.dataplane import attached, authentication, broadcasts, leased, local, pauses, resp, roster, scripts
from rproxy.dataplane.commands import Command, Kind

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session

_UNKNOWN = resp.encode([b"RPROXY"])  # to a server


def looks_at(command: Command) -> bool:
    """Whether the reply to this command is to be looked at when EXEC brings it."""
    return command.kind == Kind.BROADCAST or (command.name in QUEUED and command.kind != Kind.DENIED)


def take(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """A command inside MULTI that is about the client's connection, or for every server: the server queues it, and its reply is looked at when EXEC brings
    it.
    """
    if not leased.quiet(session):
        return False
    if session.attachment is None:
        attached.hold_on(session)
    rewrite = broadcasts.executed if command.kind == Kind.BROADCAST else QUEUED[command.name]
    attached.of(session).queued.append((session.profile.queued, rewrite, words))
    if command.name == b"CLIENT|PAUSE":
        frame = resp.encode(pauses.for_leader(words))
    leased.send(session, authentication.on_a_lease(words, frame))
    if session.lease is not None:
        session.lease.spoiled = True
    return True


def refuse(session: Session, refusal: bytes) -> bool:
    """Answer a command inside MULTI with an error, and have the server discard the transaction as it does after an error of its own."""
    if not leased.quiet(session):
        return False
    if session.attachment is None:
        attached.hold_on(session)
    attached.of(session).rewrites[leased.send(session, _UNKNOWN)] = lambda reply: refusal
    return True


def executing(session: Session) -> None:
    """What ends the transaction has just been sent: its reply tells."""
    attachment = session.attachment
    if attachment is not None and attachment.queued:
        attachment.rewrites[session.fifo[-1]] = partial(_executed, session, attachment.queued)
        attachment.queued = []


def _executed(session: Session, queued: list[tuple[int, attached.Rewrite, list[bytes]]], reply: bytes) -> bytes:
    """The replies of a transaction, with rproxy's own in their places."""
    if not reply.startswith(b"*") or reply.startswith(b"*-1"):
        return reply
    pos = reply.index(b"\n") + 1
    replies = [reply[:pos]]
    framer = resp.ReplyFramer()
    pushes = b""
    while pos < len(reply):
        stop = framer.scan(reply, pos)
        if framer.kind == resp.PUSH:
            pushes += reply[pos:stop]
        else:
            replies.append(reply[pos:stop])
            replies[-2] += pushes  # they stay before it
            pushes = b""
        pos = stop
    for at, rewrite, words in queued:
        replies[at + 1] = rewrite(session, words, replies[at + 1])
    return b"".join(replies)


QUEUED: dict[bytes, attached.Rewrite] = {
    b"AUTH": authentication.authed,
    b"HELLO": authentication.greeted,
    **dict.fromkeys(local.CLIENTS_OWN, local.told),
    **roster.QUEUED,
    b"SCRIPT|FLUSH": scripts.flushed,
}
"""What becomes of the reply to a command that was queued in a transaction."""
