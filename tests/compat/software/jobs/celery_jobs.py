"""Celery's application: its defaults, without results."""

from __future__ import annotations

import os

import celery
from done import done

app = celery.Celery("jobs", broker=os.environ["JOBS_URL"])
app.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True)
job = app.task(name="job")(done)


def enqueue(number: int) -> None:
    job.delay(number)
