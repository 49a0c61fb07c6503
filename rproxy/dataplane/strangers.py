"""Clients that have not logged in: whether the leader takes them without a password, asked anew as they come.

Clients without a login share lanes, and a server asks for a password only where a connection begins. So that a password which is set later keeps new clients
out, as on a server, a new connection is opened now and then as clients come: where its answer is another one than before, those who come from then on get
lanes of their own. Owned by `plane`. It must never let a new client use a connection that was opened when no password was wanted, if one is wanted now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import policies, resp
from rproxy.dataplane.states import ASKED

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

INTERVAL = 1.0
"""Seconds for which the leader's answer is believed."""


class Strangers:
    """Remembers what the leader said last. Clients who come while it is asked wait for its answer."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._heard: float | None = None
        self._waiting: list[Session] = []
        self._asking = False

    @property
    def locked_out(self) -> bool:
        """Whether the leader has said that it wants a password of those who have none."""
        return self._heard is not None and not self._plane.unlocked

    def heard(self, welcome: bool) -> None:
        """The leader has answered a new connection without a login of a client; `welcome`: it wants no password."""
        plane = self._plane
        changed = plane.unlocked is not welcome
        if changed and self._heard is not None:
            plane.keys.renew_own()
        self._heard = plane.clock()
        plane.hear_strangers(welcome)
        if changed:
            for session in plane.clients:
                if session.key.user is None:
                    policies.adopt(session)

    def meet(self, session: Session) -> None:
        """A client has come. It waits for the leader's word, if the last one was a while ago and others' lanes are there to be used."""
        plane = self._plane
        lane = plane.leader.lanes.get(session.key)
        if (
            plane.leader.server.has_password
            or lane is None
            or not lane.ready
            or self._heard is None
            or not plane.topology.leader_up
        ):
            return
        if not self._asking and plane.clock() - self._heard < INTERVAL:
            return
        session.halt(ASKED)
        self._waiting.append(session)
        if not self._asking:
            self._ask()

    def _ask(self) -> None:
        self._asking = True
        pool = self._plane.leader
        question = pool.once(self._plane.keys.first(0))
        pool.await_ready(question, lambda: self._answered(question))

    def _answered(self, question: Upstream) -> None:
        """`heard` has been told before, if the leader has answered."""
        plane = self._plane
        self._asking = False
        if not question.ready and not question.refusal.startswith(b"-NOAUTH"):
            plane.keys.renew_own()  # who comes now gets new connections, and is judged by those
            self._heard = plane.clock()
        question.close()
        waiting, self._waiting = self._waiting, []
        for session in waiting:
            if session.transport is not None:
                session.use(plane.first_key())
                policies.adopt(session)
                session.release(ASKED)


def may_send(request: bytes) -> bool:
    """Whether a server takes these commands of a connection that has not logged in, which it closes for large ones."""
    framer = resp.RequestFramer()
    framer.stranger = True
    pos = 0
    while 0 <= pos < len(request):
        pos = framer.scan(request, pos)
    return pos >= 0
