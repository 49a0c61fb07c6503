"""Connecting: TCP, unix sockets, refusals, time-outs, hanging up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import uvloop

from rproxy.dataplane.topology import Server
from rproxy.embedded import EmbeddedServer, free_port
from rproxy.service import descriptors
from rproxy.service.dialer import Dial, Dialer, _open, unheard
from tests.integration.certificates import papers


class Caller(asyncio.Protocol):
    """Records what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.changed = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self.when_made: Callable[[], None] = lambda: None
        self.refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.heard.append("made")
        self.changed.set()
        self.when_made()

    def dial_failed(self, reason: str, refused: bool = False) -> None:
        self.heard.append(reason)
        self.refused = refused
        self.changed.set()


async def dialled(server: Server, timeout: float = 5.0) -> Caller:
    """A caller that has heard how its attempt ended."""
    caller = Caller()
    Dialer(timeout).dial(server, caller)
    await asyncio.wait_for(caller.changed.wait(), 10)
    return caller


def test_a_server_that_is_stopped_still_has_a_host_that_acknowledges(run: Callable[..., float], leader: EmbeddedServer) -> None:
    async def scenario() -> float:
        caller = await dialled(Server(0, "127.0.0.1", leader.port))
        assert caller.transport is not None
        caller.transport.write(b"PING\r\n")
        await asyncio.sleep(0.05)
        found = unheard(caller.transport)
        caller.transport.abort()
        return found

    assert run(scenario()) == 0.0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_is_connected_without_delay_and_with_keepalive(leader: EmbeddedServer, host: str) -> None:
    async def scenario() -> tuple[list[str], list[int]]:
        caller = await dialled(Server(0, host, leader.port))
        assert caller.transport is not None
        connection = caller.transport.get_extra_info("socket")
        options = [
            connection.getsockopt(*option)
            for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        ]
        caller.transport.abort()
        return caller.heard, options

    assert asyncio.run(scenario()) == (["made"], [1, 1])


def test_a_unix_socket_is_connected(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        path = str(tmp_path / "s")
        server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), path)
        async with server:
            return (await dialled(Server(0, "", 0, path=path))).heard

    assert asyncio.run(scenario()) == ["made"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_closed_port_is_a_failure_with_its_reason(host: str) -> None:
    caller = asyncio.run(dialled(Server(0, host, free_port())))
    assert (caller.heard, caller.refused) == (["Connection refused"], True)


def test_a_name_that_does_not_exist_is_a_failure() -> None:
    heard = asyncio.run(dialled(Server(0, "no-such-host.invalid", 6379))).heard
    assert len(heard) == 1 and heard[0] != "made"


def test_a_missing_unix_socket_is_a_failure(tmp_path: Path) -> None:
    caller = asyncio.run(dialled(Server(0, "", 0, path=str(tmp_path / "none"))))
    assert (caller.heard, caller.refused) == (["No such file or directory"], True)


def test_a_port_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        held = []
        for _ in range(8):  # fills the backlog, so that further connects are neither accepted nor refused
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            held.append(client)
        caller = asyncio.run(dialled(Server(0, "127.0.0.1", port), timeout=0.2))
        for client in held:
            client.close()
    assert (caller.heard, caller.refused) == (["no answer in time"], False)


def test_after_hanging_up_nothing_more_is_heard() -> None:
    async def scenario() -> list[str]:
        caller = Caller()
        dialer = Dialer(5.0)
        attempt = cast(Dial, dialer.dial(Server(0, "127.0.0.1", free_port()), caller))
        dialer.hang_up(attempt)
        await asyncio.wait([attempt.task])
        return caller.heard

    assert asyncio.run(scenario()) == []


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., list[str]]:
    """Runs a scenario on each of the event loops."""
    return cast("Callable[..., list[str]]", request.param)


