"""How far a replica is behind: in bytes of the leader's stream, and in seconds; and how far its clock is off.

Called by `judge` with what probes found. It must never look at a clock of its own, nor compare offsets of two
different streams.

Seconds of lag are those for which a replica is known to have been behind: from the first moment at which the leader
was seen to be further than the replica is now. What a leader wrote since its last probe is not seen, so the true lag
may be longer, by one interval of probes at most; never shorter. Counted from the last moment at which the replica
had all, which is the other way to say it, a healthy replica that a probe meets while a write is on its way to it
would seem a whole interval behind after each idle second.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rproxy.controlplane.probe import Health

MOST_MOMENTS = 512
"""How many of the leader's offsets are kept. Beyond it every second one of the older half is forgotten."""


class Lag(NamedTuple):
    """What a replica lacks, in bytes, and for how many seconds it has lacked something."""

    bytes: int
    seconds: float


class Trail:
    """The offsets that the leader was seen to have reached, and when: each one once, at its first sight."""

    def __init__(self) -> None:
        self._replication_id = ""
        self._moments: deque[tuple[float, int]] = deque()

    def note(self, health: Health) -> None:
        """A probe of the leader. Another stream than before, or one that goes back, is a new trail."""
        moments = self._moments
        if health.replication_id != self._replication_id or (moments and health.offset < moments[-1][1]):
            self._replication_id = health.replication_id
            moments.clear()
        if not moments or health.offset > moments[-1][1]:
            moments.append((health.heard, health.offset))
        if len(moments) > MOST_MOMENTS:
            kept = [moment for at, moment in enumerate(moments) if at % 2 == 0 or at > MOST_MOMENTS // 2]
            self._moments = deque(kept)

    def lag(self, health: Health) -> Lag | None:
        """How far the replica of this probe was behind; None where that can't be said: the leader has told nothing, or
        the replica follows another stream.
        """
        if not self._moments or not self._replication_id or health.replication_id != self._replication_id:
            return None
        ahead = [moment for moment in self._moments if moment[1] > health.offset and moment[0] <= health.asked]
        if not ahead:
            return Lag(0, 0.0)
        return Lag(ahead[-1][1] - health.offset, health.asked - ahead[0][0])


def clock_skew(replica: Health, leader: Health) -> tuple[float, float] | None:
    """By how many seconds the replica's clock is ahead of the leader's, and by how much that may be wrong at most: half
    of both round trips. None where one of them does not tell the time.
    """
    if replica.clock is None or leader.clock is None:
        return None
    return replica.clock - leader.clock, replica.clock_doubt + leader.clock_doubt


def is_skewed(skew: tuple[float, float] | None, limit: float, before: bool) -> bool:
    """Whether a clock is too far off (limit 0: never). It is found so only beyond doubt; and `before`, when it was
    found so already, it is held so until the best guess is within the limit: doubt comes and goes with the load.
    """
    if skew is None or not limit:
        return False
    off, doubt = skew
    return abs(off) > limit if before else abs(off) - doubt > limit
