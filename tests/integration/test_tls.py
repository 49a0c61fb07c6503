"""TLS: clients of `tls://` listeners, servers with `rediss://`, and whoever speaks something else than he should."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from rproxy.embedded import free_port
from tests.integration.certificates import Papers, Signed, papers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, Node
from tests.integration.wire import Wire, eventually, pack

MB = 2**20


class Setup(NamedTuple):
    """rproxy between clients and servers that all speak TLS and show certificates, with a plain listener beside."""

    papers: Papers
    servers: Cluster
    proxy: Proxy
    port: int
    client: Signed

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}?ssl_ca_certs={self.papers.ca}&ssl_certfile={self.client[0]}&ssl_keyfile={self.client[1]}"

    def wire(self) -> Wire:
        """A client of the TLS listener that shows its certificate."""
        wire = Wire(("127.0.0.1", self.port))
        wire.socket = self.papers.client(self.client).wrap_socket(wire.socket, server_hostname="localhost")
        return wire

    def logged(self, text: str) -> None:
        eventually(lambda: text in self.proxy.log_path.read_text(), f"the log says {text}")


@pytest.fixture(scope="module", params=["1", "2"], ids=["alone", "workers"])
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    made = papers(tmp_path_factory.mktemp("tls"))
    cert, key = made.sign("server")
    shown, client = made.sign("proxy-to-server", "rproxy"), made.sign("client", "client")
    listening = made.sign("listener")
    binary = shutil.which("redis-server") or pytest.skip("a Redis with TLS comes from Debian")
    ports = [free_port(), free_port()]

    def arguments(port: int) -> tuple[str, ...]:
        return ("--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", made.ca)

    with (
        Node(arguments=arguments(ports[0]), binary=binary) as leader,
        Node(of=leader, arguments=arguments(ports[1]), binary=binary) as replica,
    ):
        port = free_port()
        flags = [
            *("-l", f"tls://127.0.0.1:{port}", "--tls.cert", listening[0], "--tls.key", listening[1], "--tls.client_ca", made.ca),
            *("--tls.server_ca", made.ca, "--tls.server_cert", shown[0], "--tls.server_key", shown[1]),
            *("--workers", request.param),
        ]
        servers = Cluster(leader, [replica])
        urls = [f"rediss://localhost:{port}" for port in ports]
        with rproxy(servers, *flags, urls=urls) as proxy:
            yield Setup(made, servers, proxy, port, client)


def test_redis_py_reads_and_writes_over_tls_from_end_to_end(setup: Setup) -> None:
    with redis.Redis.from_url(setup.url) as client:
        client.set("k", "v")
        assert client.get("k") == b"v"
        assert client.pipeline().incr("n").get("k").execute() == [1, b"v"]


def test_large_values_pass_whole_also_to_a_client_that_reads_slowly(setup: Setup) -> None:
    value = os.urandom(MB) * 64
    with setup.wire() as wire:
        wire.socket.settimeout(60)
        wire.send(pack("SET", "large", value))
        assert wire.frames(1) == [b"+OK\r\n"]
        wire.send(pack("GET", "large") + pack("PING"))
        eventually(lambda: setup.proxy.answers(), "others are served while the value waits")
        assert wire.frames(2) == [b"$%d\r\n%s\r\n" % (len(value), value), b"+PONG\r\n"]
        assert wire.ask("DEL", "large") == b":1\r\n"


def test_replies_keep_their_order_where_the_socket_is_full_again_and_again(setup: Setup) -> None:
    piece = os.urandom(300_000)
    with setup.wire() as wire:
        assert wire.ask("SET", "piece", piece) == b"+OK\r\n"
        wire.send(b"".join(pack("ECHO", n) + pack("GET", "piece") for n in range(60)))
        for n in range(60):
            assert wire.frames(2) == [b"$%d\r\n%d\r\n" % (len(str(n)), n), b"$300000\r\n%s\r\n" % piece]


def test_openssl_is_served_and_its_half_closed_connection_ends(setup: Setup) -> None:
    command = [
        "openssl",
        "s_client",
        "-quiet",
        "-no_ign_eof",
        "-verify_return_error",
        "-connect",
        f"127.0.0.1:{setup.port}",
        "-CAfile",
        setup.papers.ca,
    ]
    command += ["-cert", setup.client[0], "-key", setup.client[1]]
    talk = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert talk.stdin is not None and talk.stdout is not None
    talk.stdin.write(b"PING\r\n")
    talk.stdin.flush()
    assert talk.stdout.readline() == b"+PONG\r\n"
    talk.stdin.close()
    assert talk.wait(10) == 0
    talk.stdout.close()
    assert "eof_received" not in setup.proxy.log()


def test_a_client_that_says_it_sends_no_more_is_told_the_same_and_closed(setup: Setup) -> None:
    with setup.wire() as wire:
        assert wire.ask("PING") == b"+PONG\r\n"
        assert isinstance(wire.socket, ssl.SSLSocket)
        wire.socket = wire.socket.unwrap()  # waits for the other side's word
        assert wire.socket.recv(1) == b""
    assert "eof_received" not in setup.proxy.log()


def test_a_client_without_a_certificate_is_not_served_and_the_log_says_so(setup: Setup) -> None:
    with socket.create_connection(("127.0.0.1", setup.port), 10) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        with setup.papers.client().wrap_socket(plain, server_hostname="localhost") as encrypted:
            encrypted.sendall(pack("PING"))
            encrypted.recv(1)  # with TLS 1.3 a client hears of it only now
            raise ConnectionError
    setup.logged("is not served: it shows no certificate")


def test_a_client_that_speaks_plain_to_a_tls_listener_is_not_served_and_the_log_says_so(setup: Setup) -> None:
    eventually(lambda: speaks_plain(setup), "the log says that it speaks no TLS", pause=0.3)


def speaks_plain(setup: Setup) -> bool:
    """The log tells the first of a second alone."""
    with socket.create_connection(("127.0.0.1", setup.port), 10) as plain:
        plain.sendall(pack("PING"))
        while plain.recv(1000):
            pass
    return "is not served: it speaks no TLS" in setup.proxy.log_path.read_text()


def test_the_status_is_told_over_tls_too(setup: Setup) -> None:
    from rproxy import status

    assert status.ask(status.address_of(setup.url), b"STATUS")["settled"]


def test_an_expired_certificate_of_a_server_is_not_accepted(setup: Setup) -> None:
    cert, key = setup.papers.sign("expired", expired=True)
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", setup.papers.ca)
    with Node(arguments=(*options, "--tls-auth-clients", "no"), binary=setup.servers.leader.binary):
        command = ["check", "--connect", "--tls.server_ca", setup.papers.ca, "-s", f"rediss://localhost:{port}"]
        done = subprocess.run([sys.executable, "-m", "rproxy", *command], capture_output=True, text=True)
    assert done.returncode == 3 and "certificate has expired" in done.stdout


def test_a_reload_shows_new_clients_a_new_certificate_and_leaves_the_others(setup: Setup) -> None:
    def shown() -> str:
        with setup.wire() as wire:
            assert isinstance(wire.socket, ssl.SSLSocket)
            return str((wire.socket.getpeercert() or {})["serialNumber"])

    with setup.wire() as old:
        before = shown()
        setup.papers.sign("listener")
        assert shown() == before
        setup.proxy.signal(signal.SIGHUP)
        eventually(lambda: shown() != before, "the new certificate is shown")
        assert old.ask("PING") == b"+PONG\r\n"
        Path(setup.papers.folder / "listener.pem").write_text("no certificate")
        setup.proxy.signal(signal.SIGHUP)
        setup.logged("the settings stay as they were: tls.cert")
        assert shown() != before
        setup.papers.sign("listener")
