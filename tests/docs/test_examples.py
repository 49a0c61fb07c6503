"""Every command and every setting in the documents is one that rproxy takes."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from rproxy.cli import _program
from rproxy.config import load
from tests.integration.certificates import papers

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVER = {"servers": "redis://a"}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: their language and their text."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


COMMANDS = sorted(
    {
        line.partition(" #")[0].strip()
        for page in PAGES
        for _, text in blocks(page)
        for line in text.splitlines()
        if line.startswith("rproxy ")
    }
)
SETTINGS = [text for page in PAGES for language, text in blocks(page) if language == "toml"]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_in_the_documents_is_one_that_rproxy_takes(line: str) -> None:
    command: click.Command = _program()
    words = shlex.split(line)[1:]
    context = click.Context(command)
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_in_the_documents_are_valid(text: str, tmp_path: Path) -> None:
    given = tomllib.loads(text)
    if "tls" in given:
        _, key = papers(tmp_path).sign("cert")
        Path(key).rename(tmp_path / "key.pem")
        text = text.replace("/etc/rproxy/", f"{tmp_path}/")
    file = tmp_path / "rproxy.toml"
    file.write_text(text)
    load(str(file), {}, {} if given.get("servers") or given.get("sentinels") else SERVER)


def test_the_pages_link_to_files_that_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
