"""The monitor knows who serves what: first its rules alone, then on real servers that die, freeze and come back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from rproxy.controlplane.monitor import FIRST_BACKOFF, PROOF_DISTANCE, Judge, Monitor
from rproxy.controlplane.probe import NEVER_SYNCED, Health
from rproxy.dataplane.topology import Server, Topology
from rproxy.embedded import EmbeddedServer, free_port
from tests.conftest import StartServer

LEADER, FIRST, SECOND = servers = tuple(Server(index, "10.0.0.1", 6379 + index) for index in range(3))
INTERVAL = 1.0


def well(server: Server, **more: object) -> Health:
    role = "master" if server is LEADER else "slave"
    return replace(Health(server, role=role, link_up=role == "slave", offset=100), **more)  # type: ignore[arg-type]


def silent(server: Server) -> Health:
    return Health(server, error="connection refused", answered=False)


def refusing(server: Server) -> Health:
    return Health(server, error="it refuses: NOAUTH", refused=True)


class Told:
    """A judge that is told one thing after the other."""

    def __init__(self) -> None:
        self.judge = Judge(servers)

    def hear(self, *healths: Health) -> Topology:
        for health in healths:
            self.judge.observe(health, self.judge.suspicions(health.server))
        return self.judge.topology


@pytest.fixture
def told() -> Told:
    return Told()


def test_before_the_first_probe_all_serve(told: Told) -> None:
    assert told.judge.topology == Topology(LEADER, (FIRST, SECOND), (FIRST, SECOND))


def test_well_servers_serve_and_their_offsets_are_known(told: Told) -> None:
    topology = told.hear(well(LEADER, offset=120), well(FIRST), well(SECOND, offset=110))
    assert topology.readers == (FIRST, SECOND) and topology.leader_up
    assert dict(topology.offsets) == {0: 120, 1: 100, 2: 110}
    assert topology.freshest_reader() is SECOND


def test_one_failed_probe_is_forgiven_and_two_are_not(told: Told) -> None:
    assert told.hear(silent(FIRST)).readers == (FIRST, SECOND)
    assert told.hear(silent(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_failures_only_count_in_a_row(told: Told) -> None:
    assert told.hear(silent(FIRST), well(FIRST), silent(FIRST)).readers == (FIRST, SECOND)


@pytest.mark.parametrize("trouble", [{"role": "master"}, {"link_up": False}, {"syncing": True}, {"loading": True}])
def test_a_replica_that_says_that_it_is_unfit_is_out_until_it_says_otherwise(told: Told, trouble: dict[str, object]) -> None:
    assert told.hear(well(LEADER), well(FIRST, **trouble)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_a_suspect_is_out_at_once_and_back_after_two_good_probes(told: Told) -> None:
    assert told.judge.suspect(FIRST, "connection lost")
    assert told.judge.topology.readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (SECOND,)
    assert told.judge.pause(FIRST, INTERVAL) == PROOF_DISTANCE
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)
    assert told.judge.pause(FIRST, INTERVAL) == INTERVAL


def test_a_suspect_that_fails_owes_two_good_probes_again(told: Told) -> None:
    told.judge.suspect(FIRST, "connection lost")
    assert told.hear(well(FIRST), silent(FIRST), well(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_an_answer_to_an_older_question_proves_nothing(told: Told) -> None:
    before = told.judge.suspicions(FIRST)
    told.judge.suspect(FIRST, "connection lost")
    told.hear(well(FIRST))
    told.judge.observe(well(FIRST), before)
    assert told.judge.topology.readers == (SECOND,)


def test_a_suspect_is_probed_at_once_only_the_first_time(told: Told) -> None:
    assert told.judge.suspect(FIRST, "connection lost")
    assert not told.judge.suspect(FIRST, "connection lost")


def test_the_leader_is_away_after_a_suspicion_and_back_after_one_good_probe(told: Told) -> None:
    told.judge.suspect(LEADER, "connection lost")
    assert not told.judge.topology.leader_up
    assert told.hear(well(LEADER)).leader_up


def test_the_leader_is_away_after_two_failed_probes_or_while_it_loads(told: Told) -> None:
    assert told.hear(silent(LEADER)).leader_up
    assert not told.hear(silent(LEADER)).leader_up
    assert not told.hear(well(LEADER, loading=True)).leader_up
    assert told.hear(well(LEADER)).leader_up


def test_replicas_without_link_are_read_while_the_leader_is_away(told: Told) -> None:
    told.hear(well(LEADER), well(FIRST, link_up=False), well(SECOND, link_up=False, offset=NEVER_SYNCED))
    assert told.judge.topology.readers == ()
    assert told.hear(silent(LEADER), silent(LEADER)).readers == (FIRST,), "the second one never had any data"
    assert told.hear(well(LEADER)).readers == ()


def test_a_lost_link_makes_the_leader_be_looked_at(told: Told) -> None:
    told.hear(well(FIRST))
    assert told.judge.observe(well(FIRST, link_up=False), 0)
    assert not told.judge.observe(well(FIRST, link_up=False), 0), "that is known already"


def test_servers_that_refuse_to_tell_are_taken_as_well(told: Told) -> None:
    topology = told.hear(*map(refusing, servers), *map(refusing, servers))
    assert topology.readers == (FIRST, SECOND) and topology.leader_up and topology.offsets == ()


def test_a_busy_leader_is_up_and_a_busy_replica_is_not_read(told: Told) -> None:
    busy = "it refuses: BUSY Redis is busy running a script"
    topology = told.hear(*(Health(server, error=busy) for server in (LEADER, FIRST) * 2))
    assert topology.leader_up and topology.readers == (SECOND,)


def test_unfit_servers_are_probed_soon_and_then_ever_more_seldom(told: Told) -> None:
    pauses = []
    for _ in range(8):
        told.hear(silent(FIRST))
        pauses.append(told.judge.pause(FIRST, INTERVAL))
    assert pauses[:4] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF, 8 * FIRST_BACKOFF]
    assert pauses[-1] == INTERVAL


def test_one_server_alone_serves_all() -> None:
    judge = Judge((LEADER,))
    assert judge.topology == Topology(LEADER)
    judge.suspect(LEADER, "connection lost")
    assert judge.topology == Topology(LEADER, leader_up=False)


def test_the_log_has_one_line_per_change(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rproxy.topology")
    for _ in range(3):
        told.hear(well(LEADER), well(FIRST))
    assert caplog.messages == []
    for _ in range(5):
        told.hear(silent(FIRST))
    for _ in range(3):
        told.hear(well(FIRST))
    assert caplog.messages == [
        "replica 10.0.0.1:6380 is not read: no answer: connection refused",
        "replica 10.0.0.1:6380 is read again",
    ]


def test_wrong_roles_are_warned_about_once(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        told.hear(well(LEADER, role="slave"), well(FIRST, role="master"))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "10.0.0.1:6379: the settings call it the leader, but it is a replica" in caplog.messages[0]
    assert "10.0.0.1:6380 is not read: the settings call it a replica of 10.0.0.1:6379" in caplog.messages[1]


# From here on with real servers.


class Watched:
    """A monitor over real servers, running. `published` are the topologies that it has handed out."""

    def __init__(self, monitor: Monitor, published: list[Topology], servers: tuple[Server, ...]) -> None:
        self.monitor, self.published, self.servers = monitor, published, servers

    def readers(self) -> list[int]:
        return [server.index for server in self.monitor.topology.readers]

    async def until(self, holds: Callable[[], bool], what: str, within: float = 10.0) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, f"not within {within} s: {what}; topology {self.monitor.topology}"
            await asyncio.sleep(0.005)

    async def probed(self) -> None:
        """All servers have been probed with success."""
        await self.until(lambda: len(self.monitor.topology.offsets) == len(self.servers), "all are probed")


Story = Callable[[Watched], Awaitable[None]]


def watch(
    nodes: Sequence[EmbeddedServer | Server],
    story: Story,
    interval: float = 0.2,
    timeout: float = 0.3,
    on_leader_up: Callable[[], Awaitable[None]] | None = None,
) -> Watched:
    """Run a story beside a monitor of these servers."""
    named = tuple(
        node if isinstance(node, Server) else Server(index, "127.0.0.1", node.port, password=node.password)
        for index, node in enumerate(nodes)
    )
    published: list[Topology] = []
    watched = Watched(Monitor(named, published.append, interval, timeout, on_leader_up), published, named)

    async def run() -> None:
        running = asyncio.create_task(watched.monitor.run())
        try:
            await asyncio.wait_for(story(watched), 30)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])
        assert running.cancelled()

    asyncio.run(run())
    return watched


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
    assert [message for message in caplog.messages if "it is a leader itself" in message]


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


def test_servers_suspected_before_the_monitor_runs_are_probed_too(three: list[EmbeddedServer]) -> None:
    named = tuple(Server(index, "127.0.0.1", node.port) for index, node in enumerate(three))
    published: list[Topology] = []
    monitor = Monitor(named, published.append, 0.2, 0.3)
    monitor.suspect(named[0])
    monitor.suspect(named[1])
    assert (published[-1].leader_up, published[-1].readers) == (False, (named[2],))

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
