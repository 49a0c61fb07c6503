"""`python -m rproxy`: the same as the `rproxy` command. Called by Python. It must never hold more."""

import sys

from rproxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
