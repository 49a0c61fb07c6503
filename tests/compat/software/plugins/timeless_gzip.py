"""A pytest plugin for suites that look for a compressed value by its bytes: what gzip makes of the same bytes is the same in every second.

Without it `gzip.compress` writes the time of day into its header (RFC 1952, MTIME), and a member of a set that was added in one second is not found in the
next.
"""

from __future__ import annotations

import functools
import gzip

gzip.compress = functools.partial(gzip.compress, mtime=0)
