"""Where suites live: for each lock file a virtual environment with its packages and the unpacked source of the package with the tests.

Both are kept under the cache folder, in a folder that is named after the lock file's content, so that another version never meets them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.compat.redis_suite import CACHE, ROOT
from tests.compat.software.suites import Suite

LOCKS = ROOT / "requirements" / "software"
PLUGINS = Path(__file__).parent / "plugins"
READY = "ready"
"""The file that is written last: a folder without it was not finished."""
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


class Workspace:
    """The environment of one lock file: `python` is its interpreter, `source` the unpacked source distribution of `package`, if one is named."""

    def __init__(self, lock: str, package: str = "") -> None:
        self._lock = LOCKS / f"{lock}.txt"
        self._package = package
        digest = hashlib.sha256(self._lock.read_bytes() + sys.version.encode()).hexdigest()
        self.folder = CACHE / "software" / f"{lock}-{digest[:12]}"
        self.python = self.folder / "venv" / "bin" / "python"
        self.source = self.folder / "source"

    def prepare(self) -> None:
        """Install and unpack, where that has not been done. Raises CalledProcessError where a package cannot be had."""
        if (self.folder / READY).exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", self.folder / "venv"], check=True)
        self._pip("install", "--require-hashes", "--requirement", str(self._lock))
        if self._package:
            self._unpack()
        (self.folder / READY).touch()

    def _unpack(self) -> None:
        """Fetch the source distribution of the version that is locked, and hold it against the lock file's hashes."""
        text = self._lock.read_text()
        version = locked_version(text, self._package)
        wanted = f"{self._package}=={version}"
        self._pip("download", "--no-deps", "--no-binary", self._package, "--dest", str(self.folder / "archive"), wanted)
        (archive,) = (self.folder / "archive").iterdir()
        if hashlib.sha256(archive.read_bytes()).hexdigest() not in text:
            raise SystemExit(f"{archive.name} is not what {self._lock.relative_to(ROOT)} has a hash of")
        with tarfile.open(archive) as packed:
            packed.extractall(self.folder / "unpacked", filter="data")
        (inner,) = (self.folder / "unpacked").iterdir()
        inner.rename(self.source)

    def _pip(self, *words: str) -> None:
        subprocess.run([self.python, *_PIP, *words], check=True)


class NodeWorkspace:
    """The packages that one folder's `package-lock.json` names, with their hashes, in `folder/node_modules`."""

    def __init__(self, lock: str) -> None:
        self._lock = LOCKS / lock
        digest = hashlib.sha256((self._lock / "package-lock.json").read_bytes()).hexdigest()
        self.folder = CACHE / "software" / f"{lock}-{digest[:12]}"

    def prepare(self) -> None:
        """Install, where that has not been done; no package's own script is run. Raises CalledProcessError where a package cannot be had."""
        if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
            raise SystemExit(f"there is no {' and no '.join(missing)}: apt-get install nodejs npm")
        if (self.folder / READY).exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._lock, self.folder)
        subprocess.run(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=self.folder, check=True)
        (self.folder / READY).touch()


class DebianWorkspace:
    """A program of Debian's, in the version that the release has; `folder` is empty."""

    def __init__(self, program: str, package: str) -> None:
        self._program = program
        self._package = package
        self.folder = CACHE / "software" / program

    def prepare(self) -> None:
        """Nothing is installed. Raises SystemExit where the program is not there."""
        if shutil.which(self._program) is None:
            raise SystemExit(f"there is no {self._program}: apt-get install {self._package}")


def locked_version(text: str, package: str) -> str:
    """The version of the package in the text of a lock file."""
    found = re.search(rf"(?m)^{re.escape(package)}==(\S+)", text)
    if found is None:
        raise SystemExit(f"{package} is not in the lock file")
    return found[1]


def copy(suite: Suite, source: Path, into: Path, port: int) -> Path:
    """A copy of the suite's source in which the port of the server stands where the suite has a fixed one."""
    shutil.copytree(source, into, symlinks=True)
    for edit in suite.edits:
        changed = [path for path in into.glob(edit.files) if edit.old in path.read_text()]
        if not changed:
            raise SystemExit(f"{suite.name}: no file {edit.files} holds {edit.old!r}")
        for path in changed:
            path.write_text(path.read_text().replace(edit.old, edit.new.replace("{port}", str(port))))
    return into


def environment(suite: Suite, workspace: Workspace, port: int) -> dict[str, str]:
    """The variables that the suite is run with: this process's own, without what is meant for its interpreter or for rproxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RPROXY_", "PYTEST_", "PYTHON", "DJANGO_"))}
    added = {name: value.replace("{port}", str(port)) for name, value in suite.environment.items()}
    path = f"{workspace.python.parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(PLUGINS), "PATH": path, "SUITE_PORT": str(port)} | added
