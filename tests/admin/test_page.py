"""The page's files: all there, unchanged where they are another's, and nothing in them that is loaded from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from rproxy.admin.page import FILES
from tests.admin.asking import ask
from tests.integration.harness import Proxy

OWN = sorted(path for path in FILES.iterdir() if path.is_file())
LONGEST = 400
VENDORED = FILES / "vendor" / "uPlot"


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/static/page.css", "/static/vendor/uPlot/uPlot.esm.js"])
def test_a_browser_may_run_and_load_only_these_files(proxy: Proxy, admin: str, path: str) -> None:
    with urlopen(f"http://{admin.removeprefix('tcp://')}{path}") as reply:
        headers = reply.headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'") and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_but_the_files_is_served(proxy: Proxy, admin: str) -> None:
    for path in ("/static/../page.py", "/static/%2e%2e/page.py", "/static/", "/static/vendor"):
        assert ask(admin, path).status == 404, path


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_a_file_of_the_page_is_short_says_what_it_owns_and_names_no_other_site(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w{2,}", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|\sstyle=\"|\son\w+=\"", text)
    if path.suffix in (".js", ".css"):
        assert re.match(r"(//|/\*) Owns ", text) and re.search(r"(Called|Used) by", text[:400]) and "ever " in text[:600]


def test_every_module_that_is_imported_is_there() -> None:
    for path in OWN:
        for name in re.findall(r'(?:from|src=|href=) ?"(\./[\w.-]+|/static/[\w./-]+)"', path.read_text()):
            assert (FILES / name.removeprefix("/static/")).is_file(), f"{path.name} wants {name}"


def test_uplot_is_as_it_was_published() -> None:
    source = (VENDORED / "SOURCE.md").read_text()
    recorded = {name: digest for digest, name in re.findall(r"^ +([0-9a-f]{64})  (\S+)$", source, re.MULTILINE)}
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDORED.iterdir() if path.name != "SOURCE.md"}
    assert recorded == files and "LICENSE" in files
