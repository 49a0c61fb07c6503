"""What waits for one reply, or for a run of replies, on a lane or lease.

Made by `session`, carried in two FIFOs: the upstream's pairs reply with request, the session's restores the client's order. It owns the bytes of the
request for as long as they may have to be sent again. It must never outlive both FIFOs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy.dataplane import resp
from rproxy.dataplane.states import COPY

if TYPE_CHECKING:
    from rproxy.dataplane.commands import Command
    from rproxy.dataplane.handshake import LaneKey
    from rproxy.dataplane.session import Session


class Pending:
    """A batch of `left` commands on their way to one server.

    `session` is None once the client has gone: the replies are scanned and thrown away. `key` is the one that the session had when it made the request: no
    connection of another key takes it. `read`: the batch may be sent again, to another server, while no byte of the reply to come has arrived. `effect`: an
    `Effect`, or 0; such a request is one command, and `head` keeps the first 64 bytes of its reply. `queued`: the command stands inside MULTI, where nothing
    is executed before EXEC. `parts` are replies that wait for the session's earlier ones.

    For freshness: `slots` are those that it writes (None: none) and `sent` the time of their first stamp; a read may be answered by a replica whose mark is
    later than `need`, and is `away` while a replica has it. `resend`: a write that is proven not to be executed by -READONLY, which `head` keeps then.
    `left_at`: when it was written to its server (0: not noted); `command` began the batch (None: not noted). `vouched`: none of its
    commands relays words, so an error is the server's own. `hops` counts the servers to which it was
    handed, one after the other (`retry.forward`).
    """

    __slots__ = (
        "session", "left", "count", "cost", "request", "read", "tries", "since", "effect", "queued", "head", "parts",
        "slots", "sent", "need", "away", "resend", "left_at", "command", "key", "hops", "vouched",
    )  # fmt: skip

    def __init__(self, session: Session | None, count: int, request: bytes, read: bool, effect: int = 0) -> None:
        self.begin(session, count, request, read, effect)

    def begin(self, session: Session | None, count: int, request: bytes, read: bool, effect: int) -> None:
        """What `__init__` does. Compiled, `Pending.__new__(Pending)` and then this takes a third of its instructions."""
        self.session = session
        self.left = count
        self.count = count
        self.cost = len(request)
        self.request = request
        self.read = read
        self.tries = 0
        self.hops = 0
        self.since = 0.0
        self.effect = effect
        self.queued = False
        self.head: bytes = b""
        self.parts: list[bytes] | None = None
        self.slots: list[int] | None = None
        self.sent = 0
        self.need = 0
        self.away = False
        self.resend = False
        self.vouched = False
        self.left_at = 0
        self.command: Command | None = None
        self.key: LaneKey | None = session.key if session is not None else None

    def shown(self, piece: bytes) -> bytes:
        """What the client gets of `piece` of the reply. Asked for steps of iterations (`cursors.Step`) alone."""
        return piece

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

    def split(self) -> Pending | None:
        """Keep the first command without a reply, and return the others as a run of their own; None where there are none."""
        if self.left < 2:
            return None
        request = self.unanswered()
        stop = resp.RequestFramer().scan(request, 0)
        rest = Pending(self.session, self.left - 1, request[stop:], self.read)
        rest.key = self.key
        rest.need = self.need
        rest.away = self.away
        rest.hops = self.hops
        rest.vouched = self.vouched
        self.request = request[:stop]
        self.count = self.left = 1
        self.cost -= rest.cost
        return rest

    def again(self) -> None:
        """Make it a run of what has no reply yet, to be sent once more."""
        self.request = self.unanswered()
        self.count = self.left
        self.tries += 1


class InternalRequest(Pending):
    """A request of rproxy's own to one server, in no client's FIFO: it goes on when the client for which it was made has gone. `done` is given the reply, or an
    error of rproxy's. `owner` is a session without a client.
    """

    __slots__ = ("_done",)

    def __init__(self, owner: Session, key: LaneKey, request: bytes, done: Callable[[bytes], None]) -> None:
        super().__init__(owner, 1, request, False, COPY)
        self.key = key
        self._done = done
        self.parts = []

    def shown(self, piece: bytes) -> bytes:
        """Nothing of the reply is anybody's but `done`'s."""
        assert self.parts is not None
        self.parts.append(piece)
        if not self.left:
            self._done(b"".join(self.parts))
        return b""
