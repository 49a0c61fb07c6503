"""The data plane: what every command passes through. Bytes in, decisions and bytes out.

It imports nothing of asyncio, redis, logging, time or random: clock, randomness, "at the end of this loop pass", "call me later" and
`dial(server, protocol)` are handed in. Compiled as a whole by Cython from its own `.py` files, with a `.pxd` of C types beside the hot ones;
with RPROXY_INTERPRETED=1 in the environment those files are interpreted even where they have been compiled.
"""

import os
import sys
from importlib import import_module
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader

if os.environ.get("RPROXY_INTERPRETED"):
    sys.path_importer_cache[__path__[0]] = FileFinder(__path__[0], (SourceFileLoader, SOURCE_SUFFIXES))

import_module(f"{__name__}.plane")  # the classes know each other: beginning anywhere else would find half of them unmade


def compiled() -> bool:
    """Whether the compiled data plane runs."""
    from rproxy.dataplane import resp

    return not resp.__file__.endswith(".py")
