"""The freshness clock: finds up to which time each replica has what the leader had, and sets its mark.

Made by `lifecycle`, woken by the data plane when it stamps while the clock rests, and when a connection is lost. A round takes the time, asks the leader how
far its replication stream goes, and each replica how far it has applied that stream. It must never set a mark by anything but a replication id and offsets:
not by addresses, nor by guesses about time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rproxy.controlplane.clock_link import Facts, Link
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.tallies import ROUNDS
from rproxy.dataplane.topology import Server

log = logging.getLogger("rproxy.freshness")

PAUSE = 0.010
"""Seconds between two rounds."""
HASTE = 0.005
"""Seconds between two rounds while somebody needs later marks: reads go to the leader for freshness, or iterations wait."""
SILENT = 0.1
"""Seconds without an answer of the leader after which it is to be looked at."""
CALM = 10
"""After so many rounds in a row between which nobody needed a later mark, only every `SELDOM`th asks."""
SELDOM = 8
PATIENCE = 3
"""Questions in a row that may find nothing moved, before a replica is asked half as often after each further one."""
LONGEST_PAUSE = 1.0
"""A replica at which nothing moves is asked less and less often, down to this."""
MOST_MOMENTS = 1024
"""How many rounds' findings are kept for replicas that lag: every second one of the older ones is forgotten beyond it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The leader's stream `replication_id` went to `offset`, and held every write that any worker had answered, or sent, before `mark`."""

    mark: int
    replication_id: str
    offset: int


@dataclass(slots=True)
class Follower:
    """What the clock holds of one replica: what it said last, and when (`heard`, in nanoseconds); when it is asked again (`due`, seconds of the loop's
    clock), and how often in a row that found neither mark nor offset moved.
    """

    facts: Facts | None = None
    heard: int = 0
    due: float = 0.0
    misses: int = 0


class FreshnessClock:
    """Sets the marks of `plane`. `dial` and `later` are the plane's own; `now` gives the seconds that `later` counts in. `oldest_write` tells when the oldest
    write was sent that no worker has an answer to (nanoseconds, 0: there is none); the plane's own, where it is the only worker. `silent()` is called when the
    leader has not answered for a moment, once until it does.
    """

    def __init__(
        self,
        plane: Plane,
        dial: Callable[[Server, object], object],
        now: Callable[[], float],
        oldest_write: Callable[[], int] | None = None,
        silent: Callable[[], None] = lambda: None,
    ) -> None:
        self._plane = plane
        self._silent = silent
        self._is_silent = False
        self._oldest_write = oldest_write or plane.oldest_write
        self._dial = dial
        self._now = now
        self._links: dict[Server, Link] = {}
        self._followers: dict[Server, Follower] = {}
        self._moments: deque[Moment] = deque()
        self._asked = 0
        self._leader: Server | None = None
        self._process: bytes | None = None
        self._proven = ("", 0)
        self._proven_mark = 0
        self._seen_wanted = 0
        self._calm = 0
        self._running = False
        self._stopped = False
        self.rounds = 0

    def wake(self) -> None:
        """Something was written, or a mark was dropped: begin with a round, unless rounds go on already."""
        rests = not self._plane.topology.replicas
        self._plane.freshness.rest(rests)
        if not self._running and not self._stopped and not rests:
            self._running = True
            self._calm = 0
            self._plane.later(HASTE, self._round)

    def stop(self) -> None:
        """End every connection."""
        self._stopped = True
        for link in self._links.values():
            link.close()

    def authenticate_anew(self) -> None:
        """A login has changed: links that were opened with the last one are opened anew."""
        for link in self._links.values():
            if link.has_old_login:
                link.break_off()

    def proven(self) -> tuple[str, int]:
        """The leader's replication id and its offset behind the newest mark: a server that lacks it lacks what a replica may have shown. ("", 0): unknown."""
        return self._proven

    def _round(self) -> None:
        """Take the time, then ask; marks follow when answers come."""
        if self._stopped:
            return
        self._look_at_leader()
        wanted = self._plane.freshness.wanted()
        self._calm = 0 if wanted != self._seen_wanted else self._calm + 1
        self._seen_wanted = wanted
        if self._calm > CALM and self._calm % SELDOM:
            self._plane.later(PAUSE, self._round)
            return
        self._follow()
        now = self._now()
        pause = PAUSE if self._calm else HASTE
        due = [server for server, follower in self._followers.items() if follower.due <= now]
        if due and self._leader is not None:
            self.rounds += 1
            self._plane.tallies.put(ROUNDS, self.rounds)
            # The clock before the writes: one that is sent in between is stamped later than the mark.
            taken = self._plane.clock_ns()
            if self._links[self._leader].ask():
                self._asked = self._before_writes(taken)
            for server in due:
                follower = self._followers[server]
                follower.due = now + min(LONGEST_PAUSE, pause * 2 ** min(20, max(0, follower.misses - PATIENCE)))
                follower.misses += 1
                self._links[server].ask()
        self._go_on(now, pause)

    def _look_at_leader(self) -> None:
        """Say so when it does not answer: the monitor asks less often, and reads wait until it knows."""
        link = self._links.get(self._leader) if self._leader is not None else None
        if link is not None and link.unanswered >= SILENT and not self._is_silent:
            self._is_silent = True
            self._silent()

    def _before_writes(self, moment: int) -> int:
        """The moment, or the last one before every write without an answer."""
        oldest = self._oldest_write()
        return min(moment, oldest - 1) if oldest else moment

    def _go_on(self, now: float, pause: float) -> None:
        """The next round comes soon, or the clock rests until it is woken, where every replica that answers has all."""
        plane = self._plane
        newest = plane.freshness.newest()
        behind = [
            follower.due
            for server, follower in self._followers.items()
            if self._links[server].ready and plane.freshness.mark(server.index) <= newest
        ]
        if not behind and not self._oldest_write():
            self._running = False
            plane.freshness.rest(True)
            if plane.freshness.newest() != newest:
                self.wake()  # another process has written meanwhile, and did not see that the clock rests
            return
        plane.later(max(pause, min(behind, default=now) - now), self._round)

    def _follow(self) -> None:
        """Have a link to every server of the topology, and forget what was known of another leader's stream."""
        topology = self._plane.topology
        process = topology.process_of(topology.leader)
        if topology.leader != self._leader or process not in (None, self._process):
            self._leader, self._process = topology.leader, process
            self._moments.clear()
            self._asked = 0
            self._plane.freshness.hear_leader(0)
        for server in topology.servers:
            if server not in self._links:
                self._links[server] = Link(self._plane, server, self._dial, self._heard, self._connected)
                self._links[server].open()
            elif self._links[server].is_wrong_process:
                self._links[server].break_off()
        for server in [server for server in self._links if server not in topology.servers]:
            self._links.pop(server).close()
            self._plane.freshness.set_mark(server.index, 0)
        self._followers = {server: self._followers.get(server) or Follower() for server in topology.replicas}

    def _connected(self, server: Server, up: bool) -> None:
        """A link has come up, or is lost: what was known of a replica belonged to that connection."""
        follower = self._followers.get(server)
        if follower is not None:
            self._followers[server] = Follower()
        if not up:
            self._plane.freshness.set_mark(server.index, 0)
        self.wake()

    def _heard(self, server: Server, facts: Facts) -> None:
        """A server has answered. What another process said, which it was before, counts no more."""
        if self._links[server].is_wrong_process or self._has_unstable_run_id(server):
            return
        if server == self._leader:
            self._heard_leader(facts)
        elif server in self._followers:
            self._heard_replica(server, facts)

    def _heard_leader(self, facts: Facts) -> None:
        self._is_silent = False
        # Again, because another process may have begun a write before the question whose cell came to be seen only after it.
        asked, self._asked = self._before_writes(self._asked), 0
        if not asked or facts.role != "master":
            return
        self._plane.freshness.hear_leader(self._plane.clock_ns())
        moments = self._moments
        if moments and moments[-1].replication_id != facts.replication_id:
            moments.clear()
        if moments and moments[-1].offset == facts.offset:
            moments.pop()
        moments.append(Moment(asked, facts.replication_id, facts.offset))
        if len(moments) > MOST_MOMENTS:
            self._moments = deque([moment for at, moment in enumerate(moments) if at % 2 or at > MOST_MOMENTS // 2])
        for server, follower in self._followers.items():
            if follower.facts is not None:
                self._judge(server, follower.facts)
        everywhere = min((follower.facts.offset for follower in self._followers.values() if follower.facts), default=0)
        while len(self._moments) > 1 and self._moments[1].offset <= everywhere:
            self._moments.popleft()

    def _heard_replica(self, server: Server, facts: Facts) -> None:
        follower = self._followers[server]
        before, follower.facts, follower.heard = follower.facts, facts, self._plane.clock_ns()
        renewed = before is not None and (before.replication_id != facts.replication_id or facts.offset < before.offset)
        if renewed or facts.syncing or facts.role != "slave":
            self._plane.freshness.set_mark(server.index, 0)
        elif before is not None and before.offset != facts.offset:
            follower.misses = 0
        self._judge(server, facts)

    def _has_unstable_run_id(self, server: Server) -> bool:
        """Whether it shows another process on each connection: it can't be told whose data it speaks of."""
        return self._plane.topology.process_of(server) == b""

    def _judge(self, server: Server, facts: Facts) -> None:
        """Set the replica's mark to the newest moment of which it has everything."""
        follower = self._followers[server]
        freshness = self._plane.freshness
        if facts.role != "slave" or facts.syncing or not facts.link_up or follower.heard <= freshness.dropped(server.index):
            return
        if self._has_unstable_run_id(server) or not freshness.all_bound(server.index, self._links[server].tag):
            return  # nobody can tell which process it is, or a worker does not know yet that it is another one
        reached = [moment for moment in self._moments if moment.offset <= facts.offset]
        if not reached or reached[-1].replication_id != facts.replication_id:
            return
        newest = reached[-1]
        if newest.mark > freshness.mark(server.index):
            freshness.set_mark(server.index, newest.mark)
            follower.misses = 0
        if newest.mark > self._proven_mark:
            self._proven_mark = newest.mark
            self._proven = (newest.replication_id, newest.offset)
