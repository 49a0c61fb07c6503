"""Connections to the admin listeners: whoever holds them open and says nothing keeps no probe out."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from rproxy.admin import connection
from rproxy.embedded import free_port
from rproxy.urls import parse_listener
from tests.admin.asking import answers, ask
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually


def connect(url: str) -> socket.socket:
    listener = parse_listener(url)
    return socket.create_connection((listener.host, listener.port), timeout=20)


def raw(url: str, data: bytes) -> bytes:
    """What is answered until the connection is closed."""
    with connect(url) as asking, contextlib.suppress(ConnectionError):
        asking.sendall(data)
        heard = b""
        while piece := asking.recv(65536):
            heard += piece
    return heard


@contextlib.contextmanager
def held(url: str, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections, which send `data` and no more."""
    with contextlib.ExitStack() as stack:
        open_ = [stack.enter_context(connect(url)) for _ in range(count)]
        for one in open_:
            one.sendall(data)
        yield open_


@pytest.mark.parametrize("data", [b"", b"GET /livez HTTP/1.1\r\nHost: 127"], ids=["silent", "half a head"])
def test_probes_and_administrators_are_answered_whatever_strangers_hold_open(proxy: Proxy, admin: str, data: bytes) -> None:
    with held(admin, 2 * connection.MOST, data):
        for path in ("/livez", "/readyz", "/metrics", "/api/status"):
            assert ask(admin, path).status == 200


def test_who_sends_no_request_in_time_is_closed(proxy: Proxy, admin: str) -> None:
    with held(admin, 3, b"GET /livez HT") as silent:
        assert [one.recv(1) for one in silent] == [b""] * 3


def test_a_request_that_is_no_http_is_refused_with_400(proxy: Proxy, admin: str) -> None:
    reply = raw(admin, b"GET /livez\x00 HTTP/1.1\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 400 ") and b"X-Content-Type-Options: nosniff" in reply


@pytest.mark.parametrize("host", ["[", "a b", "127.0.0.1:99999", "user@127.0.0.1", "127.0.0.1/x", "127.0.0.1#x", "[::1"])
def test_a_host_that_is_none_is_refused_with_400(proxy: Proxy, admin: str, host: str) -> None:
    reply = raw(admin, f"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["/", "/livez", "/metrics", "/api/status", "/api/hot", "/nothing", "/static/main.js"])
def test_no_browser_may_guess_what_an_answer_is(proxy: Proxy, admin: str, path: str) -> None:
    reply = raw(admin, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert reply.lower().count(b"x-content-type-options: nosniff") == 1


def test_where_probes_ask_nothing_else_is_told(servers: Cluster) -> None:
    probes = f"tcp://127.0.0.1:{free_port()}"
    with rproxy(servers, "--admin.probes", probes):
        eventually(lambda: answers(probes), "it answers")
        assert ask(probes, "/livez").text == "ok\n"
        assert ask(probes, "/readyz").text == "[+]listening ok\n[+]leader ok\n[+]readers ok\n[+]serving ok\n"
        for path in ("/", "/metrics", "/api/status", "/api/config", "/api/hot", "/static/main.js"):
            assert ask(probes, path).status == 404
        assert ask(probes, "/api/pause", "POST").status == 404
        with held(probes, 2 * connection.MOST):
            assert ask(probes, "/livez").status == 200
