"""A probe tells how a server is, and never raises for what a server does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from rproxy.controlplane.probe import LOST, MOST_REPLY, NEVER_SYNCED, Health, Prober, connection, failed, probe, read
from rproxy.dataplane.topology import Server
from rproxy.embedded import EmbeddedServer, free_port, wait_for
from tests.conftest import StartServer

TIMEOUT = 1.0


def named(server: EmbeddedServer, **more: object) -> Server:
    """The server as the settings would name it."""
    return Server(0, "127.0.0.1", server.port, **more)  # type: ignore[arg-type]


def ask(server: Server, timeout: float = TIMEOUT) -> Health:
    return asyncio.run(probe(server, timeout))


def test_a_leader_tells_its_role_and_version(cluster_of_three: list[EmbeddedServer]) -> None:
    leader = cluster_of_three[0]
    health = ask(named(leader))
    facts = leader.info("replication")
    assert (health.error, health.role, health.answered, health.refused) == ("", "master", True, False)
    assert health.version.split()[0] in ("valkey", "redis")
    assert health.replication_id == facts["master_replid"]
    assert health.run_id == leader.info("server")["run_id"]
    assert health.maxclients == int(leader.call("CONFIG", "GET", "maxclients")[1])
    assert 0 < health.latency < TIMEOUT
    assert not health.loading


def test_redis_is_called_redis_and_valkey_valkey() -> None:
    server = Server(0, "a", 1)
    assert read(server, {"role": "master", "redis_version": "7.0.15"}, 0.0).version == "redis 7.0.15"
    assert read(server, {"role": "master", "redis_version": "7.2.4", "valkey_version": "9.1.2"}, 0.0).version == "valkey 9.1.2"


def test_a_replica_tells_its_link_and_offset(cluster_of_three: list[EmbeddedServer]) -> None:
    leader, replica, _ = cluster_of_three
    health = ask(named(replica))
    assert (health.error, health.role, health.link_up, health.syncing) == ("", "slave", True, False)
    assert health.replication_id == leader.info("replication")["master_replid"]
    leader.call("SET", "color", "red")
    wait_for(lambda: ask(named(replica)).offset > health.offset, "the replica's offset grows with a write")


def test_a_promoted_replica_tells_whose_data_it_continues_and_from_where(start_server: StartServer) -> None:
    leader = start_server()
    replica = start_server(of=leader)
    leader.call("SET", "color", "red")
    wait_for(lambda: replica.call("GET", "color") == b"red", "the write has arrived")
    before = ask(named(replica))
    assert (before.former_id, before.left_at, before.source) == ("", 0, f"127.0.0.1:{leader.port}")
    leader.kill()
    replica.call("REPLICAOF", "NO", "ONE")
    after = ask(named(replica))
    assert (after.role, after.former_id, after.left_at, after.source) == ("master", before.replication_id, before.offset, "")
    assert after.replication_id not in ("", before.replication_id)


def test_a_replica_tells_when_it_heard_from_its_leader_last(cluster_of_three: list[EmbeddedServer]) -> None:
    leader, replica, _ = cluster_of_three
    assert ask(named(leader)).last_io == -1
    assert ask(named(replica)).last_io >= 0


def test_a_server_tells_the_time_within_the_round_trip(leader: EmbeddedServer) -> None:
    ahead = time.time() - time.monotonic()
    health = ask(named(leader))
    assert health.clock is not None
    assert abs(health.clock - ahead) <= health.clock_doubt + 0.001, "our clocks are the same but for their rounding"
    assert health.asked < health.heard and 0 < health.clock_doubt <= health.latency / 2 + 1e-6


def test_a_server_that_does_not_tell_the_time_in_info_is_asked_for_it(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those before 6.2, and no user needs the right to ask for it."""
    monkeypatch.setattr("rproxy.controlplane.probe.TIME", "not_told")
    server = start_server()
    server.call("ACL", "SETUSER", "bob", "on", ">pw", "+info")
    health = ask(named(server))
    assert health.clock == pytest.approx(time.time() - time.monotonic(), abs=1.0)
    health = ask(named(server, user="bob", password="pw"))
    assert (health.error, health.role, health.clock) == ("", "master", None)


