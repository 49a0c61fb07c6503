"""Which servers may answer: a pure function."""

from __future__ import annotations

import pytest

from rproxy.dataplane.commands import Kind
from rproxy.dataplane.router import pick, readers, servers
from rproxy.dataplane.topology import Server, Topology

L, A, B = (Server(index, "server", 7000 + index) for index in range(3))
BOTH = Topology(L, (A, B), (A, B), ((1, 10), (2, 20)))
NONE = Topology(L, (A, B), ())
DOWN = Topology(L, (A, B), (A, B), ((1, 10), (2, 20)), leader_up=False)


@pytest.mark.parametrize(
    ("topology", "consistency", "leaderless", "silent", "found"),
    [
        (BOTH, "eventual", "serve", (), (A, B)),
        (BOTH, "eventual", "serve", (A,), (B,)),
        (BOTH, "eventual", "serve", (A, B), (A, B)),
        (NONE, "eventual", "serve", (), (L,)),
        (DOWN, "eventual", "error", (), (A, B)),
        (BOTH, "leader", "serve", (), (L,)),
        (DOWN, "leader", "serve", (), (B,)),
        (DOWN, "leader", "error", (), (L,)),
        (Topology(L, leader_up=False), "leader", "serve", (), (L,)),
    ],
)
def test_who_may_answer_a_read(
    topology: Topology, consistency: str, leaderless: str, silent: tuple[Server, ...], found: tuple[Server, ...]
) -> None:
    assert readers(topology, consistency, leaderless, silent) == found


@pytest.mark.parametrize(
    ("kind", "found"),
    [(Kind.READ, (A, B)), (Kind.WRITE, (L,)), (Kind.LEASED, (L,)), (Kind.LOCAL, ()), (Kind.DENIED, ())],
)
def test_who_may_be_sent_a_command_of_each_kind(kind: Kind, found: tuple[Server, ...]) -> None:
    assert servers(kind, BOTH, "eventual", "serve") == found


def test_the_dice_pick_each_as_likely() -> None:
    assert [pick((A, B, L), lambda at=at: at / 6) for at in range(6)] == [A, A, B, B, L, L]  # type: ignore[misc]
