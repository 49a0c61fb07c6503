"""Where rproxy listens and how it reaches its servers: TCP and unix sockets, several at once."""

from __future__ import annotations

from pathlib import Path

from tests.integration.harness import rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, eventually, pack


def test_it_listens_on_tcp_and_on_a_unix_socket_at_once(servers: Cluster, tmp_path: Path) -> None:
    path = str(tmp_path / "rproxy.sock")
    with rproxy(servers, "-l", f"unix://{path}") as proxy, proxy.connect() as tcp, Wire(path) as unix:
        assert unix.ask("SET", "k", "v") == b"+OK\r\n"
        assert tcp.ask("GETDEL", "k") == b"$1\r\nv\r\n"


def test_the_socket_file_is_gone_when_it_has_ended(servers: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "rproxy.sock"
    with rproxy(servers, "-l", f"unix://{path}"):
        assert path.is_socket()
    assert not path.exists()


def test_a_socket_file_that_a_crash_left_behind_is_no_hindrance(servers: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "rproxy.sock"
    with rproxy(servers, "-l", f"unix://{path}") as crashed:
        crashed.process.kill()
        crashed.process.wait()
    assert path.is_socket()
    with rproxy(servers, "-l", f"unix://{path}"), Wire(str(path)) as wire:
        assert wire.ask("PING") == b"+PONG\r\n"


def test_it_reaches_servers_through_unix_sockets() -> None:
    with cluster() as servers:
        urls = [f"unix://{node.path}" for node in servers.nodes]
        with rproxy(servers, "--consistency", "eventual", urls=urls) as proxy, proxy.connect() as wire:
            assert wire.ask("SET", "k", "v") == b"+OK\r\n"
            eventually(lambda: wire.ask("GET", "k") == b"$1\r\nv\r\n", "the replicas have it")
            wire.send(pack("MULTI") + pack("INCR", "n") + pack("EXEC"))
            assert wire.frames(3)[2] == b"*1\r\n:1\r\n"
        assert servers.leader.calls("get") == 0


def test_servers_may_be_named_in_one_string(servers: Cluster) -> None:
    for separator in (",", ";", " , "):
        with rproxy(servers, "--consistency", "eventual", urls=[separator.join(servers.urls)]) as proxy, proxy.connect() as wire:
            assert wire.ask("SET", "k", "v") == b"+OK\r\n"
            servers.leader.forget()
            wire.ask("STRLEN", "k")
            assert servers.leader.calls("strlen") == 0


def test_listeners_of_one_rproxy_differ_in_what_they_take(servers: Cluster, tmp_path: Path) -> None:
    reads, asks = str(tmp_path / "reads.sock"), str(tmp_path / "asks.sock")
    flags = ("-l", f"unix://{reads}?read_only=true", "-l", f"unix://{asks}?auth=required&deny=keys", "--workers", "2")
    servers.leader.call("ACL", "SETUSER", "anna", "on", ">secret", "+@all", "~*", "&*")
    try:
        with rproxy(servers, *flags) as proxy, proxy.connect() as full, Wire(reads) as reader, Wire(asks) as asker:
            assert full.ask("SET", "k", "v") == b"+OK\r\n"
            assert reader.ask("GET", "k") == b"$1\r\nv\r\n"
            assert reader.ask("SET", "k", "w").startswith(b"-READONLY rproxy: ")
            assert reader.ask("MULTI") == b"+OK\r\n" and reader.ask("SET", "k", "w").startswith(b"-READONLY")
            assert reader.ask("EXEC").startswith(b"-EXECABORT")
            assert asker.ask("GET", "k").startswith(b"-NOAUTH")
            assert asker.ask("AUTH", "anna", "wrong").startswith(b"-WRONGPASS") and asker.ask("GET", "k").startswith(b"-NOAUTH")
            assert asker.ask("AUTH", "anna", "secret") == b"+OK\r\n"
            assert asker.ask("SET", "k", "x") == b"+OK\r\n" and asker.ask("KEYS", "*").startswith(b"-NOPERM rproxy: ")
            assert full.ask("GET", "k") == b"$1\r\nx\r\n"
    finally:
        servers.leader.call("ACL", "DELUSER", "anna")
