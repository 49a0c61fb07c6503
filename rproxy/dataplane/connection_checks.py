"""Whether a server still has rproxy's connections: those that it does not have any more are closed here too.

A firewall that forgets a connection, or a balancer that loses the server's side of it and holds on to the client's, ends it for one side alone, and nobody is
told. What was sent on it is never answered, and nothing in TCP shows it while somebody acknowledges the bytes. A server that is merely slow still lists the
connection (`CLIENT LIST ID`), so that is asked, over a new connection, where a reply is overdue. Owned by `plane`, called by `pool` at its ticks. It must never
close a connection that the server may still have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from rproxy.dataplane import redirect, resp
from rproxy.dataplane.handshake import URGENT, Login
from rproxy.dataplane.pending import InternalRequest

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

MOST_AT_ONCE = 1000
"""Connections about which a server is asked at once."""
_LISTED = re.compile(rb"(?:^|\n|txt:)id=(\d+) ")


class ConnectionChecks:
    """The questions of one worker, one at a time for each server. `owner` is a session without a client, to which they belong."""

    def __init__(self, plane: Plane, owner: Session) -> None:
        self._plane = plane
        self._owner = owner
        self._next: WeakKeyDictionary[Pool, float] = WeakKeyDictionary()
        self._refused: WeakSet[Login] = WeakSet()
        self._expected: dict[Upstream, float] = {}

    def expect(self, lease: Upstream, due: float) -> None:
        """A client waits on this lease in a blocking command that the server should have answered by `due`, a time of the plane's clock."""
        if not self._expected:
            self._plane.later(self._plane.options.budget, self._look_at_expected)
        self._expected[lease] = due

    def _look_at_expected(self) -> None:
        """Ask about those that are overdue, and forget those on which nobody waits any more."""
        plane = self._plane
        now = plane.clock()
        self._expected = {lease: due for lease, due in self._expected.items() if lease.fifo or lease.batch}
        overdue = [lease for lease, due in self._expected.items() if due + plane.options.budget <= now]
        for pool in {lease.pool for lease in overdue}:
            self.look(pool, [lease for lease in overdue if lease.pool is pool], now)
        if self._expected:
            plane.later(plane.options.budget, self._look_at_expected)

    def look(self, pool: Pool, overdue: list[Upstream], now: float) -> None:
        """Replies on these connections should be there by now: ask the server about them, and about all others of their user."""
        known = [late for late in overdue if _is_known(late) and late.key.login not in self._refused]
        if not known or now < self._next.get(pool, 0.0):
            return
        self._next[pool] = now + 2 * self._plane.options.budget
        others = [one for one in pool.connections() if one not in known and _is_known(one)]
        others.sort(key=lambda one: not one.fifo)  # on these nobody waits
        self._ask(pool, [one for one in (*known, *others) if one.key.login is known[0].key.login][:MOST_AT_ONCE])

    def _ask(self, pool: Pool, doubtful: list[Upstream]) -> None:
        """Ask over a connection of its own, so that the question can't wait behind what it is about."""
        plane = self._plane
        question = pool.once(plane.keys.beside(doubtful[0].key, URGENT))
        asked = [(upstream, upstream.hello) for upstream in doubtful]

        def answered(reply: bytes) -> None:
            listed = set(map(int, _LISTED.findall(reply)))
            if reply.startswith(b"-NOPERM"):
                self._refused.add(question.key.login)
            if redirect.id_on_server(question) in listed:  # else it lists no connections as a server does
                _close_lost(asked, question.process, listed)
            question.close()

        def ready() -> None:
            if not question.ready or not question.process:
                question.close()
                return
            ids = [b"%d" % redirect.id_on_server(one) for one in (question, *doubtful)]
            request = resp.encode([b"CLIENT", b"LIST", b"ID", *ids])
            question.send(InternalRequest(self._owner, question.base, request, answered))

        pool.await_ready(question, ready)
        plane.later(plane.options.budget, question.close)


def _is_known(upstream: Upstream) -> bool:
    """Whether both the server's process and its id for the connection are known."""
    return upstream.ready and bool(upstream.process) and redirect.id_on_server(upstream) != redirect.NOBODY


def _close_lost(asked: Iterable[tuple[Upstream, bytes]], process: bytes, listed: set[int]) -> None:
    """Close those connections to this process of the server that it does not list, unless they are new ones by now."""
    for upstream, hello in asked:
        is_same = upstream.ready and upstream.hello is hello and upstream.process == process
        if is_same and redirect.id_on_server(upstream) not in listed:
            upstream.distrust("the server does not have this connection any more")
