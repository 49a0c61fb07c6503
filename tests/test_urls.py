"""The URLs of servers and listeners: what they mean, what is refused, and that no message shows a password."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.urls import Listener, check_servers, described, masked, parse_listener, parse_server, split_list


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("redis://a", Server(0, "a", 6379)),
        ("redis://a/", Server(0, "a", 6379)),
        ("redis://a:7000/3", Server(0, "a", 7000, database=3)),
        ("redis://a?db=3", Server(0, "a", 6379, database=3)),
        ("redis://a/3?db=3", Server(0, "a", 6379, database=3)),
        ("REDIS://a", Server(0, "a", 6379)),
        ("valkey://cache-1.internal:6380", Server(0, "cache-1.internal", 6380)),
        ("rediss://a", Server(0, "a", 6379, tls=True)),
        ("valkeys://a:1", Server(0, "a", 1, tls=True)),
        (
            "rediss://a?ssl_ca_certs=/a&ssl_certfile=/b%20c&ssl_keyfile=/d",
            Server(0, "a", 6379, tls=True, ca="/a", cert="/b c", key="/d"),
        ),
        ("redis://10.0.0.1:6379", Server(0, "10.0.0.1", 6379)),
        ("redis://[::1]:7000", Server(0, "::1", 7000)),
        ("redis://[fe80::1]", Server(0, "fe80::1", 6379)),
        ("redis://[fe80::1%25eth0]:7000/1", Server(0, "fe80::1%eth0", 7000, database=1)),
        ("redis://[fe80::1%eth0]", Server(0, "fe80::1%eth0", 6379)),
        ("redis://user:secret@a", Server(0, "a", 6379, user="user", password="secret")),
        ("redis://user@a", Server(0, "a", 6379, user="user")),
        ("redis://:secret@a", Server(0, "a", 6379, password="secret")),
        ("redis://u%40x:p%2C%3B%3A%2F%23%3F%25@a/1", Server(0, "a", 6379, user="u@x", password="p,;:/#?%", database=1)),
        ("redis://:a@b@host", Server(0, "host", 6379, password="a@b")),
        ("redis://:ünï@höst", Server(0, "höst", 6379, password="ünï")),
        ("redis://", Server(0, "localhost", 6379)),
        ("redis://:6380/1", Server(0, "localhost", 6380, database=1)),
        ("rediss://:secret@", Server(0, "localhost", 6379, tls=True, password="secret")),
        ("unix:///run/redis.sock", Server(0, "", 0, "/run/redis.sock")),
        ("unix:///run/redis.sock?db=2", Server(0, "", 0, "/run/redis.sock", database=2)),
        ("unix:///run/a%20b@c.sock", Server(0, "", 0, "/run/a b@c.sock")),
        ("unix://user:secret@/run/redis.sock", Server(0, "", 0, "/run/redis.sock", user="user", password="secret")),
    ],
)
def test_a_server_url_means_this_server(url: str, server: Server) -> None:
    assert parse_server(url, 0) == server


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("a:6379", "not a URL"),
        ("", "not a URL"),
        ("http://a", "unknown scheme"),
        ("tcp://a:1", "unknown scheme"),
        ("redis://a:0", "bad port 0"),
        ("redis://a:65536", "bad port 65536"),
        ("redis://a:port", "bad host or port"),
        ("redis://a:", "bad host or port"),
        ("redis://a:-1", "bad host or port"),
        ("redis://::1:6379", "brackets"),
        ("redis://[::1", "bad host or port"),
        ("redis://[a]:1", "not an IPv6 address"),
        ("redis://[fe80::1%]:1", "not an IPv6 address"),
        ("redis://a/x", "bad database"),
        ("redis://a/-1", "bad database"),
        ("redis://a/1/2", "bad database"),
        ("redis://a//1", "bad database"),
        ("redis://a?db=", "bad database"),
        ("redis://a/1?db=2", "given twice"),
        ("redis://a?socket_timeout=1", "unknown query key socket_timeout"),
        ("redis://a b", "no spaces"),
        ("redis://:se#cret@a", "no #"),
        ("redis://:se/cret@a", "%2F for /"),
        ("redis://:se?cret@a", "%3F for ?"),
        ("redis://:%ff@a", "UTF-8"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://", "path of the unix socket is missing"),
        ("unix:///" + "x" * 107, "at most 107 bytes"),
        ("unix:///a%00b", "no control characters"),
    ],
)
def test_a_bad_server_url_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_server(url, 0)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value) and "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "listener"),
    [
        ("tcp://127.0.0.1:7379", Listener("127.0.0.1", 7379)),
        ("tcp://0.0.0.0:0", Listener("0.0.0.0", 0)),
        ("tcp://[::]:7379", Listener("::", 7379)),
        ("unix:///run/rproxy/rproxy.sock", Listener("", 0, "/run/rproxy/rproxy.sock")),
        ("unix:///run/a%20b%3Fc.sock", Listener("", 0, "/run/a b?c.sock")),
    ],
)
def test_a_listener_url_means_this_address_and_back(url: str, listener: Listener) -> None:
    assert parse_listener(url) == listener
    assert listener.url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("127.0.0.1:7379", "not a URL"),
        ("redis://127.0.0.1:7379", "unknown scheme"),
        ("tcp://127.0.0.1", "port is missing"),
        ("tcp://:7379", "host is missing"),
        ("tcp://a:65536", "bad port 65536"),
        ("tcp://a:1/x", "no path"),
        ("tcp://u:secret@a:1", "no user"),
        ("tcp://a:1?x=1", "query"),
        ("unix://x/y", "absolute path"),
        ("unix:///", "path of the unix socket is missing"),
    ],
)
def test_a_bad_listener_url_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        parse_listener(url)


def test_a_server_may_have_a_weight_and_a_zone() -> None:
    server = parse_server("redis://a?weight=3&zone=eu-1", 0)
    assert (server.weight, server.zone) == (3, "eu-1")
    assert described(server) == "redis://a:6379?weight=3&zone=eu-1"
    assert (parse_server("redis://a", 0).weight, parse_server("redis://a", 0).zone) == (1, "")


@pytest.mark.parametrize("weight", ["0", "-1", "1001", "x", ""])
def test_a_bad_weight_is_refused(weight: str) -> None:
    with pytest.raises(SettingsError, match="weight"):
        parse_server(f"redis://a?weight={weight}", 0)


def test_a_url_can_ask_for_every_address_of_its_name() -> None:
    server = parse_server("redis://replicas?resolve=all&weight=2", 0)
    assert server.resolve_all and not server.address
    assert described(server) == "redis://replicas:6379?weight=2&resolve=all"
    assert not parse_server("redis://replicas", 0).resolve_all


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://a?resolve=any", "resolve must be all"),
        ("redis://a?resolve", "resolve must be all"),
        ("unix:///run/redis.sock?resolve=all", "a unix socket has none"),
    ],
)
def test_a_wrong_resolve_is_refused(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        parse_server(url, 0)


def test_a_password_may_come_from_a_file_or_a_command() -> None:
    file = parse_server("rediss://app@a?password_file=/run/secret%20s&expires=15m", 0)
    assert (file.user, file.password, file.password_file, file.expires) == ("app", "", "/run/secret s", 900.0)
    assert described(file) == "rediss://app@a:6379?password_file=/run/secret%20s&expires=900s"
    command = parse_server("unix:///run/r.sock?password_command=pass%20show%20'a%20b'", 0)
    assert (command.password_command, command.expires) == ("pass show 'a b'", 0.0)
    assert described(command) == "unix:///run/r.sock?password_command=***"
    assert masked("redis://a?password_command=print%20secret&expires=1h") == "redis://a?password_command=***&expires=1h"
    assert masked("redis://a?password_file=/run/p") == "redis://a?password_file=/run/p"
    assert file.has_password and file.has_changing_password and not parse_server("redis://:p@a", 0).has_changing_password


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("password_file=/a&password_command=b", "both given"),
        ("password_file=", "password_file has no value"),
        ("password_command=%20", "names no program"),
        ("password_command=a%20'b", "a quote that does not end"),
        ("expires=1h", "expires goes with"),
        ("password_file=/a&expires=1", "bad expires"),
        ("password_file=/a&expires=soon", "bad expires"),
    ],
)
def test_where_a_password_comes_from_is_given_in_full(query: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        parse_server(f"redis://a?{query}", 0)


def test_a_password_comes_from_one_place() -> None:
    with pytest.raises(SettingsError, match="a password in the URL, and password_file too"):
        parse_server("redis://:secret@a?password_file=/a", 0)


@pytest.mark.parametrize("url", ["tcp://a:1?consistency=leader", "unix:///x?consistency=eventual"])
def test_a_listener_may_have_a_consistency_of_its_own(url: str) -> None:
    assert parse_listener(url).policy.consistency in ("leader", "eventual")
    assert parse_listener(url).url == url
    assert "?" not in parse_listener(url).address


def test_a_listener_has_no_other_consistency_than_the_settings_know() -> None:
    with pytest.raises(SettingsError, match="must be fresh, eventual or leader"):
        parse_listener("tcp://a:1?consistency=quick")


def test_a_listener_behind_load_balancers_believes_those_that_it_names_or_this_machine() -> None:
    url = "tls://[::]:7379?proxy=required&proxy_from=10.0.0.0/8+2001:db8::/32+192.0.2.7"
    assert parse_listener(url).policy.proxy_from == ("10.0.0.0/8", "2001:db8::/32", "192.0.2.7")
    assert parse_listener(url).url == url
    assert parse_listener("tcp://a:1?proxy=required").policy.proxy_from == ("127.0.0.0/8", "::1/128")
    assert parse_listener("tcp://a:1").policy.proxy_from == ()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("proxy=yes", "must be required"),
        ("proxy_from=10.0.0.0/8", "add that"),
        ("proxy=required&proxy_from=10.0.0.1/8", "addresses or networks"),
        ("proxy=required&proxy_from=lb.internal", "addresses or networks"),
        ("proxy=required&proxy_from=10.0.0.1+", "addresses or networks"),
    ],
)
def test_whom_a_listener_believes_is_given_in_full(query: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        parse_listener(f"tcp://a:1?{query}")


def test_one_server_may_not_stand_twice_in_the_list() -> None:
    for first, second in (("redis://a", "redis://A:6379"), ("redis://a", "rediss://a"), ("unix:///x", "unix:///x")):
        with pytest.raises(SettingsError, match="twice"):
            check_servers([parse_server(first, 0), parse_server(second, 1)])
    check_servers([parse_server("redis://a:1", 0), parse_server("redis://a:2", 1)])


def test_servers_may_not_have_different_databases() -> None:
    with pytest.raises(SettingsError, match="a:6379 has database 1 and b:6379 has 0"):
        check_servers([parse_server("redis://a/1", 0), parse_server("redis://b", 1)])


def test_a_list_in_one_string_is_divided_by_commas_and_semicolons_as_in_django() -> None:
    assert split_list("redis://a , redis://b;redis://c; ") == ["redis://a", "redis://b", "redis://c"]
    assert split_list(" ,; ") == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://a:6379/1?db=1", "redis://a:6379/1?db=1"),
        ("redis://user:secret@a:6379/1", "redis://user:***@a:6379/1"),
        ("redis://:secret@a", "redis://:***@a"),
        ("redis://user:sec:/@ret@a", "redis://user:***@a"),
        ("redis://user:sec://ret@a", "redis://user:***@a"),
        ("redis://:secret", "redis://:***"),
        ("user:secret@a", "***@a"),
        ("redis://a?password=secret&db=1", "redis://a?password=***&db=1"),
        ("redis://a:port", "redis://a:***"),
        ("tcp://a:1?proxy=required&proxy_from=10.0.0.0/8+::1", "tcp://a:1?proxy=required&proxy_from=10.0.0.0/8+::1"),
        ("redis://:secret@[fe80::1%25eth0]:6379/1", "redis://:***@[fe80::1%25eth0]:6379/1"),
        ("unix:///run/a@b.sock", "unix:///run/a@b.sock"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_a_piece_of_a_password_that_was_cut_at_a_comma_is_never_shown() -> None:
    assert [masked(piece, piece=True) for piece in split_list("redis://user:sec,ret@a:1")] == ["redis://user:***", "***@a:1"]
    assert masked("redis://a:6379", piece=True) == "redis://a:6379"


def test_a_described_server_is_a_url_without_its_password() -> None:
    for url in ("redis://u:***@[::1]:6379/1", "rediss://:***@a:1", "unix://u@/x?db=2", "redis://a:6379"):
        assert described(parse_server(url, 0)) == url


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_percent_encoded_user_and_password_arrive_as_they_were(password: str, user: str) -> None:
    server = parse_server(f"redis://{quote(user, safe='')}:{quote(password, safe='')}@a:1/2", 0)
    assert (server.user, server.password, server.name, server.database) == (user, password, "a:1", 2)


@given(st.text())
def test_any_text_is_a_server_or_a_settings_error(text: str) -> None:
    for parse in (lambda url: parse_server(url, 0), parse_listener):
        for url in (text, f"redis://{text}", f"unix://{text}", f"tcp://{text}"):
            try:
                parse(url)
            except SettingsError as error:
                assert str(error)


@pytest.mark.parametrize(
    "query", ["read_only=true", "auth=required", "allow=get+config|get", "consistency=leader&read_only=true&deny=keys+flushall"]
)
def test_a_listener_says_what_its_clients_may(query: str) -> None:
    url = f"tcp://a:1?{query}"
    assert parse_listener(url).url == url == masked(url) and parse_listener(url).policy != Listener("a", 1).policy


@pytest.mark.parametrize("query", ["read_only=maybe", "auth=no", "deny=", "deny=a&deny=b", "alow=get"])
def test_what_a_listener_cannot_say_is_refused(query: str) -> None:
    with pytest.raises(SettingsError, match="of a listener"):
        parse_listener(f"tcp://a:1?{query}")
