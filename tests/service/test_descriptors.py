"""The limit of file descriptors, and the reserve that no client takes."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from rproxy.service import descriptors
from rproxy.settings import Limits, Settings


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    told = "from rproxy.service import descriptors as d; print(d.limit(), d.raise_limit(), d.limit())"
    ended = subprocess.run(
        [sys.executable, "-c", told],
        capture_output=True,
        text=True,
        timeout=20,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 150)),
    )
    assert ended.stdout == "100 150 150\n", ended.stderr


@pytest.mark.parametrize(("limit", "first"), [(64, 48), (256, 192), (1024, 768), (65536, 65280)])
def test_a_quarter_is_kept_from_clients_but_not_more_than_is_needed(
    limit: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: limit)
    assert descriptors.for_clients() == first


@pytest.mark.parametrize(("clients", "workers", "fits"), [(768, 1, True), (769, 1, False), (1500, 2, True), (1537, 2, False)])
def test_it_is_said_where_the_clients_do_not_fit(clients: int, workers: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: 1024)
    said = descriptors.warning(Settings(workers=workers, limits=Limits(clients=clients)))
    assert (said == "") is fits
    if not fits:
        assert f"limits.clients is {clients}" in said and f"room for about {768 * workers}" in said
