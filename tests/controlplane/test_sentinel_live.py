"""The monitor beside real Sentinels, Valkey's and, where it is installed, Redis's: who is found, and followed."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from rproxy.controlplane.nomination import NOBODY
from rproxy.controlplane.sentinel import Sentinels
from rproxy.dataplane.topology import Server
from rproxy.embedded import EmbeddedServer, free_port, wait_for
from tests.conftest import StartServer
from tests.controlplane.sentinels import Sentinel
from tests.controlplane.watching import Watched, watch

StartSentinel = Callable[..., Sentinel]


@pytest.fixture(params=["", "redis-server"], ids=["valkey", "redis"])
def three(request: pytest.FixtureRequest, start_server: StartServer) -> list[EmbeddedServer]:
    """A leader and two replicas that the test may break."""
    if request.param and not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    leader = start_server(binary=request.param)
    return [leader, *(start_server(of=leader, binary=request.param) for _ in range(2))]


@pytest.fixture
def start_sentinel() -> Iterator[StartSentinel]:
    with ExitStack() as sentinels:

        def start(leader: EmbeddedServer, replicas: int = 2, **options: object) -> Sentinel:
            sentinel = sentinels.enter_context(Sentinel(leader, **options))  # type: ignore[arg-type]
            if "service" not in options:
                sentinel.wait_for_replicas(replicas)
            return sentinel

        yield start


Story = Callable[[Watched], Awaitable[None]]


def beside(sentinels: Sequence[Sentinel | Server], story: Story, configured: Sequence[EmbeddedServer | Server] = ()) -> Watched:
    """Run a story beside a monitor that asks these Sentinels."""
    asked = [each if isinstance(each, Server) else Server(index, "127.0.0.1", each.port) for index, each in enumerate(sentinels)]
    return watch(configured, story, discovery="sentinel", sentinels=asked)


def ports(watched: Watched) -> tuple[int, set[int]]:
    """Of the leader that takes writes (0: none does), and of the readers."""
    topology = watched.monitor.topology
    leads = topology.settled and topology.leader_up
    return topology.leader.port if leads else 0, {server.port for server in topology.readers}


async def until_served(watched: Watched, leader: EmbeddedServer, *readers: EmbeddedServer) -> None:
    wanted = leader.port, {server.port for server in readers}
    await watched.until(lambda: ports(watched) == wanted, f"{leader} leads, and {readers} are read", within=20)


def test_without_any_server_in_the_settings_all_are_found(three: list[EmbeddedServer], start_sentinel: StartSentinel) -> None:
    sentinel = start_sentinel(three[0])

    async def story(watched: Watched) -> None:
        topology = watched.monitor.topology
        assert topology.leader == NOBODY and not topology.settled and not topology.leader_up
        await until_served(watched, *three)

    watched = beside([sentinel], story)
    assert watched.published[-1].leader.index != NOBODY.index
    assert all(topology.leader.port == three[0].port for topology in watched.published if topology.settled)


def test_configured_servers_keep_their_index_and_the_others_are_found(
    three: list[EmbeddedServer], start_sentinel: StartSentinel
) -> None:
    sentinel = start_sentinel(three[0])

    async def story(watched: Watched) -> None:
        await until_served(watched, *three)
        indices = {server.port: server.index for server in watched.monitor.topology.servers}
        assert (indices[three[2].port], indices[three[0].port]) == (0, 1) and indices[three[1].port] == 2

    beside([sentinel], story, configured=[three[2], three[0]])


def test_a_server_that_the_settings_name_in_another_way_is_no_second_one(
    three: list[EmbeddedServer], start_sentinel: StartSentinel
) -> None:
    sentinel = start_sentinel(three[0])
    configured = [Server(0, "localhost", three[0].port), Server(1, "", 0, path=str(three[1].path))]

    async def story(watched: Watched) -> None:
        await watched.until(lambda: watched.leads(0) and set(watched.readers()) == {1, 2}, "all three serve, each once")
        assert len(watched.monitor.topology.servers) == 3

    beside([sentinel], story, configured=configured)


def test_a_failover_by_command_is_followed(three: list[EmbeddedServer], start_sentinel: StartSentinel) -> None:
    sentinel = start_sentinel(three[0])

    async def story(watched: Watched) -> None:
        await until_served(watched, *three)
        sentinel.call("SENTINEL", "FAILOVER", "mymaster")
        await watched.until(lambda: ports(watched)[0] not in (0, three[0].port), "another one leads", within=20)
        leader = next(server for server in three if server.port == ports(watched)[0])
        await until_served(watched, leader, *(server for server in three if server is not leader))

    beside([sentinel], story)


def test_what_a_sentinel_tells_by_itself_is_heard_long_before_it_would_be_asked_again(
    three: list[EmbeddedServer], start_sentinel: StartSentinel
) -> None:
    sentinel = start_sentinel(three[0])
    told: list[int] = []

    def found(leader: Server, servers: tuple[Server, ...]) -> None:
        told.append(leader.port)

    async def story() -> None:
        asked = [Server(0, "127.0.0.1", sentinel.port)]
        running = asyncio.create_task(Sentinels(asked, "mymaster", (), 0.5, 3600.0, dict, lambda: False, found).run())
        await asyncio.to_thread(wait_for, lambda: b"psub=1" in sentinel.call("CLIENT", "LIST"), "it is listened to")  # type: ignore[operator]
        sentinel.call("SENTINEL", "FAILOVER", "mymaster")
        await asyncio.to_thread(wait_for, lambda: told[-1] != three[0].port, "another one leads")
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(story())


def test_a_killed_leader_is_replaced_and_returns_as_a_reader(three: list[EmbeddedServer], start_sentinel: StartSentinel) -> None:
    sentinels = [start_sentinel(three[0], quorum=2) for _ in range(3)]

    async def story(watched: Watched) -> None:
        await until_served(watched, *three)
        await asyncio.to_thread(wait_for, lambda: all(all_met(sentinel) for sentinel in sentinels), "the Sentinels have met")
        three[0].kill()
        await watched.until(lambda: ports(watched)[0] not in (0, three[0].port), "another one leads", within=25)
        leader = next(server for server in three if server.port == ports(watched)[0])
        await asyncio.to_thread(three[0].restart)
        await until_served(watched, leader, *(server for server in three if server is not leader))

    watched = beside(sentinels, story)
    leaders = [topology.leader.port for topology in watched.published if topology.settled]
    assert leaders == sorted(leaders, key=lambda port: port != three[0].port), "the old one never led again"


def all_met(sentinel: Sentinel) -> bool:
    rows = sentinel.call("SENTINEL", "SENTINELS", "mymaster")
    return isinstance(rows, list) and len(rows) == 2


def test_a_replica_that_comes_later_is_read_and_one_that_is_forgotten_is_not(
    start_server: StartServer, start_sentinel: StartSentinel
) -> None:
    leader = start_server()
    first = start_server(of=leader)
    sentinel = start_sentinel(leader, replicas=1)

    async def story(watched: Watched) -> None:
        await until_served(watched, leader, first)
        second = await asyncio.to_thread(start_server, of=leader)
        await until_served(watched, leader, first, second)
        first.kill()
        await until_served(watched, leader, second)
        assert len(watched.monitor.topology.servers) == 3
        sentinel.call("SENTINEL", "RESET", "mymaster")
        await watched.until(lambda: len(watched.monitor.topology.servers) == 2, "it is forgotten", within=20)
        await until_served(watched, leader, second)

    beside([sentinel], story)


def test_a_leader_that_the_sentinels_name_but_that_was_demoted_gets_no_writes(
    three: list[EmbeddedServer], start_sentinel: StartSentinel
) -> None:
    sentinel = start_sentinel(three[0])

    async def story(watched: Watched) -> None:
        await until_served(watched, *three)
        sentinel.process.send_signal(signal.SIGSTOP)
        three[1].call("REPLICAOF", "NO", "ONE")
        three[0].call("REPLICAOF", "127.0.0.1", three[1].port)
        await watched.until(lambda: not watched.monitor.topology.settled, "nobody leads")
        assert "which does not say that it leads" in watched.why(watched.monitor.topology.leader.index)
        sentinel.process.send_signal(signal.SIGCONT)

    beside([sentinel], story)


def test_a_sentinel_that_is_gone_is_no_reason_for_change_and_is_told(
    three: list[EmbeddedServer], start_sentinel: StartSentinel, caplog: pytest.LogCaptureFixture
) -> None:
    sentinel = start_sentinel(three[0])
    gone = Server(1, "127.0.0.1", free_port())

    async def story(watched: Watched) -> None:
        await until_served(watched, *three)
        sentinel.kill()
        await watched.until(lambda: any("no Sentinel tells" in message for message in caplog.messages), "it is told")
        assert ports(watched) == (three[0].port, {three[1].port, three[2].port})
        await asyncio.to_thread(sentinel.start)
        await watched.until(lambda: any("tells again" in record.message for record in caplog.records), "that it is back too")

    caplog.set_level("INFO", "rproxy.topology")
    beside([sentinel, gone], story)
    unreachable = [message for message in caplog.messages if message.startswith(f"sentinel {gone.name} ")]
    assert unreachable == [f"sentinel {gone.name} tells nothing: it is unreachable: connection refused"]


def test_an_unknown_name_is_told_and_another_sentinel_may_know_it(
    three: list[EmbeddedServer], start_sentinel: StartSentinel, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = start_sentinel(three[0], service="another")

    async def story(watched: Watched) -> None:
        await watched.until(lambda: any("no Sentinel tells" in message for message in caplog.messages), "nobody knows it")
        assert watched.monitor.topology.leader == NOBODY and not watched.monitor.topology.settled

    beside([stranger], story)
    assert f"sentinel 127.0.0.1:{stranger.port} tells nothing: the name 'mymaster' is unknown to it" in caplog.messages
    caplog.clear()
    knowing = start_sentinel(three[0])

    async def another(watched: Watched) -> None:
        await until_served(watched, *three)

    beside([stranger, knowing], another)


def test_a_server_that_is_no_sentinel_is_told(start_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    async def story(watched: Watched) -> None:
        await watched.until(lambda: any("no Sentinel tells" in message for message in caplog.messages), "it is told")

    server = start_server()
    beside([Server(0, "127.0.0.1", server.port)], story)
    assert any("it refuses: " in message and "SENTINEL" in message for message in caplog.messages)


def test_discovered_servers_are_asked_with_the_first_ones_password(
    start_server: StartServer, start_sentinel: StartSentinel
) -> None:
    leader = start_server(password="secret")
    replica = start_server(of=leader)
    sentinel = start_sentinel(leader, replicas=1)

    async def story(watched: Watched) -> None:
        await until_served(watched, leader, replica)
        assert all(server.password == "secret" for server in watched.monitor.topology.servers)
        assert len(watched.monitor.topology.offsets) == 2, "they have told"

    beside([sentinel], story, configured=[leader])


def test_another_sentinel_is_asked_where_the_settings_name_another(
    three: list[EmbeddedServer], start_sentinel: StartSentinel
) -> None:
    first, second = start_sentinel(three[0]), start_sentinel(three[0])

    async def story(watched: Watched) -> None:
        await until_served(watched, *three)
        other = [Server(0, "127.0.0.1", second.port)]
        watched.monitor.change((), 0.2, 0.5, budget=1.5, max_lag=10.0, max_lag_bytes=0, max_clock_skew=0.0, sentinels=other)
        first.kill()
        second.call("SENTINEL", "FAILOVER", "mymaster")
        await watched.until(lambda: ports(watched)[0] not in (0, three[0].port), "the promoted one leads", within=20)

    beside([first], story)
