"""Settings whose values stand in files, as container engines and systemd hand over secrets: RPROXY_SERVERS_FILE."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.cli import main
from rproxy.config import load, load_with_places
from rproxy.errors import SettingsError
from rproxy.urls import masked

URLS = "redis://:s3cret@10.0.0.1, redis://:s3cret@10.0.0.2"


def test_a_variable_that_ends_in_file_names_the_file_that_holds_the_value(tmp_path: Path) -> None:
    file = tmp_path / "servers"
    file.write_text(f"{URLS}\n")
    loaded = load_with_places(None, {"RPROXY_SERVERS_FILE": str(file)}, {})
    assert [server.password for server in loaded.settings.servers] == ["s3cret", "s3cret"]
    assert loaded.places == {"servers": f"{file}, by variable RPROXY_SERVERS_FILE"}


def test_a_file_may_hold_one_url_in_each_line(tmp_path: Path) -> None:
    (tmp_path / "servers").write_text("redis://a\nredis://b\n\n")
    settings = load(None, {"RPROXY_SERVERS_FILE": str(tmp_path / "servers")}, {})
    assert [server.host for server in settings.servers] == ["a", "b"]


def test_what_is_wrong_in_such_a_file_is_said_without_the_secret(tmp_path: Path) -> None:
    file = tmp_path / "servers"
    file.write_text("redis://:s3cret@a:99999")
    with pytest.raises(SettingsError, match="bad port") as problem:
        load(None, {"RPROXY_SERVERS_FILE": str(file)}, {})
    assert str(file) in str(problem.value) and "s3cret" not in str(problem.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"servers_file = .*RPROXY_SERVERS_FILE\): the file can't be read: No such file or directory"
    ):
        load(None, {"RPROXY_SERVERS_FILE": str(tmp_path / "none")}, {})


def test_a_value_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "servers").write_text(URLS)
    with pytest.raises(SettingsError, match="RPROXY_SERVERS is there too"):
        load(None, {"RPROXY_SERVERS_FILE": str(tmp_path / "servers"), "RPROXY_SERVERS": "redis://a"}, {})


def test_a_key_of_its_own_that_ends_in_file_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("word")
    settings = load(None, {"RPROXY_ADMIN__TOKEN_FILE": str(tmp_path / "token"), "RPROXY_SERVERS": "redis://a"}, {})
    assert (settings.admin.token, settings.admin.token_file) == ("word", str(tmp_path / "token"))


def test_a_misspelt_one_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RPROXY_SERVER_FILE.: unknown key"):
        load(None, {"RPROXY_SERVER_FILE": str(tmp_path), "RPROXY_SERVERS": "redis://a"}, {})


def test_the_path_of_a_file_with_a_secret_is_shown_and_what_may_be_the_secret_itself_is_not() -> None:
    for value, shown in (("/nowhere/token", "/nowhere/token"), ("hunter2", "***")):
        with pytest.raises(SettingsError) as raised:
            load(None, {}, {"servers": "redis://a", "admin.token_file": value})
        assert str(raised.value).startswith(f'admin.token_file = "{shown}"')


SECRET = "S3cr3tPw"
SHAPES = (
    "redis://u:{}@h:99999", "redis://:{}@h:x", "redis://{}@h:x", "redis://u:{}/x@h", "redis://u:{}#x@h", "redis://u:{}?x@h", "redis://u:ab{}%zz@h",
    "redis//u:{}@h", "redis:/u:{}@h", "u:{}@h:1", "{}@h", ":{}@h", "redis://u:{}@[::1", "redis://u:{}@h:1/abc", "redis://h?password={}",
    "redis://h/0?foo={}", "redis://h/{}", "redis://u:a,{}@h", "redis://u:a;{}@h", "redis://u:a {}@h", "redis://u:{} @h", "unix://u:{}@/tmp/x?db=abc",
    "unix://u:{}@host/tmp", "redis+sentinel://u:{}@h", "redis://u:{}@h:6379:6380", "redis://u:p@{}@h:1x", "redis://{}:@h:0", "redis://h:6379/0#{}",
    "redis://u:{}@h:6379/?db=1&db={}", "redis://u:p?{}", "redis://u:{}", "redis://:{}", "redis://h:1,{}@x", "http://u:{}@h", "{}", ":{}", "unix://u:{}",
)  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", ["servers", "sentinels", "listen", "admin.listen"])
def test_no_malformed_url_shows_its_password(shape: str, key: str) -> None:
    text = shape.replace("{}", SECRET)
    for value in (text, [text], f"redis://a, {text}"):
        more: dict[str, str] = {"discovery": "sentinel"} if key == "sentinels" else {"servers": "redis://a"}
        said = ""
        try:
            load(None, {}, {**more, key: value})
        except SettingsError as problem:
            said = str(problem)
        assert SECRET not in said


@given(
    st.lists(
        st.sampled_from([SECRET, ":", "@", "/", "?", "#", "redis://", "unix://", "u", "1", "&", "=", "[", "]", ",", " ", "%"]),
        max_size=9,
    )
)
def test_whatever_stands_around_a_password_it_is_not_shown(parts: list[str]) -> None:
    text = "redis://u:" + "".join(parts) + f":{SECRET}@h:x"
    assert SECRET not in masked(text)


@pytest.mark.parametrize("key", ["pw", "requirepass", "admin", "tls", "a.b", "server", "admin.pasword"])
def test_the_value_of_a_key_that_is_none_may_be_a_secret(key: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(None, {}, {"servers": "redis://a", key: SECRET})
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "words", [["--admin.tokn", SECRET], [f"--tokn={SECRET}"], ["check", "-s", "redis://a", SECRET], ["demo", "--port", SECRET]]
)
def test_a_word_in_the_wrong_place_of_the_command_line_is_not_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err and SECRET not in said.out + said.err
