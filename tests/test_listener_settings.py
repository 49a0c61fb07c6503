"""What the settings ask of listeners: an address of their own, and that who can reach them may."""

from __future__ import annotations

import pytest

from rproxy.config import load
from rproxy.errors import SettingsError


def test_two_listeners_may_not_share_an_address_whatever_their_consistency() -> None:
    with pytest.raises(SettingsError, match="twice"):
        load(None, {}, {"servers": "redis://a", "listen": ["tcp://a:1", "tcp://a:1?consistency=leader"]})


@pytest.mark.parametrize("url", ["tcp://0.0.0.0:7379", "tcp://[::]:7379", "tcp://10.0.0.1:7379", "tcp://redis.example:7379"])
def test_a_listener_that_others_reach_needs_a_password_or_the_word_of_who_sets_it_up(url: str) -> None:
    with pytest.raises(SettingsError, match="protected = false") as problem:
        load(None, {}, {"servers": "redis://a", "listen": url})
    assert url in str(problem.value) and "auth=required" in str(problem.value)
    for flags in ({"protected": "false"}, {"listen": f"{url}?auth=required"}):
        load(None, {}, {"servers": "redis://a", "listen": url} | flags)


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:7379", "tcp://127.1.2.3:1", "tcp://[::1]:7379", "tcp://localhost:7379", "unix:///run/r.sock"]
)
def test_a_listener_of_this_machine_alone_needs_nothing(url: str) -> None:
    load(None, {}, {"servers": "redis://a", "listen": url})
