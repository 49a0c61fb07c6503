"""Leaders that die, are replaced, return or quarrel: what the monitor publishes beside real servers, Valkey's and, where it is installed, Redis's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rproxy.dataplane.topology import Server, Topology
from rproxy.embedded import EmbeddedServer, wait_for
from tests.conftest import StartServer
from tests.controlplane.watching import Watched, watch

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), Path("/nowhere"))
Three = list[EmbeddedServer]


@pytest.fixture(params=["", "redis-server"], ids=["valkey", "redis"])
def three(request: pytest.FixtureRequest, start_server: StartServer) -> Three:
    """A leader and two replicas that the test may break."""
    if request.param and not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    leader = start_server(binary=request.param)
    return [leader, *(start_server(of=leader, binary=request.param) for _ in range(2))]


def promote(server: EmbeddedServer) -> None:
    server.call("REPLICAOF", "NO", "ONE")


def follow(server: EmbeddedServer, leader: EmbeddedServer) -> None:
    server.call("REPLICAOF", "127.0.0.1", leader.port)


def writers(published: list[Topology]) -> list[int]:
    """Who was published as the leader that gets writes, without repetitions."""
    indices = [topology.leader.index for topology in published if topology.settled]
    return [index for at, index in enumerate(indices) if at == 0 or indices[at - 1] != index]


@pytest.mark.parametrize("dies", [False, True], ids=["demoted", "killed"])
def test_a_failover_is_followed_where_rproxys_user_may_not_ask_info(start_server: StartServer, dies: bool) -> None:
    leader = start_server()
    servers = [leader, start_server(of=leader), start_server(of=leader)]
    for server in servers:
        server.call("ACL", "SETUSER", "low", "on", ">pw", "~*", "+@all", "-@dangerous")

    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0) and watched.readers() == [1, 2], "the first leads")
        promote(servers[1])
        follow(servers[2], servers[1])
        if dies:
            servers[0].kill()
        else:
            follow(servers[0], servers[1])
        await watched.until(lambda: watched.leads(1), "the promoted one leads")
        await watched.until(lambda: watched.readers() == ([2] if dies else [0, 2]), "the others are read")

    named = [Server(index, "127.0.0.1", server.port, user="low", password="pw") for index, server in enumerate(servers)]
    assert writers(watch(named, story).published) == [0, 1]


def test_a_replica_promoted_after_the_leaders_death_leads_and_the_rest_is_read(three: Three) -> None:
    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0), "the first leads")
        three[0].call("SET", "color", "red")
        await watched.probed()
        three[0].kill()
        await watched.until(lambda: not watched.monitor.topology.settled, "nobody leads")
        promote(three[1])
        await watched.until(lambda: watched.leads(1), "the promoted one leads")
        assert watched.readers() == []
        follow(three[2], three[1])
        await watched.until(lambda: watched.readers() == [2], "the other follows it and is read")
        three[0].restart()
        follow(three[0], three[1])
        await watched.until(lambda: watched.readers() == [0, 2], "the old leader is a reader like any other")

    assert writers(watch(three, story, interval=1.0).published) == [0, 1]


def test_a_leader_that_dies_before_its_death_is_told_is_followed_by_its_successor(three: Three) -> None:
    """Probes alone find it: no connection of the data plane was lost."""

    async def story(watched: Watched) -> None:
        await watched.probed()
        three[0].kill()
        promote(three[2])
        await watched.until(lambda: watched.leads(2), "the promoted one leads")

    assert writers(watch(three, story).published) in ([0, 2], [2])


def test_a_frozen_leader_is_replaced_and_gets_no_writes_when_it_thaws(three: Three) -> None:
    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0), "the first leads")
        three[0].stop()
        await watched.until(lambda: not watched.monitor.topology.settled, "nobody leads")
        promote(three[1])
        follow(three[2], three[1])
        await watched.until(lambda: watched.leads(1) and watched.readers() == [2], "the promoted one leads")
        three[0].cont()
        await watched.until(lambda: "says that it leads" in watched.why(0), "the old one is seen to lead too")
        assert watched.leads(1)
        follow(three[0], three[1])
        await watched.until(lambda: watched.readers() == [0, 2], "it has come round")

    assert writers(watch(three, story).published) == [0, 1]


def test_roles_swapped_by_hand_are_followed(three: Three) -> None:
    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0), "the first leads")
        promote(three[1])
        follow(three[0], three[1])
        follow(three[2], three[1])
        await watched.until(lambda: watched.leads(1) and watched.readers() == [0, 2], "the second leads")
        promote(three[0])
        follow(three[1], three[0])
        follow(three[2], three[0])
        await watched.until(lambda: watched.leads(0) and watched.readers() == [1, 2], "and the first again")

    assert writers(watch(three, story).published) == [0, 1, 0]


def test_failover_by_command_is_followed(three: Three) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        await watched.until(lambda: online(three[0], three[2]), "it may be named")
        three[0].call("FAILOVER", "TO", "127.0.0.1", three[2].port)
        await watched.until(lambda: watched.leads(2) and watched.readers() == [0, 1], "the one named leads")

    assert writers(watch(three, story).published) == [0, 2]


def test_two_failovers_between_two_looks_are_followed(three: Three) -> None:
    """Of a server that leads, only its last promotion is known: who was first is told by a replica, or by all following it."""

    async def story(watched: Watched) -> None:
        await watched.probed()
        for old, new in ((0, 1), (1, 2)):
            fail_over(three, old, new)  # it blocks the loop, and so the monitor
        await watched.until(lambda: watched.leads(2) and watched.readers() == [0, 1], "the last one leads")

    watch(three, story)


def online(leader: EmbeddedServer, replica: EmbeddedServer) -> bool:
    """The leader holds this replica for one that has come up, which takes up to a second longer than the replica does."""
    lines = leader.info("replication").values()
    return any(f"port={replica.port},state=online" in line for line in lines)


def fail_over(three: Three, old: int, new: int) -> None:
    wait_for(lambda: online(three[old], three[new]), "it may be named")
    three[old].call("FAILOVER", "TO", "127.0.0.1", three[new].port)
    others = [server for server in three if server is not three[new]]
    wait_for(lambda: three[new].info("replication")["role"] == "master", "it leads")
    for server in others:
        follow(server, three[new])
        server.wait_in_sync()


def test_writes_are_held_when_two_lead_and_then_go_where_most_replicas_are(
    three: Three, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0), "the first leads")
        promote(three[1])
        await watched.until(lambda: not watched.monitor.topology.settled, "nobody leads")
        await watched.until(lambda: watched.leads(0), "the second replica stays with the first")
        assert watched.readers() == [2]
        follow(three[2], three[1])
        await watched.until(lambda: watched.leads(1) and watched.readers() == [2], "it has moved to the other")

    assert writers(watch(three, story, budget=0.3).published) == [0, 1]
    assert [message for message in caplog.messages if "several say that they lead" in message]


def test_of_two_servers_one_that_claims_to_lead_stops_no_writes_and_leads_when_the_other_gives_in(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    leader = start_server()
    pair = [leader, start_server(of=leader)]

    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0), "the first leads")
        promote(pair[1])
        await watched.until(
            lambda: "it says that it leads, but so does" in watched.why(1) and watched.leads(0), "the first goes on"
        )
        follow(pair[0], pair[1])
        await watched.until(lambda: watched.leads(1) and watched.readers() == [0], "the first gave in")

    watch(pair, story, budget=0.1)
    assert [message for message in caplog.messages if "it says that it leads, but so does" in message]


def test_an_unrelated_leader_is_never_followed(three: Three, start_server: StartServer) -> None:
    stranger = start_server()

    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0) and watched.readers() == [1, 2], "the stranger is no reader")
        assert "its data is not that of" in watched.why(3)
        three[0].kill()
        await watched.until(lambda: not watched.monitor.topology.settled, "nobody leads")
        probes = len(watched.published)
        await watched.until(lambda: len(watched.published) > probes + 3, "the stranger goes on saying that it leads")
        assert not watched.monitor.topology.settled and 3 not in watched.readers()

    assert writers(watch([*three, stranger], story, interval=0.1).published) == [0]


def test_a_leader_that_restarts_empty_leads_on(three: Three) -> None:
    async def story(watched: Watched) -> None:
        three[0].call("SET", "color", "red")
        await watched.probed()
        three[0].restart()
        await watched.until(lambda: not watched.monitor.topology.readers, "its replicas have lost it")
        await watched.until(lambda: watched.leads(0) and watched.readers() == [1, 2], "they follow it again")
        assert three[0].call("GET", "color") is None

    assert writers(watch(three, story).published) == [0]


def test_at_the_start_the_one_that_the_others_follow_leads(three: Three) -> None:
    promote(three[1])
    for server in (three[0], three[2]):
        follow(server, three[1])
        server.wait_in_sync()

    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(1) and watched.readers() == [0, 2], "the second leads")

    assert writers(watch(three, story).published) == [1], "the first never got a write"


def test_at_the_start_an_old_leader_that_leads_alone_gets_no_writes(three: Three) -> None:
    promote(three[1])
    follow(three[2], three[1])
    three[2].wait_in_sync()

    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(1) and watched.readers() == [2], "the second leads")

    assert writers(watch(three, story, budget=0.2).published) == [1]


def test_a_doubted_leader_is_asked_at_once_and_leads_again(three: Three) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        watched.monitor.demoted(watched.servers[0], "it answers READONLY")
        assert not watched.published[-1].settled
        await watched.until(lambda: watched.leads(0), "it was asked, and leads", within=5.0)

    watch(three, story, interval=20.0)


def test_static_roles_stay_whatever_happens(three: Three, caplog: pytest.LogCaptureFixture) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[0].kill()
        promote(three[1])
        await watched.until(lambda: not watched.monitor.topology.leader_up, "the leader is away")
        await watched.until(lambda: "it does not replicate from" in watched.why(1), "the promoted one is seen")
        assert watched.readers() == [1, 2] and watched.monitor.topology.settled

    assert writers(watch(three, story, discovery="static").published) == [0]


def test_with_static_roles_servers_that_do_not_replicate_at_all_are_read(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    loners = [start_server() for _ in range(3)]

    async def story(watched: Watched) -> None:
        await watched.probed()
        await watched.until(lambda: "it does not replicate from" in watched.why(2), "they are seen to lead themselves")
        assert watched.readers() == [1, 2]

    watched = watch(loners, story, discovery="static")
    assert {topology.readers for topology in watched.published} == {watched.servers[1:]}
    assert len([message for message in caplog.messages if "it does not replicate from" in message]) == 2


def lagging(three: Three, watched: Watched) -> Callable[[], bool]:
    def holds() -> bool:
        three[0].call("SET", "color", "red" * 100)
        return watched.readers() == [2]

    return holds


def test_a_replica_that_applies_nothing_more_falls_behind_and_catches_up(three: Three) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[1].call("CLIENT", "PAUSE", 100_000, "WRITE")  # a replica that is paused applies nothing of its leader's stream
        await watched.until(lagging(three, watched), "it is too far behind")
        assert "behind" in watched.why(1)
        three[1].call("CLIENT", "UNPAUSE")
        await watched.until(lambda: watched.readers() == [1, 2], "it has caught up")

    watch(three, story, max_lag=0.5, max_lag_bytes=0)
    watch(three, story, max_lag=0.0, max_lag_bytes=2000)


@pytest.mark.skipif(not FAKETIME.exists(), reason="needs Debian's package faketime")
def test_a_replica_whose_clock_is_off_is_not_read(start_server: StartServer, tmp_path: Path) -> None:
    leader = start_server()
    wrapped = tmp_path / "server-with-another-time"
    for ahead, readers in (("+0.2", [2]), ("-0.2", [2]), ("+0.01", [1, 2])):
        wrapped.write_text(
            f'#!/bin/sh\nLD_PRELOAD={FAKETIME} FAKETIME={ahead} FAKETIME_DONT_FAKE_MONOTONIC=1 exec {leader.binary} "$@"\n'
        )
        os.chmod(wrapped, 0o755)
        nodes = [leader, start_server(of=leader, binary=str(wrapped)), start_server(of=leader)]

        async def story(watched: Watched, readers: list[int] = readers) -> None:
            await watched.probed()
            await watched.until(lambda: watched.readers() == readers, f"{readers} are read")
            assert ("its clock is" in watched.why(1)) == (readers == [2])

        watch(nodes, story, interval=0.05)
