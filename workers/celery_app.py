"""The Celery instance. Its pool is solo: one job at a time, in the main thread of the process that holds the network.

Celery's own acknowledgement, retry and time limits are off: the rows decide what runs (app/core/leases.py).
A warm shutdown (TERM) is enough: the job is told, saves and returns. `worker_soft_shutdown_timeout` and
REMAP_SIGTERM are for pools with children; here they would sleep in the very thread that has to save.
"""

from celery import Celery

from app.core.config import Settings
from app.core.queue import celery_settings


def make_celery(settings: Settings) -> Celery:
    celery = Celery("phantom", set_as_current=False)
    celery.conf.update(celery_settings(settings))
    return celery
