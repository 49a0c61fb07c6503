"""Passwords that come from a file or a command: real files, real commands."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rproxy.controlplane import credentials
from rproxy.controlplane.credentials import Credential, CredentialError, Credentials, read
from rproxy.dataplane.topology import Server


def server(file: Path | str = "", command: str = "", expires: float = 0.0, user: str = "") -> Server:
    return Server(0, "h", 6379, user=user, password_file=str(file), password_command=command, expires=expires)


def printing(code: str) -> str:
    """A command that runs this Python."""
    return shlex.join([sys.executable, "-c", code])


def counting(path: Path) -> str:
    """A command that prints how often it has been run."""
    return printing(f"p = open({str(path)!r}, 'a+'); p.write('x'); p.flush(); p.seek(0); print('pw%d' % len(p.read()))")


def run(scenario: Callable[[Credentials], Awaitable[None]]) -> None:
    async def scene() -> None:
        await scenario(Credentials())

    asyncio.run(scene())


async def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def test_a_text_is_a_password() -> None:
    assert read("secret\n") == Credential("secret")


def test_json_may_tell_the_user_and_the_end_too() -> None:
    assert read('{"password": "p", "user": "u", "expires": 1700000000}') == Credential("p", "u", 1700000000.0)
    assert read('{"password": "p", "expires": "1700000000"}') == Credential("p", "", 1700000000.0)
    assert read('{"password": "p", "expires": "2023-11-14T22:13:20+00:00"}') == Credential("p", "", 1700000000.0)
    assert read('{"password": "p"}') == Credential("p")


@pytest.mark.parametrize(
    "text",
    ["", "\n", "two\nlines", "{nothing", '{"user": "u"}', '{"password": 7}', '{"password": ""}', '{"password": "sesame", "expires": true}',
     '{"password": "sesame", "expires": "soon"}', '{"password": "sesame", "user": 1}'],
)  # fmt: skip
def test_what_is_no_password_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(CredentialError) as found:
        read(text)
    assert "sesame" not in str(found.value) and "two" not in str(found.value)


def test_a_server_without_either_has_what_its_url_holds() -> None:
    assert Credentials().login(Server(0, "h", 1, user="u", password="p")) == ("u", "p")


def test_a_file_is_read_before_each_connection(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one\n")

    async def scenario(logins: Credentials) -> None:
        it = server(path, user="u")
        assert logins.login(it) == ("u", "")
        await logins.renew(it)
        assert logins.login(it) == ("u", "one")
        path.write_text("two\n")
        await logins.renew(it)
        assert logins.login(it) == ("u", "two")

    run(scenario)


def test_a_file_is_looked_at_again_and_who_holds_connections_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "FILE_INTERVAL", 0.05)
    path = tmp_path / "password"
    path.write_text("one")

    async def scenario(logins: Credentials) -> None:
        told: list[tuple[str, str]] = []
        it = server(path)
        listener = logins.listen(lambda: told.append(logins.login(it)))
        await logins.renew(it)
        path.write_text("two")
        await until(lambda: told == [("", "two")], "told once")
        del listener
        path.write_text("three")
        await until(lambda: logins.login(it) == ("", "three"), "read again")
        assert told == [("", "two")]

    run(scenario)


def test_a_command_says_the_user_too() -> None:
    async def scenario(logins: Credentials) -> None:
        it = server(command=printing(f"print({json.dumps(json.dumps({'password': 'p', 'user': 'token'}))})"), user="u")
        await logins.renew(it)
        assert logins.login(it) == ("token", "p")

    run(scenario)


def test_what_a_command_printed_serves_all_connections_for_a_while(tmp_path: Path) -> None:
    async def scenario(logins: Credentials) -> None:
        command = counting(tmp_path / "runs")
        one, two = server(command=command), Server(1, "other", 6379, password_command=command)
        await asyncio.gather(logins.renew(one), logins.renew(two), logins.renew(one))
        await logins.renew(two)
        assert logins.login(one) == logins.login(two) == ("", "pw1")

    run(scenario)


def test_a_command_is_run_again_before_its_password_expires(tmp_path: Path) -> None:
    async def scenario(logins: Credentials) -> None:
        told: list[int] = []
        it = server(command=counting(tmp_path / "runs"), expires=1.5)
        listener = logins.listen(lambda: told.append(1))
        await logins.renew(it)
        began = time.monotonic()
        await until(lambda: logins.login(it) == ("", "pw2"), "another password")
        assert time.monotonic() - began < 1.5 and told == [1]
        assert listener

    run(scenario)


def test_a_command_is_run_again_for_the_next_connection_when_a_server_refuses_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "RETRY", 0.0)

    async def scenario(logins: Credentials) -> None:
        it = server(command=counting(tmp_path / "runs"), expires=3600.0)
        await logins.renew(it)
        await logins.renew(it)
        logins.refused(it)
        await logins.renew(it)
        assert logins.login(it) == ("", "pw2")

    run(scenario)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (printing("import sys; sys.exit('no session: log in first')"), "exit code 1: no session: log in first"),
        (printing("print('a'); print('b')"), "more than one line"),
        (printing("print()"), "no password"),
        ("/nonexistent/program", "No such file"),
    ],
)
def test_a_command_that_fails_is_said_once_and_asked_again_after_a_pause(
    command: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(logins: Credentials) -> None:
        for _ in range(3):
            with pytest.raises(CredentialError, match="password_command"):
                await logins.renew(server(command=command))

    run(scenario)
    assert [said in message for message in caplog.messages] == [True]


def test_a_command_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(credentials, "COMMAND_TIMEOUT", 0.2)

    async def scenario(logins: Credentials) -> None:
        with pytest.raises(CredentialError, match="has not ended after 0.2 s"):
            await logins.renew(server(command=printing("import time; time.sleep(60)")))

    run(scenario)


def test_the_last_password_is_tried_on_where_no_newer_one_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(credentials, "RETRY", 0.0)
    path = tmp_path / "password"
    path.write_text("one")

    async def scenario(logins: Credentials) -> None:
        it = server(path)
        await logins.renew(it)
        path.unlink()
        await logins.renew(it)
        assert logins.login(it) == ("", "one")
        path.write_text("two")
        await logins.renew(it)
        assert logins.login(it) == ("", "two")

    run(scenario)
    assert "No such file" in caplog.text


def test_a_source_that_no_server_has_any_more_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "FILE_INTERVAL", 0.02)
    path = tmp_path / "password"
    path.write_text("one")

    async def scenario(logins: Credentials) -> None:
        it = server(path)
        await logins.renew(it)
        before = len(asyncio.all_tasks())
        logins.keep([])
        await until(lambda: len(asyncio.all_tasks()) < before, "nobody reads it")
        logins.keep([it])
        await logins.renew(it)
        assert logins.login(it) == ("", "one")

    run(scenario)