def test_a_server_whose_user_may_not_ask_info_tells_its_role(cluster_of_three: list[EmbeddedServer]) -> None:
    for server, role in zip(cluster_of_three, ("master", "slave", "slave"), strict=True):
        server.call("ACL", "SETUSER", "low", "on", ">pw", "~*", "+@all", "-@dangerous")
        health = ask(named(server, user="low", password="pw"))
        assert (health.role, health.refused, health.replication_id) == (role, True, "")
        assert "no permissions to run the 'info' command" in health.error


def test_info_is_not_asked_again_where_it_was_refused(start_server: StartServer) -> None:
    server = start_server()
    server.call("ACL", "SETUSER", "low", "on", ">pw", "~*", "+@all", "-@dangerous")

    async def thrice() -> list[str]:
        prober = Prober(named(server, user="low", password="pw"), TIMEOUT)
        try:
            return [(await prober.probe()).role for _ in range(3)]
        finally:
            await prober.close()

    assert asyncio.run(thrice()) == ["master"] * 3
    assert "rejected_calls=1," in server.info("commandstats")["cmdstat_info"]


def test_a_server_that_has_renamed_info_tells_its_role(start_server: StartServer) -> None:
    server = start_server(arguments=["--rename-command", "INFO", "secret-info"])
    health = ask(named(server))
    assert (health.role, health.refused) == ("master", True) and "unknown command" in health.error


def test_a_server_that_tells_its_role_by_role_alone_is_asked_so(start_server: StartServer) -> None:
    server = start_server(arguments=["--rename-command", "HELLO", ""])
    server.call("ACL", "SETUSER", "low", "on", ">pw", "~*", "+@all", "-info")
    assert ask(named(server, user="low", password="pw")).role == "master"


def test_a_server_that_tells_nothing_has_no_role(start_server: StartServer) -> None:
    server = start_server(arguments=["--rename-command", "HELLO", ""])
    server.call("ACL", "SETUSER", "low", "on", ">pw", "~*", "+@all", "-info", "-role")
    health = ask(named(server, user="low", password="pw"))
    assert (health.role, health.refused) == ("", True)


def test_a_node_of_a_cluster_is_known_as_one(start_server: StartServer) -> None:
    assert not ask(named(start_server())).clustered
    assert ask(named(start_server(arguments=["--cluster-enabled", "yes"]))).clustered


def test_a_replica_without_a_leader_has_no_link_and_no_data(start_server: StartServer) -> None:
    replica = start_server(arguments=["--replicaof", "127.0.0.1", str(free_port())])
    health = ask(named(replica))
    assert (health.error, health.role, health.link_up, health.offset) == ("", "slave", False, NEVER_SYNCED)


def test_a_replica_that_has_lost_its_leader_still_tells_what_it_has(start_server: StartServer) -> None:
    leader = start_server()
    replica = start_server(of=leader)
    leader.call("SET", "color", "red")
    wait_for(lambda: replica.call("GET", "color") == b"red", "the write has arrived")
    leader.kill()
    wait_for(lambda: not ask(named(replica)).link_up, "the replica has noticed")
    assert ask(named(replica)).offset > NEVER_SYNCED


def test_a_copying_replica_says_so(start_server: StartServer) -> None:
    leader = start_server(arguments=["--rdb-key-save-delay", "10000"])  # microseconds
    leader.call("MSET", *(word for number in range(500) for word in (f"key{number}", "value")))
    replica = start_server(arguments=["--replicaof", "127.0.0.1", str(leader.port)])
    wait_for(lambda: ask(named(replica)).syncing, "the copy is on its way")
    assert not ask(named(replica)).link_up


def test_a_server_that_loads_its_data_says_so(start_server: StartServer) -> None:
    slow = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]  # microseconds, bytes
    server = start_server(arguments=["--dbfilename", "data.rdb", *slow])
    server.call("MSET", *(word for number in range(2000) for word in (f"key{number}", "value")))
    server.call("SAVE")
    starting = threading.Thread(target=server.restart)
    starting.start()
    try:
        wait_for(lambda: ask(named(server)).loading, "it loads")
    finally:
        starting.join()
    assert not ask(named(server)).loading


