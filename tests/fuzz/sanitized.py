"""The fuzz targets on a data plane that is compiled with AddressSanitizer, which ends the process at the first access beyond an object.

Inputs are the kept corpus and mutations of it: atheris can't see into compiled code, and needs none of it here.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build" / "address-sanitizer"
CORPUS = Path(__file__).parent / "corpus"
FLAGS = "-fsanitize=address -fno-omit-frame-pointer -g1"


def run(seconds: int, seed: int) -> int:
    """Build what isn't built yet, and run it. The exit code: 0 when nothing was found."""
    words = [sys.executable, "setup.py", "-q", "build", "--build-base", str(BUILD), "--build-lib", str(BUILD / "lib")]
    built = subprocess.run(words, cwd=REPOSITORY, env={**os.environ, "CFLAGS": FLAGS, "BUILD_EXTENSION": "yes"})
    if built.returncode:
        return built.returncode
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaves memory to the end of its process
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": f"{BUILD / 'lib'}:{REPOSITORY}",
    }
    environment.pop("RPROXY_INTERPRETED", None)
    words = [sys.executable, "-P", "-m", "tests.fuzz.sanitized", str(seconds), str(seed)]
    return subprocess.run(words, cwd=BUILD, env=environment).returncode


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The input with a few bytes changed, left out, or put in."""
    changed = bytearray(data)
    for _ in range(dice.choice((0, 1, 1, 2, 5))):
        at = dice.randrange(len(changed) + 1)
        how = dice.randrange(3)
        if how == 0:
            changed[at : at + 1] = dice.randbytes(1)
        elif how == 1:
            del changed[at : at + dice.choice((1, 4))]
        else:
            changed[at:at] = dice.choice((b"\r\n", b"\0", b"*1\r\n", b"$-1\r\n", b"9" * 20, b"$5\r\n", dice.randbytes(4)))
    return bytes(changed)


def _all(seconds: float, seed: int) -> None:
    """In the process with AddressSanitizer: the targets in turn until the time is up."""
    from rproxy import dataplane
    from tests.fuzz import framers, session

    assert dataplane.compiled() and str(BUILD) in str(dataplane.__file__), dataplane.__file__
    targets: dict[str, Callable[[bytes], None]] = {"framers": framers.one_input, "session": session.one_input}
    inputs = [(name, path.read_bytes()) for name in targets for path in sorted((CORPUS / name).iterdir())]
    dice = random.Random(seed or None)
    for name, data in inputs:
        targets[name](data)
    count, end = len(inputs), time.monotonic() + seconds
    while time.monotonic() < end:
        name, data = dice.choice(inputs)
        targets[name](mutated(data, dice))
        count += 1
    print(f"{count} inputs with AddressSanitizer, nothing found")


if __name__ == "__main__":
    _all(float(sys.argv[1]), int(sys.argv[2]))
