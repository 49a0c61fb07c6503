"""Cursors go on where they began, whatever is written between: what was there all the time is found, and what is fresh is fresh."""

from __future__ import annotations

import pytest

from tests.freshness.conftest import read_by_replicas
from tests.integration.harness import Proxy
from tests.integration.servers import LaggingCluster
from tests.integration.wire import Wire, pack

MEMBERS = [b"member:%d" % number for number in range(1500)]
# The command of each step, how to fill, what is written between two steps, how many words stand for one member in a reply.
SCANS: dict[str, tuple[list[str], list[str], list[str], int]] = {
    "HSCAN": (["HSCAN", "big"], ["HSET", "big", "{}", "v"], ["HSET", "big", "one more {}", "v"], 2),
    "SSCAN": (["SSCAN", "big"], ["SADD", "big", "{}"], ["SADD", "big", "one more {}"], 1),
    "ZSCAN": (["ZSCAN", "big"], ["ZADD", "big", "1", "{}"], ["ZADD", "big", "2", "one more {}"], 2),
    "SCAN": (["SCAN"], ["SET", "{}", "v"], ["SET", "one more {}", "v"], 1),
    "HSCAN, writes to other keys": (["HSCAN", "big"], ["HSET", "big", "{}", "v"], ["SET", "other", "{}"], 2),
}


def scanned(wire: Wire, scan: list[str], between: list[str], step: int) -> list[bytes]:
    """All that a whole iteration finds."""
    command, *key = scan
    found: list[bytes] = []
    cursor, turn = b"0", 0
    while turn == 0 or cursor != b"0":
        cursor, batch = wire.call(command, *key, cursor, "COUNT", "100")
        found += batch[::step]
        wire.ask(*(word.format(turn) for word in between))
        turn += 1
    return found


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_that_is_continued_after_writes_finds_all_that_was_there(proxy: Proxy, servers: LaggingCluster, name: str) -> None:
    scan, fill, between, step = SCANS[name]
    with servers.leader.direct() as wire:
        wire.send(b"".join(pack(*(word.format(member.decode()) for word in fill)) for member in MEMBERS))
        wire.frames(len(MEMBERS))
    servers.settle()
    read_by_replicas(proxy, servers)
    with proxy.connect() as wire:
        assert set(MEMBERS) <= set(scanned(wire, scan, between, step))
        servers.hold()
        wire.ask(*(word.format("fresh") for word in fill))
        assert b"fresh" in scanned(wire, scan, ["PING"], step)
