"""The framers compiled with AddressSanitizer, which ends the process at the first access beyond an object. The rest of the data plane is interpreted.

Inputs are the kept corpus and mutations of it: atheris can't see into compiled code.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build" / "address-sanitizer"
CORPUS = Path(__file__).parent / "corpus" / "framers"
MODULE = "rproxy.dataplane.resp"
SOURCE = "rproxy/dataplane/resp.py"
SETUP = f"""
from Cython.Build import cythonize
from setuptools import Extension, setup
flags = ["-fsanitize=address", "-fno-omit-frame-pointer", "-g1", "-O1"]
module = Extension({MODULE!r}, [{SOURCE!r}], extra_compile_args=flags, extra_link_args=flags[:1])
directives = {{"language_level": 3, "annotation_typing": False}}
setup(name="framers", packages=[], script_args=["-q", "build_ext", "--inplace"], ext_modules=cythonize([module], compiler_directives=directives))
"""


def run(seconds: int, seed: int) -> int:
    """Build them and run them. The exit code: 0 when nothing was found."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(REPOSITORY / "rproxy", BUILD / "rproxy", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (BUILD / "setup.py").write_text(SETUP)
    built = subprocess.run([sys.executable, "setup.py"], cwd=BUILD)
    if built.returncode:
        return built.returncode
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaves memory to the end of its process
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": f"{BUILD}:{REPOSITORY}",
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
    """In the process with AddressSanitizer: the kept inputs, and mutations until the time is up."""
    from rproxy import dataplane
    from tests.fuzz import framers

    assert dataplane.compiled() and str(BUILD) in str(dataplane.__file__), dataplane.__file__
    inputs = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    dice = random.Random(seed or None)
    for data in inputs:
        framers.one_input(data)
    count, end = len(inputs), time.monotonic() + seconds
    while time.monotonic() < end:
        framers.one_input(mutated(dice.choice(inputs), dice))
        count += 1
    print(f"{count} inputs with AddressSanitizer, nothing found")


if __name__ == "__main__":
    _all(float(sys.argv[1]), int(sys.argv[2]))
