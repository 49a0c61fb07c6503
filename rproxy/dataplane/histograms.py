"""How long servers take: counts by doubling bounds, per server and kind, in the memory that all workers share.

Made by `pool`, fed by `upstream` once for each piece of bytes that came, never once per command: what was sent together and came together took equally
long. Read by `introspect` through the tallies. It must never look at a clock.
"""

from __future__ import annotations

from rproxy.dataplane import octets

BUCKETS = 17
FIRST_NS = 50_000
BOUNDS_MS = [FIRST_NS * 2**at / 1_000_000 for at in range(BUCKETS - 1)]
"""The upper ends of all buckets but the last, which has none."""
CELLS = BUCKETS + 1
"""Of one histogram: the counts, then the sum in nanoseconds."""

# C integers when compiled (histograms.pxd).
_BUCKETS, _FIRST = BUCKETS, FIRST_NS


class Times:
    """Of one server, as one worker counts them: reads in the first half of `cells`, writes in the second."""

    __slots__ = ("_memory", "_cells", "_reads", "_writes", "_reads_took", "_writes_took")

    def __init__(self, cells: memoryview[int]) -> None:
        self._memory = cells
        self._cells = octets.numbers(cells)
        self._reads = self._writes = self._reads_took = self._writes_took = 0

    def took(self, read: bool, spent: int, count: int) -> None:
        """`count` commands are answered, which took so long; counted by `settle`."""
        if read:
            self._reads += count
            self._reads_took = spent
        else:
            self._writes += count
            self._writes_took = spent

    def settle(self) -> None:
        """Count what came together, as long as the last of it took."""
        if self._reads:
            self.add(False, self._reads_took, self._reads)
            self._reads = 0
        if self._writes:
            self.add(True, self._writes_took, self._writes)
            self._writes = 0

    def add(self, write: bool, spent: int, count: int) -> None:
        """`count` commands took `spent` nanoseconds each."""
        first = _BUCKETS + 1 if write else 0
        at = 0
        bound = _FIRST
        while at < _BUCKETS - 1 and spent > bound:
            bound += bound
            at += 1
        self._cells[first + at] += count
        self._cells[first + _BUCKETS] += spent * count