def test_a_password_and_a_user_are_used(start_server: StartServer) -> None:
    server = start_server(password="secret")
    server.call("ACL", "SETUSER", "bob", "on", ">pw", "+info")
    assert ask(named(server, password="secret")).error == ""
    assert ask(named(server, user="bob", password="pw")).error == ""


@pytest.mark.parametrize(
    ("credentials", "words", "role"),
    [
        ({}, "Authentication required", ""),
        ({"password": "wrong"}, "invalid username-password pair", ""),
        ({"user": "eve", "password": "pw"}, "ermission", "master"),
    ],
)
def test_a_server_that_refuses_to_tell_has_answered(
    start_server: StartServer, credentials: dict[str, str], words: str, role: str
) -> None:
    server = start_server(password="secret")
    server.call("ACL", "SETUSER", "eve", "on", ">pw", "+get")
    health = ask(named(server, **credentials))
    assert words in health.error and health.error.startswith("it refuses: ")
    assert "secret" not in health.error and "wrong" not in health.error
    assert (health.answered, health.refused, health.role) == (True, True, role)


def test_a_server_that_is_full_has_not_answered(start_server: StartServer) -> None:
    server = start_server(arguments=["--maxclients", "1"])
    with contextlib.ExitStack() as connections:

        def is_the_only_one() -> bool:
            """Earlier connections, of the server's start, may still count."""
            only = connections.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            only.sendall(b"PING\r\n")
            return only.recv(100) == b"+PONG\r\n"

        wait_for(is_the_only_one, "the server's only place is taken")
        health = ask(named(server))
    assert health.error and not health.answered, "it says `max number of clients reached` and closes"


def test_a_closed_port_is_named(start_server: StartServer) -> None:
    health = ask(Server(0, "127.0.0.1", free_port()))
    assert (health.error, health.answered, health.role) == ("connection refused", False, "")
    assert ask(Server(0, "localhost", free_port())).error == "connection refused"


def test_an_unknown_name_is_named() -> None:
    assert "name is not found" in ask(Server(0, "no-such-host.invalid", 6379), timeout=5.0).error


def test_a_silent_server_costs_no_more_than_the_time_out(start_server: StartServer) -> None:
    server = start_server()
    server.stop()
    health = ask(named(server), timeout=0.1)
    assert (health.error, health.answered) == ("nothing heard for 0.1 s", False)
    server.cont()
    assert ask(named(server)).error == ""


def test_a_probe_over_a_new_connection_falls_back_to_the_last_one(leader: EmbeddedServer) -> None:
    async def scenario() -> list[Health]:
        prober = Prober(named(leader), TIMEOUT)
        found = [await prober.probe(), await prober.probe_anew()]
        first = prober._connection
        prober.server = Server(0, "127.0.0.1", free_port())
        found.append(await prober.probe_anew())
        assert prober._connection is first, "no other could be had"
        await prober.close()
        return found

    assert [health.error for health in asyncio.run(scenario())] == ["", "", ""]


def test_unix_sockets_are_probed_by_path(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    assert ask(Server(0, "", 0, path=str(server.path))).role == "master"
    assert ask(Server(0, "", 0, path=str(tmp_path / "none"))).error == "no such file or directory"


def test_tls_is_spoken_to_a_server_that_wants_it(start_server: StartServer) -> None:
    health = ask(named(start_server(), tls=True))
    assert health.error and not health.answered, "a server without TLS can't answer its hello"


def answer_once(listener: socket.socket, reply: bytes) -> None:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        while connection.recv(4096):
            connection.sendall(reply)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "rotocol"),
        (b":1\r\n", "not text"),
        (b"$12\r\nrole:queen\r\n\r\n", "queen"),
        (b"$-1\r\n", "not text"),
        (b"$4\r\nabcd\r\n", "no role"),
    ],
)
def test_nonsense_is_an_error(reply: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, reply * 4))
        thread.start()
        health = ask(Server(0, "127.0.0.1", listener.getsockname()[1]))
        thread.join()
    assert words in health.error and health.role == ""


