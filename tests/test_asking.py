"""What the command line says where no admin listener answers, or none that is one."""

from __future__ import annotations

import pytest

from rproxy.asking import Problem, where
from rproxy.embedded import EmbeddedServer, free_port
from rproxy.errors import SettingsError
from rproxy.settings import Admin


def test_nobody_answers_there(tmp_path: object) -> None:
    with pytest.raises(Problem, match=r"^no rproxy answers at tcp://127.0.0.1:\d+: connection refused$"):
        where(Admin(), f"tcp://127.0.0.1:{free_port()}").ask("/api/status")
    with pytest.raises(Problem, match=f"^no rproxy answers at unix://{tmp_path}/none: no such file or directory$"):
        where(Admin(listen=(f"unix://{tmp_path}/none",))).ask("/api/status")


def test_who_answers_is_no_rproxy(leader: EmbeddedServer) -> None:
    with pytest.raises(Problem, match=f"127.0.0.1:{leader.port}"):
        where(Admin(), f"tcp://127.0.0.1:{leader.port}").ask("/api/status")


def test_the_settings_name_none_or_a_wrong_one() -> None:
    with pytest.raises(Problem, match="^the settings have no admin listener"):
        where(Admin(listen=()))
    with pytest.raises(SettingsError, match="^http://x: unknown scheme"):
        where(Admin(), "http://x")


def test_who_listens_everywhere_is_asked_here() -> None:
    assert where(Admin(listen=("tcp://0.0.0.0:9380",), token="t")).listener.host == "127.0.0.1"
