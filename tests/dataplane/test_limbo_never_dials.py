"""The pool without a server never dials, whoever wanted to before."""

from __future__ import annotations

from rproxy.dataplane.states import Stage
from tests.dataplane.kit import End, World, command


def test_a_lease_whose_turn_to_dial_comes_while_nobody_leads_waits() -> None:
    world = World()
    client = world.client()
    client.send(command("MULTI"))
    world.refuse(0)
    world.follow(settled=False)
    world.suspects.clear()
    world.wait(0.2)
    assert world.dialled == []
    assert world.suspects == []


def test_a_connection_that_comes_after_its_lease_has_gone_to_another_leader_is_of_no_use() -> None:
    world = World()
    client = world.client()
    client.send(command("MULTI"))
    server, upstream = world.dialled[0]
    leader, one, *others = world.servers
    world.follow(leader=one, replicas=(leader, *others), readers=tuple(others), settled=True)
    late = End(world, upstream)  # the dialer had it already, the cancellation came too late
    assert late.take() == b"" and not late.open
    assert world.open(1).take() == command("MULTI")
    assert upstream.stage in (Stage.READY, Stage.CLOSED)
