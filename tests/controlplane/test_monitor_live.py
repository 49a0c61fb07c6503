"""The monitor beside real servers: who is published as what, and when."""

from __future__ import annotations

import asyncio
import time

import pytest

from rproxy.controlplane.monitor import Monitor
from rproxy.dataplane.topology import Server, Topology
from rproxy.embedded import EmbeddedServer, free_port
from tests.conftest import StartServer
from tests.controlplane.watching import Watched, watch


@pytest.fixture
def three(start_server: StartServer) -> list[EmbeddedServer]:
    """A leader and two replicas that the test may break."""
    leader = start_server()
    return [leader, start_server(of=leader), start_server(of=leader)]


def test_a_well_cluster_is_published_with_offsets_only(cluster_of_three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        offset = dict(watched.monitor.topology.offsets)[0]
        cluster_of_three[0].call("SET", "color", "red")
        await watched.until(lambda: all(seen > offset for _, seen in watched.published[-1].offsets), "offsets follow")

    watched = watch(cluster_of_three, story)
    assert {topology.readers for topology in watched.published} == {watched.servers[1:]}
    assert all(topology.leader_up for topology in watched.published)


def test_offsets_are_published_at_most_once_per_interval(cluster_of_three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        start, before = time.monotonic(), len(watched.published)
        while time.monotonic() - start < 1.0:
            cluster_of_three[0].call("SET", "color", "red")
            await asyncio.sleep(0.01)
        assert 1 <= len(watched.published) - before <= 1 + (time.monotonic() - start) / 0.2

    watch(cluster_of_three, story)


def test_a_killed_replica_leaves_and_returns(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[1].kill()
        await watched.until(lambda: watched.readers() == [2], "the dead one has left", within=1.5)
        await asyncio.to_thread(three[1].restart)
        await watched.until(lambda: watched.readers() == [1, 2], "it has returned")

    watched = watch(three, story)
    assert all(topology.leader_up for topology in watched.published)


def test_a_frozen_replica_leaves_and_returns(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[2].stop()
        await watched.until(lambda: watched.readers() == [1], "the frozen one has left", within=3)
        three[2].cont()
        await watched.until(lambda: watched.readers() == [1, 2], "it has returned")

    watch(three, story)


def test_a_frozen_server_does_not_delay_news_of_the_others(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[1].stop()
        three[2].kill()
        await watched.until(lambda: watched.readers() in ([1], []), "the dead one has left", within=1.0)
        three[1].cont()

    watch(three, story, timeout=5.0)


def test_without_a_leader_reads_go_on_and_with_it_again_all_is_as_before(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        three[0].call("SET", "color", "red")
        await watched.probed()
        three[0].kill()
        await watched.until(lambda: not watched.monitor.topology.leader_up, "the leader is away", within=1.5)
        await watched.until(lambda: watched.readers() == [1, 2], "replicas without link are read")
        three[0].restart()
        await watched.until(lambda: watched.monitor.topology.leader_up, "the leader is back")
        await watched.until(lambda: watched.readers() == [1, 2] and linked(three), "the replicas have followed it")

    watch(three, story)


def linked(cluster: list[EmbeddedServer]) -> bool:
    return all(server.in_sync() for server in cluster[1:])


def test_a_frozen_leader_is_away(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[0].stop()
        await watched.until(lambda: not watched.monitor.topology.leader_up, "the leader is away", within=3)
        assert watched.readers() == [1, 2]
        three[0].cont()
        await watched.until(lambda: watched.monitor.topology.leader_up, "the leader is back")

    watch(three, story)


def test_a_replica_that_loses_its_link_is_not_read(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[1].call("REPLICAOF", "127.0.0.1", free_port())
        await watched.until(lambda: watched.readers() == [2], "it has left")
        three[1].call("REPLICAOF", "127.0.0.1", three[0].port)
        await watched.until(lambda: watched.readers() == [1, 2], "it has returned")

    watch(three, story)


def test_a_replica_that_is_a_leader_is_not_read(three: list[EmbeddedServer], caplog: pytest.LogCaptureFixture) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[1].call("REPLICAOF", "NO", "ONE")
        await watched.until(lambda: watched.readers() == [2], "it has left")

    watch(three, story)
    assert [message for message in caplog.messages if "it says that it leads" in message]


def test_a_suspect_is_gone_before_suspect_returns_and_comes_back_by_itself(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        start = time.monotonic()
        watched.monitor.suspect(watched.servers[1])
        assert watched.published[-1].readers == (watched.servers[2],)
        published = len(watched.published)
        for _ in range(100):
            watched.monitor.suspect(watched.servers[1])
        assert len(watched.published) == published, "said again, it changes nothing"
        await watched.until(lambda: watched.readers() == [1, 2], "it has proved well")
        assert time.monotonic() - start < 3, "long before the next probe in turn"

    watch(three, story, interval=10.0)


def test_all_are_asked_at_once_when_one_is_suspected(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        for _ in range(2):  # the first time they may just be about to be asked, as at every start
            watched.monitor.suspect(watched.servers[1], "connection lost")
            assert watched.readers() == [2]
            await watched.until(lambda: watched.readers() == [1, 2], "it was asked, twice, and is well", within=5.0)

    watch(three, story, interval=20.0)


def test_a_suspect_has_to_take_a_new_connection(three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        three[1].call("CONFIG", "SET", "maxclients", 1)  # who is connected stays
        watched.monitor.suspect(watched.servers[1], "connection lost")
        await watched.until(lambda: "max number of clients" in watched.why(1), "it takes no other one")
        assert watched.readers() == [2]

    watch(three, story)


def test_servers_suspected_before_the_monitor_runs_are_probed_too(three: list[EmbeddedServer]) -> None:
    named = tuple(Server(index, "127.0.0.1", node.port) for index, node in enumerate(three))
    published: list[Topology] = []
    monitor = Monitor(named, published.append, 0.2, 0.3)
    monitor.suspect(named[0])
    monitor.suspect(named[1])
    assert (published[-1].leader_up, published[-1].readers) == (True, (named[2],)), "of the leader it is no proof"

    async def run() -> None:
        running = asyncio.create_task(monitor.run())
        watched = Watched(monitor, published, named)
        await watched.until(lambda: monitor.topology.leader_up and watched.readers() == [1, 2], "all are well")
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(run())


def test_servers_that_want_a_password_which_the_settings_do_not_hold_serve(start_server: StartServer) -> None:
    leader = start_server(password="secret")
    nodes = [leader, start_server(of=leader)]
    named = [Server(index, "127.0.0.1", node.port) for index, node in enumerate(nodes)]

    async def story(watched: Watched) -> None:
        received = int(leader.info("stats")["total_connections_received"])
        await watched.until(lambda: int(leader.info("stats")["total_connections_received"]) > received + 20, "probes go on")
        assert watched.monitor.topology.leader_up and watched.readers() == [1]
        nodes[1].kill()
        await watched.until(lambda: watched.readers() == [], "a dead one is seen without a password too")

    watch(named, story, interval=0.05)


def test_servers_that_were_never_there_are_soon_known(start_server: StartServer) -> None:
    nobody = [Server(index, "127.0.0.1", free_port()) for index in range(2)]

    async def story(watched: Watched) -> None:
        await watched.until(lambda: not watched.monitor.topology.leader_up and watched.readers() == [], "none is there", within=2)

    watch(nobody, story, interval=5.0)


def test_the_callback_runs_at_the_leaders_first_answer_and_after_each_return(three: list[EmbeddedServer]) -> None:
    calls: list[float] = []

    async def called() -> None:
        calls.append(time.monotonic())
        raise RuntimeError("what the callback does must not end the monitor")

    async def story(watched: Watched) -> None:
        await watched.until(lambda: len(calls) == 1, "called once")
        await watched.probed()
        three[0].kill()
        await watched.until(lambda: not watched.monitor.topology.leader_up, "the leader is away")
        assert len(calls) == 1
        await asyncio.to_thread(three[0].restart)
        await watched.until(lambda: len(calls) == 2, "called again")

    watch(three, story, on_leader_up=called)
    assert len(calls) == 2


def test_one_server_alone_is_watched(start_server: StartServer) -> None:
    server = start_server()

    async def story(watched: Watched) -> None:
        await watched.probed()
        server.kill()
        await watched.until(lambda: not watched.monitor.topology.leader_up, "it is away")
        await asyncio.to_thread(server.restart)
        await watched.until(lambda: watched.monitor.topology.leader_up, "it is back")
        assert (watched.monitor.topology.replicas, watched.monitor.topology.readers) == ((), ())

    watch([server], story)


def test_each_server_has_one_connection_of_the_monitors(cluster_of_three: list[EmbeddedServer]) -> None:
    async def story(watched: Watched) -> None:
        await watched.probed()
        received = [int(node.info("stats")["total_connections_received"]) for node in cluster_of_three]
        calls = int(cluster_of_three[0].info("stats")["total_commands_processed"])
        await watched.until(
            lambda: int(cluster_of_three[0].info("stats")["total_commands_processed"]) > calls + 100, "probes go on"
        )
        later = [int(node.info("stats")["total_connections_received"]) for node in cluster_of_three]
        assert later[1:] == [count + 1 for count in received[1:]], "only this look is new"

    watch(cluster_of_three, story, interval=0.02)
