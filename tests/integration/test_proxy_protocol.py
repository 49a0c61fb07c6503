"""A listener behind load balancers that speak the PROXY protocol: clients have their own addresses, and nobody else gets in."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from rproxy.embedded import free_port
from tests.integration.certificates import Papers, papers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, eventually, pack

HEADER = b"PROXY TCP4 203.0.113.5 192.0.2.4 5555 6379\r\n"


class Setup(NamedTuple):
    """Ports of listeners that want a header: `plain`, one under TLS, and one that believes no address of this machine."""

    proxy: Proxy
    papers: Papers
    plain: int
    encrypted: int
    elsewhere: int

    def refused(self, port: int, data: bytes, why: str) -> None:
        """Who sends this is closed without a word, and the log says why. It tells the first of a second alone."""

        def said() -> bool:
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(data)
                try:
                    assert client.recv(100) == b""
                except ConnectionResetError:
                    pass
            return why in self.proxy.log_path.read_text()

        eventually(said, f"the log says that {why}", pause=0.3)


@pytest.fixture(scope="module", params=["1", "2"], ids=["alone", "workers"])
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, started: Cluster) -> Iterator[Setup]:
    made = papers(tmp_path_factory.mktemp("proxy-protocol"))
    cert, key = made.sign("listener")
    ports = [free_port() for _ in range(3)]
    listen = (
        f"tcp://127.0.0.1:{ports[0]}?proxy=required",
        f"tls://127.0.0.1:{ports[1]}?proxy=required",
        f"tcp://127.0.0.1:{ports[2]}?proxy=required&proxy_from=10.0.0.0/8",
    )
    flags = [word for url in listen for word in ("-l", url)]
    with rproxy(started, *flags, "--tls.cert", cert, "--tls.key", key, "--workers", request.param) as proxy:
        yield Setup(proxy, made, *ports)


def test_a_client_has_its_own_address(setup: Setup) -> None:
    with Wire(("127.0.0.1", setup.plain)) as wire:
        wire.send(HEADER + pack("CLIENT", "INFO") + pack("SET", "k", "v"))
        told, done = wire.frames(2)
    assert b" addr=203.0.113.5:5555 laddr=192.0.2.4:6379 " in told
    assert done == b"+OK\r\n"


def test_a_client_has_its_own_address_under_tls_too(setup: Setup) -> None:
    wire = Wire(("127.0.0.1", setup.encrypted))
    wire.socket.sendall(HEADER)
    wire.socket = setup.papers.client().wrap_socket(wire.socket, server_hostname="localhost")
    assert isinstance(wire.socket, ssl.SSLSocket)
    with wire:
        assert b" addr=203.0.113.5:5555 laddr=192.0.2.4:6379 " in wire.ask("CLIENT", "INFO")


def test_a_load_balancer_that_connects_for_itself_has_its_own_address(setup: Setup) -> None:
    with Wire(("127.0.0.1", setup.plain)) as wire:
        wire.send(b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" + pack("CLIENT", "INFO"))
        assert b" addr=127.0.0.1:" in wire.frame()


def test_a_client_can_be_closed_by_its_own_address(setup: Setup) -> None:
    with Wire(("127.0.0.1", setup.plain)) as wire, setup.proxy.connect() as other:
        wire.send(HEADER.replace(b"5555", b"7777") + pack("PING"))
        assert wire.frame() == b"+PONG\r\n"
        assert other.ask("CLIENT", "KILL", "ADDR", "203.0.113.5:7777") == b":1\r\n"
        with pytest.raises((EOFError, ConnectionError)):
            wire.ask("PING")


def test_who_sends_no_header_is_not_served_and_the_log_says_so(setup: Setup) -> None:
    setup.refused(setup.plain, pack("SET", "forbidden", "v"), "it does not begin with a header of the PROXY protocol")
    with setup.proxy.connect() as wire:
        assert wire.ask("EXISTS", "forbidden") == b":0\r\n"


def test_who_may_not_send_a_header_is_not_served_and_the_log_says_so(setup: Setup) -> None:
    setup.refused(setup.elsewhere, HEADER + pack("PING"), "its address is not in proxy_from of the listener")


def test_a_health_check_that_sends_nothing_is_not_logged(setup: Setup) -> None:
    before = setup.proxy.log_path.read_text().count("not served")
    for _ in range(20):
        socket.create_connection(("127.0.0.1", setup.plain), 10).close()
    with Wire(("127.0.0.1", setup.plain)) as wire:
        wire.send(HEADER + pack("PING"))
        assert wire.frame() == b"+PONG\r\n"
    assert setup.proxy.log_path.read_text().count("not served") == before


def test_a_listener_beside_wants_no_header(setup: Setup) -> None:
    with setup.proxy.connect() as wire:
        assert wire.ask("PING") == b"+PONG\r\n"
        assert wire.ask("PROXY", "TCP4").startswith(b"-ERR")
