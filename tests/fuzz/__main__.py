"""`python -m tests.fuzz`: run the targets under atheris, from the kept corpus on, each for some seconds.

The data plane is interpreted here, since atheris sees what Python runs. A finding is written to the folder that `--save` names.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
TARGETS = ("framers", "session")
LONGEST = 4096


def main(words: list[str] | None = None) -> int:
    """The exit code: 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", default=TARGETS, metavar="TARGET", help=f"which ones: {', '.join(TARGETS)} (default: all)"
    )
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs")
    parser.add_argument("--seed", type=int, default=0, help="0: by chance")
    parser.add_argument("--save", default="build/fuzz", help="the folder for what is found, and for new inputs")
    parser.add_argument("--address-sanitizer", action="store_true", help="run the framers, compiled with it, and nothing else")
    options = parser.parse_args(words)
    if options.address_sanitizer:
        from tests.fuzz import sanitized

        return sanitized.run(options.seconds, options.seed)
    return max(_started(target, options) for target in options.targets)


def _started(target: str, options: argparse.Namespace) -> int:
    """Run one target in a process of its own, which atheris ends."""
    new = Path(options.save).resolve() / target
    (new / "corpus").mkdir(parents=True, exist_ok=True)
    print(f"--- {target}, {options.seconds} s", flush=True)
    flags = [
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        f"-max_len={LONGEST}",
        "-timeout=20",
        "-rss_limit_mb=4096",
    ]
    flags += [f"-artifact_prefix={new}/found-", "-print_final_stats=1", "-verbosity=0"]
    folders = [str(new / "corpus"), str(CORPUS / target)]
    environment = {**os.environ, "RPROXY_INTERPRETED": "1", "PYTHONPATH": str(CORPUS.parents[2])}
    return subprocess.run([sys.executable, __file__, target, *folders, *flags], env=environment).returncode


def fuzz(target: str, words: list[str]) -> None:
    """In the process of one target: never returns."""
    import atheris

    with atheris.instrument_imports(include=["rproxy.dataplane"]):
        one_input = _target(target)
    atheris.Setup([sys.argv[0], *words], one_input)
    atheris.Fuzz()


def _target(name: str) -> Callable[[bytes], None]:
    if name == "framers":
        from tests.fuzz import framers

        return framers.one_input
    from tests.fuzz import session

    return session.one_input


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] in TARGETS and "RPROXY_INTERPRETED" in os.environ and os.path.isdir(sys.argv[2]):
        fuzz(sys.argv[1], sys.argv[2:])
    sys.exit(main())
