"""The broker may go and come: it carries nothing that cannot be lost."""

import os
import signal
import time

from app.core.broker import EmbeddedBroker
from app.core.sweeper import sweep
from app.services import jobs
from models import JobState
from models.specs import SampleSpec
from tests import factories
from tests.faults.test_lost_workers import is_finished, submit


def test_a_job_submitted_without_a_broker_is_accepted_at_once_and_runs_when_it_is_back(
    database, settings, who, doorbell, workers, wait_for
):
    start = time.monotonic()
    job_id = submit(database, who, num_steps=2)
    assert time.monotonic() - start < 1
    workers.start()  # it waits for the broker, too
    time.sleep(3)
    broker = EmbeddedBroker(settings)
    broker.start()
    sweep(database, doorbell)
    assert wait_for(job_id, is_finished, within_s=60).state == JobState.SUCCEEDED
    broker.stop()


def test_the_service_accepts_jobs_without_a_broker(database, who, doorbell):
    with database.write() as session:
        checkpoint = factories.checkpoint(session, who, factories.dataset_with_version(session, who))
    start = time.monotonic()
    with database.write() as session:
        job = jobs.submit(session, who, SampleSpec(checkpoint_id=checkpoint.id, per_class=1))
    assert time.monotonic() - start < 1
    assert job.state == JobState.QUEUED


def test_a_job_runs_on_while_the_broker_is_killed_and_the_next_one_runs_too(
    database, settings, who, broker, doorbell, workers, wait_for
):
    workers.start()
    job_id = submit(database, who, num_steps=60)
    wait_for(job_id, lambda job: job.done >= 10, within_s=60)
    os.kill(broker.pid, signal.SIGKILL)
    job = wait_for(job_id, is_finished, within_s=30)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    later = submit(database, who, num_steps=1)
    broker.start()
    sweep(database, doorbell)
    assert wait_for(later, is_finished, within_s=60).state == JobState.SUCCEEDED
