"""dramatiq's broker and actor."""

from __future__ import annotations

import os

import dramatiq
from done import done
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["JOBS_URL"]))
job = dramatiq.actor(actor_name="job")(done)


def enqueue(number: int) -> None:
    job.send(number)