def test_a_reply_that_never_ends_is_given_up_before_it_fills_the_memory() -> None:
    sent = 0

    def flood(listener: socket.socket) -> None:
        nonlocal sent
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.recv(4096)
            client.sendall(b"$4000000000\r\n")
            while True:
                sent += client.send(b"x" * 65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=flood, args=(listener,))
        thread.start()
        health = ask(Server(0, "127.0.0.1", listener.getsockname()[1]), timeout=30.0)
        thread.join()
    assert health.error == "its reply has no end"
    assert sent < 4 * MOST_REPLY


def test_every_failure_has_words() -> None:
    server = Server(0, "a", 1)
    for problem in (OSError(), OSError(5, "x"), ConnectionResetError(104, "x"), TimeoutError(), ValueError("odd")):
        assert failed(server, problem, 0.5).error


def test_no_failure_shows_objects_of_the_event_loop() -> None:
    problem = RuntimeError("unable to perform operation on <TCPTransport closed=True reading=False 0x55>; the handler is closed")
    assert failed(Server(0, "a", 1), problem, 0.5).error == "connection closed"


def using(server: Server, story: Callable[[Prober], object], timeout: float = TIMEOUT) -> None:
    """Run a story with a prober, which is closed after it."""

    async def run() -> None:
        prober = Prober(server, timeout)
        try:
            await story(prober)  # type: ignore[misc]
        finally:
            await prober.close()

    asyncio.run(run())


def test_a_prober_keeps_its_connection(start_server: StartServer) -> None:
    server = start_server()

    async def story(prober: Prober) -> None:
        await prober.probe()
        before = int(server.info("stats")["total_connections_received"])
        for _ in range(5):
            assert (await prober.probe()).error == ""
        assert int(server.info("stats")["total_connections_received"]) == before + 1  # our own look

    using(named(server), story)


def test_a_prober_follows_a_server_through_death_and_return(start_server: StartServer) -> None:
    server = start_server()

    async def story(prober: Prober) -> None:
        first = await prober.probe()
        server.kill()
        assert not (await prober.probe()).answered
        assert (await prober.probe()).error == "connection refused"
        await asyncio.to_thread(server.restart)
        second = await prober.probe()
        assert second.error == "" and second.run_id != first.run_id

    using(named(server), story)


def test_a_prober_does_not_take_an_old_answer_for_a_new_one(start_server: StartServer) -> None:
    server = start_server()

    async def story(prober: Prober) -> None:
        await prober.probe()
        server.stop()
        assert (await prober.probe()).error == "nothing heard for 0.2 s"
        server.cont()
        server.call("CONFIG", "SET", "maxmemory", "100mb")
        health = await prober.probe()
        assert (health.error, health.role, health.version.split()[0]) == ("", "master", health.version.split()[0])

    using(named(server), story, timeout=0.2)


def test_what_uvloop_says_of_a_connection_closed_a_moment_ago_counts_as_lost(leader: EmbeddedServer) -> None:
    async def write() -> None:
        upstream = connection(Server(0, "127.0.0.1", leader.port))
        await upstream.connect()  # type: ignore[no-untyped-call]
        assert upstream._writer is not None
        upstream._writer.transport.abort()
        with pytest.raises(LOST):
            await upstream.send_command("PING")

    uvloop.run(write())


def test_a_cancelled_probe_closes_its_connection(start_server: StartServer) -> None:
    server = start_server()

    async def story(prober: Prober) -> None:
        await prober.probe()
        server.stop()
        task = asyncio.create_task(prober.probe())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.cont()
        await asyncio.to_thread(wait_for, lambda: server.info("clients")["connected_clients"] == "1", "only our own look is left")

    using(named(server), story)


@pytest.mark.parametrize(
    ("problem", "unasked"),
    [
        (OSError(errno.EMFILE, ""), True),
        (OSError(errno.EADDRNOTAVAIL, ""), True),
        (OSError(errno.ECONNREFUSED, ""), False),
        (TimeoutError(), False),
    ],
)
def test_it_is_known_whether_a_server_could_not_be_asked_or_did_not_answer(problem: OSError, unasked: bool) -> None:
    wrapped = RedisConnectionError("redis-py's own words")
    wrapped.__cause__ = problem
    assert failed(Server(0, "127.0.0.1", 1), wrapped, 0.5).unasked is unasked
