"""What processes are put together from."""

from __future__ import annotations

import asyncio
import time

import pytest

from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.topology import Server, Topology
from rproxy.service.assembly import about, doubting, drain, first_topology, keeps_tables, options, outside
from rproxy.service.dialer import Dialer
from rproxy.settings import Settings
from tests.dataplane.kit import World, command

LEADER, ONE, TWO = (Server(index, "server", 7000 + index) for index in range(3))
TOPOLOGY = Topology(LEADER, (ONE, TWO), (ONE, TWO))


def test_a_replica_that_failed_is_not_read() -> None:
    assert doubting(TOPOLOGY, ONE) == Topology(LEADER, (ONE, TWO), (TWO,))


def test_one_failed_connection_does_not_prove_that_the_leader_is_away() -> None:
    assert doubting(TOPOLOGY, LEADER) == TOPOLOGY


def test_it_is_all_there_is_while_the_control_plane_hears_nothing() -> None:
    assert doubting(TOPOLOGY, LEADER, unheard=True) == Topology(LEADER, (ONE, TWO), (ONE, TWO), leader_up=False)


def test_nobody_leads_where_the_leader_says_that_it_does_not() -> None:
    assert doubting(TOPOLOGY, LEADER, demoted=True) == Topology(LEADER, (ONE, TWO), (ONE, TWO), settled=False)


@pytest.mark.parametrize(
    ("settings", "settled"),
    [
        (Settings(servers=(LEADER,)), True),
        (Settings(servers=(LEADER, ONE)), False),
        (Settings(servers=(LEADER, ONE), discovery="static"), True),
        (Settings(discovery="sentinel", sentinels=(TWO,)), False),
    ],
)
def test_who_leads_is_known_at_first_only_where_it_cannot_be_another(settings: Settings, settled: bool) -> None:
    assert first_topology(settings).settled is settled


def test_tables_are_kept_if_any_listener_wants_fresh_reads() -> None:
    assert keeps_tables(Settings())
    assert not keeps_tables(Settings(consistency="eventual"))
    assert keeps_tables(Settings(consistency="leader", listen=("tcp://h:1", "tcp://h:2?consistency=fresh")))


def test_stamps_are_of_the_clock_that_other_processes_read() -> None:
    async def times() -> list[int]:
        ports = outside(Dialer(1.0), lambda server, reason: None, lambda server, reason: None, lambda: None)
        plane = Plane(TOPOLOGY, CommandTable(None), options(Settings()), ports)
        return [time.monotonic_ns(), plane.now(), time.monotonic_ns()]

    found = asyncio.run(times())
    assert found == sorted(found)


def test_a_worker_knows_which_of_how_many_it_is() -> None:
    chosen = options(Settings(), 1, 3)
    assert (chosen.worker, chosen.workers, chosen.tables) == (1, 3, True)


def test_the_status_says_which_process_of_how_many_tells_it() -> None:
    told = about(World(memory=None, worker=0, workers=1).plane, Settings(), 0.0)
    assert (told["worker"], told["workers"], told["clock_rests"]) == (0, 1, False)


def test_who_has_nothing_in_flight_is_closed_at_once_and_others_when_the_time_is_over() -> None:
    async def scenario() -> None:
        world = World()
        idle, busy = world.client(), world.client()
        busy.send(command("GET", "k"))
        draining = asyncio.get_running_loop().create_task(drain(world.plane, 0.1, asyncio.Event()))
        await asyncio.sleep(0)
        world.turn()
        assert not idle.open and busy.open
        await draining
        assert not busy.open

    asyncio.run(scenario())
