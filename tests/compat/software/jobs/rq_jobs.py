"""RQ's queue `default`."""

from __future__ import annotations

import os

import redis
import rq
from done import done

queue = rq.Queue(connection=redis.Redis.from_url(os.environ["JOBS_URL"]))


def enqueue(number: int) -> None:
    queue.enqueue(done, number)
