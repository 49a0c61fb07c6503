"""`rproxy config show`, `reference` and `init`, as they are called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rproxy.config import OPTIONS
from rproxy.config_sources import variable_of
from tests.integration.harness import rproxy as running
from tests.integration.servers import cluster
from tests.test_cli import REPOSITORY, json_of, refused, rproxy

SITE = """
from django.utils.translation import gettext_lazy  # a settings module that needs Django
SECRET_KEY = str(gettext_lazy)
CACHES = {{
    "default": {{"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": {location!r}}},
    "files": {{"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "/var/cache/site"}},
}}
"""
USE = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
from django.conf import settings
from django.core.cache import cache
cache.set("visits", 1)
print(cache.incr("visits"), cache.get("visits"), settings.CACHES["default"]["LOCATION"])
"""


def site(folder: Path, location: object) -> None:
    """A Django site in this folder, with this LOCATION."""
    (folder / "mysite").mkdir(exist_ok=True)
    (folder / "mysite" / "__init__.py").touch()
    (folder / "mysite" / "settings.py").write_text(SITE.format(location=location))


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RPROXY_", "DJANGO_"))}
    environment |= {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def init(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return call(folder, "-m", "rproxy", "config", "init", "--django", "mysite.settings", *words)


def test_show_says_of_every_setting_where_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "rproxy.toml"
    file.write_text('servers = ["redis://u:hunter2@a"]\n[timeouts]\nconnect = "1s"\n[admin]\ntoken = "hunter3"\n')
    done = rproxy("config", "show", "-c", str(file), "--zone", "a", env={"RPROXY_LOG__LEVEL": "error"})
    assert done.returncode == 0 and "hunter" not in done.stdout + done.stderr
    rows = {words[0]: words[1:] for words in (line.split(maxsplit=2) for line in done.stdout.splitlines())}
    assert list(rows) == list(OPTIONS)
    assert rows["servers"] == ["redis://u:***@a:6379", f"{file}:1"] and rows["timeouts.connect"] == ["1s", f"{file}:3"]
    assert rows["zone"] == ["a", "flag --zone"] and rows["log.level"] == ["error", "variable RPROXY_LOG__LEVEL"]
    assert rows["limits.clients"] == ["10000", "default"]

    facts = json_of("config", "show", "--json", "-c", str(file))["settings"]
    assert {"key": "admin.token", "value": "***", "origin": f"{file}:5"} in facts and len(facts) == len(OPTIONS)


def test_the_page_of_settings_is_what_reference_prints() -> None:
    page = rproxy("config", "reference").stdout
    assert page == (REPOSITORY / "docs" / "settings.md").read_text(), "write it again: rproxy config reference > docs/settings.md"
    for key in OPTIONS:
        assert f"`{variable_of(key)}`" in page


def test_a_django_site_goes_on_behind_rproxy_with_what_init_writes(tmp_path: Path) -> None:
    with cluster() as servers:
        site(tmp_path, servers.urls)
        done = init(tmp_path, "-o", "rproxy.toml")
        assert (done.returncode, done.stdout) == (0, ""), done
        assert done.stderr == 'In Django: "LOCATION": "redis://127.0.0.1:7379"\n'
        text = (tmp_path / "rproxy.toml").read_text()
        with running(servers, settings=text) as proxy:
            site(tmp_path, done.stderr.split('"')[3].replace("7379", str(proxy.port)))
            assert call(tmp_path, "-c", USE).stdout == f"2 2 {proxy.url}\n"


def test_init_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    site(tmp_path, "redis://:hunter2@a,redis://:hunter2@b")
    file = tmp_path / "rproxy.toml"
    file.write_text("mine")
    done = init(tmp_path, "-o", "rproxy.toml")
    assert done.returncode == 2 and "--force" in done.stderr and file.read_text() == "mine"
    done = init(tmp_path, "-o", "rproxy.toml", "--force")
    assert done.returncode == 0 and "hunter2" not in done.stderr
    assert "redis://:hunter2@b" in file.read_text() and file.stat().st_mode & 0o777 == 0o600


def test_init_says_what_it_cannot_use(tmp_path: Path) -> None:
    site(tmp_path, "redis://a")
    assert "has default, files" in init(tmp_path, "--cache", "sessions").stderr.replace("it has", "has")
    done = init(tmp_path, "--cache", "files")
    assert (
        done.returncode == 2
        and "is no Redis cache: its LOCATION is ***, and one of Redis begins with redis://" in done.stderr
        and not done.stdout
    )
    assert "ModuleNotFoundError" in refused("config", "init", "--django", "there.is.none")
