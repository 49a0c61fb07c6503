"""Who may ask."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from rproxy.admin.guard import Guard
from rproxy.embedded import free_port
from tests.admin.asking import answers, ask
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:9380", "rproxy.internal"])
def test_a_name_that_others_could_own_is_refused(proxy: Proxy, admin: str, host: str) -> None:
    assert ask(admin, "/api/status", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost:9380", "10.1.2.3", "[::1]:9380", "rproxy:9380"])
def test_an_address_and_a_name_without_a_dot_are_nobody_elses(proxy: Proxy, admin: str, host: str) -> None:
    assert ask(admin, "/livez", Host=host).status == 200


def test_a_page_of_another_site_is_refused_whatever_it_asks(proxy: Proxy, admin: str) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        for method in ("GET", "POST", "OPTIONS"):
            assert ask(admin, "/livez", method, Origin=origin).status == 403
    assert ask(admin, "/livez", Origin=admin.replace("tcp:", "http:")).status == 200


@pytest.fixture(scope="module")
def elsewhere(servers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The admin listener of an rproxy that has a token, at an address that is no loopback one."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text("s3cret\n")
    with rproxy(servers, "--admin.token_file", str(file), admin=f"tcp://{own_address()}:{(port := free_port())}"):
        admin = f"tcp://{own_address()}:{port}"
        eventually(lambda: answers(admin), "it answers")
        yield admin


def own_address() -> str:
    """An address of this machine at which others reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(asking.getsockname()[0])


def test_from_another_machine_a_change_needs_the_token(elsewhere: str) -> None:
    assert ask(elsewhere, "/livez").status == 200
    assert ask(elsewhere, "/livez", "POST").status == 401
    assert ask(elsewhere, "/livez", "POST", Authorization="Bearer wrong").status == 401
    assert ask(elsewhere, "/livez", "POST", Authorization="Bearer s3cret").status == 405


def test_who_has_the_token_may_ask_by_any_name(elsewhere: str) -> None:
    assert ask(elsewhere, "/livez", Host="rproxy.example").status == 421
    assert ask(elsewhere, "/livez", Host="rproxy.example", Authorization="bearer s3cret").status == 200


def test_the_token_is_shown_to_nobody(elsewhere: str) -> None:
    reply = ask(elsewhere, "/api/config")
    assert "s3cret" not in reply.text and {"key": "admin.token", "value": "***", "origin": "default"} in reply.json["settings"]


@pytest.mark.parametrize("path", ["/api/hot", "/api/clients", "/api/slow"])
def test_keys_and_clients_are_for_this_machine_and_for_those_with_the_token(
    elsewhere: str, proxy: Proxy, admin: str, path: str
) -> None:
    assert ask(elsewhere, path).status == 401
    assert ask(elsewhere, path, Authorization="Bearer s3cret").status == 200
    assert ask(admin, path).status == 200


@pytest.mark.parametrize(("owner", "method", "status"), [(True, "POST", 200), (False, "POST", 403), (False, "GET", 200)])
def test_another_user_of_this_machine_changes_nothing(owner: bool, method: str, status: int) -> None:
    told: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(200)

    async def send(message: Message) -> None:
        told.append(message.get("status", 0))

    async def receive() -> Message:
        return {}

    scope = {
        "type": "http", "method": method, "path": "/api/pause", "headers": [(b"host", b"127.0.0.1")], "server": ("127.0.0.1", 1),
        "state": {"crowded": False},
    }  # fmt: skip
    asyncio.run(Guard(app, lambda: "", lambda scope: owner)(scope, receive, send))
    assert told[0] == status
