"""What waits for one reply, or for a run of replies, on a lane or lease.

Made by `session`, carried in two FIFOs: the upstream's pairs reply with request, the session's restores the client's order. It owns the bytes of the
request for as long as they may have to be sent again. It must never outlive both FIFOs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import resp

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session


class Pending:
    """A run of `left` commands on their way to one server.

    `session` is None once the client has gone: the replies are scanned and thrown away. `read`: the run may be sent again, to another server, while no
    byte of the reply to come has arrived. `effect`: an `Effect`, or 0; such a pending is one command, and `head` keeps the first 64 bytes of its reply.
    `queued`: the command stands inside MULTI, where nothing is executed before EXEC. `parts` are replies that wait for the session's earlier ones.
    """

    __slots__ = ("session", "left", "count", "cost", "request", "read", "tries", "since", "effect", "queued", "head", "parts")

    def __init__(self, session: Session | None, count: int, request: bytes, read: bool, effect: int = 0) -> None:
        self.session = session
        self.left = count
        self.count = count
        self.cost = len(request)
        self.request = request
        self.read = read
        self.tries = 0
        self.since = 0.0
        self.effect = effect
        self.queued = False
        self.head: bytes = b""
        self.parts: list[bytes] | None = None

    def unanswered(self) -> bytes:
        """The requests of the run that have no reply yet."""
        answered = self.count - self.left
        if not answered:
            return self.request
        framer = resp.RequestFramer()
        pos = 0
        while answered:
            pos = framer.scan(self.request, pos)
            answered -= 1
        return self.request[pos:]

    def again(self) -> None:
        """Make it a run of what has no reply yet, to be sent once more."""
        self.request = self.unanswered()
        self.count = self.left
        self.tries += 1
