"""Lock files: the exact version and hash of every package that rproxy is built, run, tested and released with, on every platform.

`pyproject.toml` says what is needed; `requirements/*.txt` say which files that is, for `pip install --require-hashes`. All are resolved together first, so
that a package has one version in all of them. `make lock` calls this, and nothing else edits them. The suites of `make compat-software` each have
an environment of their own: `requirements/software/*.in` say what is needed, and the lock files beside them have nothing to do with one another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "requirements"
OLDEST_PYTHON = "3.11"
"""The lock files hold for this version and all later ones, as `requires-python` does."""
HEADER = "# Written by `make lock` from pyproject.toml. For: pip install --require-hashes --requirement {path}\n"


def wanted(pyproject: Path = ROOT / "pyproject.toml") -> dict[str, list[str]]:
    """The requirements of each lock file, by its name: `build` builds rproxy, `runtime` runs it, the others add to it what their name says."""
    document = tomllib.loads(pyproject.read_text())
    project = document["project"]
    extras: Mapping[str, list[str]] = project["optional-dependencies"]
    runtime: list[str] = project["dependencies"]
    own = f"{project['name']}["
    add = {name: [each for each in extra if not each.startswith(own)] for name, extra in extras.items()}
    return {
        "build": document["build-system"]["requires"],
        "runtime": runtime,
        "demo": runtime + add["demo"],
        "test": runtime + add["demo"] + add["test"] + add["lint"],
        "fuzz": add["fuzz"],
        "bench": add["bench"],
        "release": add["release"],
    }


def compile_lock(requirements: list[str], constraints: Path | None) -> str:
    """The lock file for these requirements; with versions that `constraints` holds, if it is given. Raises CalledProcessError where there is none."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--universal",
        "--generate-hashes",
    ]
    command += ["--no-header", "--no-annotate", "--python-version", OLDEST_PYTHON]
    if constraints is not None:
        command += ["--constraint", str(constraints)]
    source = "\n".join(requirements) + "\n"
    return str(subprocess.run([*command, "-"], input=source, text=True, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    locks = wanted()
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "everything.txt"
        everything.write_text(compile_lock(sorted({each for requirements in locks.values() for each in requirements}), None))
        for name, requirements in locks.items():
            path = f"{FOLDER}/{name}.txt"
            (ROOT / path).write_text(HEADER.format(path=path) + compile_lock(requirements, everything))
            print(path)
    for source in sorted((ROOT / FOLDER / "software").glob("*.in")):
        path = f"{FOLDER}/software/{source.stem}.txt"
        header = HEADER.replace("pyproject.toml", f"{FOLDER}/software/{source.name}")
        (ROOT / path).write_text(header.format(path=path) + compile_lock(source.read_text().splitlines(), None))
        print(path)


if __name__ == "__main__":
    main()
