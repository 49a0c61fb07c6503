"""CLIENT TRACKING ... REDIRECT: the client that is to be told is known by its id here, and to the server by that of its lease.

Called by `attached`. It must never name a connection to the server that is not the lease of the client that was meant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rproxy.dataplane import attached, local, resp
from rproxy.dataplane.states import ASKED, State

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

NOBODY = (1 << 63) - 1
"""An id that no server gives."""
_ID = re.compile(rb"\$2\r\nid\r\n:(\d+)\r\n")
_AGAIN = 0.01  # seconds until a busy client is looked at again


def id_on_server(upstream: Upstream) -> int:
    """The id that the server gave this connection."""
    found = _ID.search(upstream.hello)
    return int(found[1]) if found is not None else NOBODY


def translated(session: Session, words: list[bytes], frame: bytes) -> bytes:
    """The command with the server's id for the client that is to be told; empty when it must wait."""
    attachment = attached.of(session)
    attachment.wanted = (0, 0)
    upper = [word.upper() for word in words]
    at = upper.index(b"REDIRECT") + 1 if b"REDIRECT" in upper[3:] else 0
    if not at or at >= len(words) or not local.is_integer(words[at]):
        return frame
    own = int(words[at])
    theirs = NOBODY
    target = session.plane.clients.find(own)
    if target is not None:
        lease = _anchor(target)
        if lease is None:
            session.halt(ASKED)
            session.plane.later(_AGAIN, lambda: session.release(ASKED))
            return b""
        if not lease.ready:
            local.await_lane(session, lease, lambda: None)
            return b""
        theirs = id_on_server(lease)
    attachment.wanted = (own, theirs)
    return resp.encode([*words[:at], b"%d" % theirs, *words[at + 1 :]])


def _anchor(target: Session) -> Upstream | None:
    """The lease on which a client is told, from now on its own; None while it is busy with something that wants no other lease."""
    if target.state is State.SHARED and not target.fifo:
        attached.hold_on(target)
    if target.state is not State.ATTACHED:
        return None
    attached.of(target).anchored = True
    return target.lease


def as_here(attachment: attached.Attachment, reply: bytes) -> bytes:
    """A reply of the server with the id that clients know."""
    own, theirs = attachment.redirect
    return reply.replace(b":%d\r\n" % theirs, b":%d\r\n" % own) if theirs else reply
