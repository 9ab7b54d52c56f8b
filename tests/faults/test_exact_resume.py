"""A training that was killed ends with the very network of one that was not (on a CPU)."""

import random
import signal

import pytest
from sqlalchemy import select

from app.core import leases
from app.core.storage import make_storage
from app.services import jobs
from models import Checkpoint, JobState
from models.specs import TrainDiffusionSpec
from tests import factories
from tests.faults.test_lost_workers import is_finished, messages

NUM_STEPS = 150
pytestmark = [pytest.mark.usefixtures("broker"), pytest.mark.timeout(900)]


def submit_training(database, who, version) -> int:
    spec = TrainDiffusionSpec(
        dataset_id=version.dataset_id, preset="tiny", image_size=32, num_steps=NUM_STEPS, batch_size=4, block_channels=[8, 8],
        checkpoint_every=7, preview_every=60, seed=3,
    )  # fmt: skip
    with database.write() as session:
        return jobs.submit(session, who, spec).id


def sha256_of(database, job_id: int) -> str:
    with database.read() as session:
        return session.scalars(select(Checkpoint.sha256).where(Checkpoint.job_id == job_id)).one()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", [0])
def test_killed_twice_at_random_steps_the_network_has_the_same_sha256(
    database, settings, who, doorbell, workers, wait_for, seed
):
    with database.write() as session:
        version = factories.dataset_with_version(session, who, num_images=20, storage=make_storage(settings))
    worker = workers.start("workers", queues="gpu")
    undisturbed = submit_training(database, who, version)
    assert wait_for(undisturbed, is_finished, within_s=200).state == JobState.SUCCEEDED

    rng = random.Random(seed)
    disturbed = submit_training(database, who, version)
    for earliest, latest in ((10, 60), (70, 120)):
        step = rng.randint(earliest, latest)
        job = wait_for(
            disturbed, lambda job, step=step: job.done >= step and job.state == JobState.RUNNING, within_s=200
        )
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        with database.write() as session:
            assert leases.take_from_owner(session, str(job.owner), reason="its worker was killed", is_crash=True)
        worker = workers.start("workers", queues="gpu")
    job = wait_for(disturbed, is_finished, within_s=200)
    assert (job.state, job.attempt, job.crashes) == (JobState.SUCCEEDED, 3, 2), messages(database, disturbed)
    assert job.resumed_from > 0
    assert sha256_of(database, disturbed) == sha256_of(database, undisturbed)
