"""A sampling in parts on two real GPU workers: drawn at the same time, one of them killed, and the set of one worker alone."""

import signal
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select

from app.core import leases
from app.core.storage import make_storage
from app.services import jobs
from models import Job, JobState, SyntheticImage
from models.specs import SampleSpec, TrainDiffusionSpec
from tests import factories
from tests.faults.test_lost_workers import is_finished

pytestmark = [pytest.mark.usefixtures("broker"), pytest.mark.timeout(900)]


def submit(database, who, spec) -> int:
    with database.write() as session:
        return jobs.submit(session, who, spec).id


def images_of(database, job: Job) -> list[tuple[int, int, str]]:
    with database.read() as session:
        query = select(SyntheticImage.index, SyntheticImage.label, SyntheticImage.stored_sha256)
        rows = session.execute(query.where(SyntheticImage.set_id == job.result["synthetic_set_id"]))
        return sorted(tuple(row) for row in rows)


def parts_when(database, who, job_id: int, condition: Callable[[list[Job]], bool], *, within_s: float) -> list[Job]:
    deadline = time.monotonic() + within_s
    while True:
        with database.read() as session:
            parts = list(jobs.family(session, jobs.get(session, who, job_id)).parts)
        if condition(parts):
            return parts
        assert time.monotonic() < deadline, [(part.state, part.done, part.owner, part.message) for part in parts]
        time.sleep(0.05)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_two_workers_draw_at_once_and_what_a_killed_one_began_is_ended_by_the_other(
    database, settings, who, doorbell, workers, wait_for
):
    with database.write() as session:
        version = factories.dataset_with_version(session, who, num_images=20, storage=make_storage(settings))
    first, second = workers.start("workers", queues="gpu,io"), workers.start("workers", queues="gpu")
    training = TrainDiffusionSpec(
        dataset_id=version.dataset_id, preset="tiny", image_size=32, num_steps=2, batch_size=4, block_channels=[8, 8]
    )
    trained = wait_for(submit(database, who, training), is_finished, within_s=300)
    assert trained.state == JobState.SUCCEEDED, trained.error
    options = {
        "checkpoint_id": trained.result["checkpoint_id"],
        "per_class": 24,
        "num_steps": 30,
        "batch_size": 8,
        "guidance": 1.0,
    }
    alone = wait_for(submit(database, who, SampleSpec(**options)), is_finished, within_s=300)

    job_id = submit(database, who, SampleSpec(**options, num_parts=2))
    parts = parts_when(
        database, who, job_id,
        lambda parts: all(part.state == JobState.RUNNING and part.done >= 8 for part in parts), within_s=300,
    )  # fmt: skip
    owners = [str(part.owner) for part in parts]
    assert {owner.split(":")[1] for owner in owners} == {str(first.pid), str(second.pid)}
    killed = next(part for part in parts if str(second.pid) in str(part.owner).split(":"))
    (kept,) = (part for part in parts if part.id != killed.id)
    second.send_signal(signal.SIGKILL)
    second.wait()
    with database.write() as session:
        assert leases.take_from_owner(session, str(killed.owner), reason="its worker was killed", is_crash=True)

    job = wait_for(job_id, is_finished, within_s=300)
    assert job.state == JobState.SUCCEEDED, job.error
    ended = {part.id: part for part in parts_when(database, who, job_id, lambda parts: True, within_s=1)}
    assert (ended[killed.id].attempt, ended[killed.id].crashes) == (2, 1)
    assert ended[killed.id].resumed_from >= 8
    assert (ended[kept.id].attempt, ended[kept.id].crashes) == (1, 0)
    assert images_of(database, job) == images_of(database, alone)
    assert len(images_of(database, job)) == 48
