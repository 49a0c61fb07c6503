"""What a cache of Django comes to: servers, LOCATION, and what is said about the rest."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from rproxy.config import load
from rproxy.django_location import Start, start_of
from rproxy.errors import SettingsError


def start(location: object, **options: Any) -> Start:
    backend = "django.core.cache.backends.redis.RedisCache"
    return start_of({"default": {"BACKEND": backend, "LOCATION": location, "OPTIONS": options}}, "default", "mysite.settings")


def servers(made: Start) -> list[str]:
    found: list[str] = tomllib.loads(made.settings)["servers"]
    return found


@pytest.mark.parametrize(
    "location",
    ["redis://a,redis://b:6380", "redis://a ; redis://b:6380", ["redis://a", "redis://b:6380"], ("redis://a", "redis://b:6380")],
)
def test_a_location_is_a_list_or_a_string(location: object) -> None:
    made = start(location)
    assert servers(made) == ["redis://a", "redis://b:6380"] and made.remarks == [] and not made.secret
    assert made.location == "redis://127.0.0.1:7379"


def test_what_it_writes_is_valid(tmp_path: Any) -> None:
    file = tmp_path / "rproxy.toml"
    file.write_text(start("rediss://u:p%40ss@a/1,rediss://u:p%40ss@b/1").settings)
    assert [(server.host, server.password, server.tls) for server in load(str(file), {}, {}).servers] == [
        ("a", "p@ss", True),
        ("b", "p@ss", True),
    ]


@pytest.mark.parametrize(
    ("location", "options", "url", "address"),
    [
        ("redis://a/2", {}, "redis://a", "redis://127.0.0.1:7379/2"),
        ("redis://a?db=2", {}, "redis://a", "redis://127.0.0.1:7379/2"),
        ("redis://a", {"db": 3}, "redis://a", "redis://127.0.0.1:7379/3"),
        ("redis://a/2", {"db": 3}, "redis://a", "redis://127.0.0.1:7379/2"),
        ("unix:///run/redis.sock?db=1", {}, "unix:///run/redis.sock", "redis://127.0.0.1:7379/1"),
        ("redis://u:p@a", {}, "redis://u:p@a", "redis://127.0.0.1:7379"),
        ("redis://a", {"username": "u", "password": "p@"}, "redis://u:p%40@a", "redis://127.0.0.1:7379"),
        ("redis://:own@a", {"password": "other"}, "redis://:own@a", "redis://127.0.0.1:7379"),
        ("redis://a?socket_timeout=2", {}, "redis://a", "redis://127.0.0.1:7379?socket_timeout=2"),
        ("rediss://a", {}, "rediss://a", "redis://127.0.0.1:7379"),
    ],
)
def test_the_database_stays_with_the_client_and_who_it_is_goes_to_rproxy(
    location: str, options: dict[str, Any], url: str, address: str
) -> None:
    made = start(location, **options)
    assert (servers(made), made.location) == ([url], address)


def test_it_says_what_is_carried_over_and_what_is_not() -> None:
    said = "\n".join(
        start("rediss://a?ssl_cert_reqs=none", password="hunter2", ssl_check_hostname=False, parser_class="x.Y").remarks
    )
    assert "password: carried over" in said and "hunter2" not in said
    assert "not carried over: ssl_cert_reqs, ssl_check_hostname" in said
    assert "remove ssl_check_hostname from OPTIONS" in said and "stay where they are: parser_class" in said


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("127.0.0.1:11211", r"no Redis cache: its LOCATION is \*\*\*, and one of Redis begins with redis://"),
        ("", "has no LOCATION"),
        ("redis://a,redis://a", "twice"),
        ("redis://a/1,redis://b/2", "several databases"),
        ("redis://u:hunter2@a:99999", "bad port"),
        ("redis://a/x", "bad database"),
    ],
)
def test_what_rproxy_cannot_use_is_an_error_that_names_the_cache(location: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as problem:
        start(location)
    assert 'CACHES["default"]' in str(problem.value) and "hunter2" not in str(problem.value)


def test_who_asks_sentinels_is_told_how_rproxy_does() -> None:
    with pytest.raises(SettingsError, match='discovery = "sentinel"'):
        start("redis://mymaster/0", SENTINELS=[("a", 26379)])
