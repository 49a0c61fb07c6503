"""Compiles those modules of the data plane that have C types, in the `.pxd` file beside them, and some more that commands run through; the others stay as they
are.

Everything else about the package is in pyproject.toml. Without a C compiler the install goes on and the data plane is interpreted, which
the log says at start; with BUILD_EXTENSION=yes a failed build is an error.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# Without C types, and run for each command of a kind that `make instructions` counts.
WARM = ("attached", "codes", "cursors", "dispatch", "key_specs", "leased", "retry", "scripts")
# C functions that others take in.
INLINE = ("lists", "octets", "syscalls")
CORES = os.cpu_count() or 1
# Without what debuggers need, unless somebody says how to compile: an eighth of the time.
QUICKER = [] if "CFLAGS" in os.environ else ["-g0"]
SOURCES = Path("rproxy/dataplane").glob("*.py")
COMPILED = sorted(
    path for path in SOURCES if path.stem in WARM or (path.with_suffix(".pxd").exists() and path.stem not in INLINE)
)


def extensions() -> list[Extension]:
    """What is to be compiled. What an earlier build in this folder has left of other modules would be imported before their source, and is removed."""
    for library in Path("rproxy/dataplane").glob("*.*.so"):
        if library.name.partition(".")[0] not in {path.stem for path in COMPILED}:
            library.unlink()
    return [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            optional=os.environ.get("BUILD_EXTENSION") != "yes",
            extra_compile_args=[*QUICKER, "-O2", "-fno-strict-overflow"],
        )
        for path in COMPILED
    ]


if __name__ == "__main__":  # Cython's processes may import this file
    setup(
        options={"build_ext": {"parallel": CORES}},
        ext_modules=cythonize(
            extensions(),
            build_dir="build/cython",
            nthreads=CORES,
            compiler_directives={
                "language_level": 3,
                # Types come from the .pxd files alone: an annotation `int` is no C type.
                "annotation_typing": False,
                "embedsignature": False,
            },
        ),
    )