class Listening:
    """A server that accepts, under TLS where there is a folder for its papers."""

    def __init__(self, folder: Path | None) -> None:
        self.ca = ""
        self._context = None
        if folder is not None:
            made = papers(folder)
            self.ca = made.ca
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(*made.sign("good"))

    async def start(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return Server(0, "127.0.0.1", self._server.sockets[0].getsockname()[1], tls=self._context is not None, ca=self.ca)

    async def stop(self) -> None:
        await asyncio.sleep(0.1)  # for its ends of the connections to be closed too, of which nobody tells under TLS
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_time_out_behind_the_connection_in_the_same_loop_pass_changes_nothing(
    run: Callable[..., list[str]], tls: bool, tmp_path: Path
) -> None:
    async def scenario() -> list[str]:
        listening = Listening(tmp_path if tls else None)
        server = await listening.start()
        caller = Caller()
        caller.when_made = lambda: time.sleep(0.6)  # the process is stopped for longer than the time-out
        Dialer(0.5).dial(server, caller)
        await caller.changed.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)  # a failure would be heard now
        assert caller.transport is not None
        heard = [*caller.heard, "closing" if caller.transport.is_closing() else "open"]
        caller.transport.abort()
        await listening.stop()
        return heard

    assert run(scenario()) == ["made", "open"]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_connection_behind_the_time_out_in_the_same_loop_pass_is_closed(
    run: Callable[..., list[str]], tls: bool, tmp_path: Path
) -> None:
    async def scenario() -> list[str]:
        listening = Listening(tmp_path if tls else None)
        server = await listening.start()
        caller = Caller()
        dial = cast(Dial, Dialer(5.0).dial(server, caller))
        connected = dial.connection_made

        transports = []

        def made(transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            dial._time_out()
            connected(transport)

        dial.connection_made = made  # type: ignore[method-assign]
        await asyncio.wait([dial.task])
        heard = [*caller.heard, "closing" if transports[0].is_closing() else "open"]
        await listening.stop()
        return heard

    assert run(scenario()) == ["no answer in time", "closing"]


def test_an_attempt_that_has_been_made_is_not_hung_up_any_more(run: Callable[..., list[str]], leader: EmbeddedServer) -> None:
    async def scenario() -> list[str]:
        caller = Caller()
        dialer = Dialer(5.0)
        attempt = cast(Dial, dialer.dial(Server(0, "127.0.0.1", leader.port), caller))
        caller.when_made = lambda: dialer.hang_up(attempt)
        await asyncio.wait([attempt.task])
        assert caller.transport is not None
        heard = [*caller.heard, "closing" if caller.transport.is_closing() else "open"]
        caller.transport.abort()
        return heard

    assert run(scenario()) == ["made", "open"]


def test_a_failure_that_is_no_error_of_the_system_is_told_too(run: Callable[..., list[str]]) -> None:
    async def scenario() -> list[str]:
        return (await dialled(Server(0, f"{'a' * 70}.invalid", 6379))).heard

    (heard,) = run(scenario())
    assert heard.startswith("UnicodeError")


def test_a_server_is_connected_over_tls_only_where_its_certificate_is_right_and_files_are_read_again(tmp_path: Path) -> None:
    made = papers(tmp_path)
    signed = {"good": made.sign("good"), "other": made.sign("other", "elsewhere"), "old": made.sign("old", expired=True)}

    async def scenario() -> dict[str, str]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*signed["good"])
        listening = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
        heard = {}
        dialer = Dialer(5.0)

        async def dial(ca: str = "", cert: str = "") -> str:
            caller = Caller()
            dialer.dial(Server(0, "127.0.0.1", port, tls=True, ca=ca, cert=cert), caller)
            await asyncio.wait_for(caller.changed.wait(), 10)
            if caller.transport is not None:
                caller.transport.abort()
            return caller.heard[0]

        heard["good"] = await dial(ca=made.ca)
        heard["unknown authority"] = await dial()
        heard["no file"] = await dial(ca=made.ca, cert=str(tmp_path / "none"))
        for name in ("other", "old"):
            context.load_cert_chain(*signed[name])
            heard[name] = await dial(ca=made.ca)
        Path(made.ca).rename(tmp_path / "gone")
        heard["kept"] = await dial(ca=made.ca)
        dialer.reload_certificates()
        heard["gone"] = await dial(ca=made.ca)
        listening.close()
        return heard

    heard = asyncio.run(scenario())
    assert heard["good"] == "made"
    assert "unable to get local issuer" in heard["unknown authority"]
    assert "the file can't be read" in heard["no file"] and "the file can't be read" in heard["gone"]
    assert "mismatch" in heard["other"] and "has expired" in heard["old"] and "has expired" in heard["kept"]


@pytest.mark.parametrize("own", [errno.EMFILE, errno.EADDRNOTAVAIL])
def test_what_is_wanting_on_this_side_is_no_reason_against_the_server(
    own: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def lacking(*arguments: object) -> socket.socket:
        raise OSError(own, os.strerror(own))

    monkeypatch.setattr("rproxy.service.dialer._open", lacking)
    for _ in range(2):
        assert asyncio.run(dialled(Server(0, "127.0.0.1", 1))).heard == [""]
    assert "that is no fault of the server" in caplog.text


def test_no_connection_for_a_single_client_takes_the_last_descriptors(
    leader: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(descriptors, "for_leases", lambda: 3)
        server = Server(0, "127.0.0.1", leader.port)
        (await _open(server, lease=False, within=1.0)).close()
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            await _open(server, lease=True, within=1.0)

    asyncio.run(scenario())
