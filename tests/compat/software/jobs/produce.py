"""Enqueues a job for each number that comes in, and says whether it was accepted: `python produce.py rq_jobs`."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    enqueue = importlib.import_module(sys.argv[1]).enqueue
    for line in sys.stdin:
        try:
            enqueue(int(line))
        except Exception as problem:  # whatever the framework says when it has not been accepted
            print(f"{type(problem).__name__}: {problem}".replace("\n", " "), flush=True)
        else:
            print("accepted", flush=True)


if __name__ == "__main__":
    main()
