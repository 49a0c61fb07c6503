"""huey's application: its blocking queue, which is its default."""

from __future__ import annotations

import os

import huey
from done import done

app = huey.RedisHuey("jobs", url=os.environ["JOBS_URL"], results=False)
job = app.task(name="job")(done)


def enqueue(number: int) -> None:
    job(number)
