"""While another rproxy serves beside this one, the status and EXPLAIN say why the leader has all reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rproxy.dataplane.freshness import HELD
from tests.dataplane.kit import World, command


@pytest.fixture
def world() -> World:
    """Replicas that have all that was written, and a leader that wants no password."""
    made = World(consistency="fresh", tables=True)
    made.client().send(command("SET", "k", "v"))
    made.open(0).take()
    made.prove()
    return made


def asked(world: World, *words: str) -> Any:
    client = world.client()
    client.send(command("RPROXY", *words))
    return json.loads(client.take().partition(b"\r\n")[2])


def test_nothing_is_said_while_there_is_no_other(world: World) -> None:
    assert asked(world, "STATUS")["takeover"] is False
    facts = asked(world, "EXPLAIN", "GET", "k")
    assert facts["takeover"] is False and len(facts["servers"]) == 2


def test_it_is_said_that_another_rproxy_serves_too(world: World) -> None:
    world.plane.freshness.beside(HELD)
    assert asked(world, "STATUS")["takeover"] is True
    facts = asked(world, "EXPLAIN", "GET", "k")
    assert (facts["takeover"], facts["held"], facts["servers"]) == (True, False, ["server:7000"])
    assert facts["served_by"] == "the leader: another rproxy serves too, and what that writes is not known here"


def test_it_is_over_when_the_other_one_has_gone(world: World) -> None:
    world.plane.freshness.beside(HELD)
    world.plane.freshness.beside(world.plane.clock_ns())
    assert asked(world, "STATUS")["takeover"] is False
    assert asked(world, "EXPLAIN", "GET", "k")["takeover"] is False
