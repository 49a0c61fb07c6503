"""Compiles the data plane from its own `.py` files, with the `.pxd` files beside some of them for C types.

Everything else about the package is in pyproject.toml. Without a C compiler the install goes on and the data plane is interpreted, which
the log says at start; with BUILD_EXTENSION=yes a failed build is an error.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# Nothing in these is run for a command.
DATA = ("__init__", "command_table", "lists", "octets", "overlay", "ports", "syscalls", "topology")
COMPILED = sorted(path for path in Path("rproxy/dataplane").glob("*.py") if path.stem not in DATA)

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        optional=os.environ.get("BUILD_EXTENSION") != "yes",
        extra_compile_args=["-O3", "-fno-strict-overflow"],
    )
    for path in COMPILED
]

setup(
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            # Types come from the .pxd files alone: an annotation `int` is no C type.
            "annotation_typing": False,
            "embedsignature": False,
        },
    ),
)
