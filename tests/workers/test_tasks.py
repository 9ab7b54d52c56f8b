import pytest

from app.core.queue import TASK
from models import Job, JobState, Queue
from tests import factories
from tests.faults.counting import count, spec
from workers.celery_app import make_celery
from workers.runner import Runner
from workers.tasks import register


@pytest.fixture
def celery(settings, database, storage):
    celery = make_celery(settings)
    runner = Runner(
        settings=settings, database=database, storage=storage, queues=[Queue.GPU], owner="a",
        device=lambda: "cpu", functions=lambda kind: count,
    )  # fmt: skip
    register(celery, runner)
    return celery


def test_a_doorbell_runs_the_best_waiting_job_and_not_the_one_that_rang(celery, database, who):
    with database.write() as session:
        rung = factories.job(session, who, state=JobState.PAUSED).id
        waiting = factories.job(session, who, spec=spec(num_steps=1, seconds_per_step=0.01)).id
    celery.tasks[TASK](rung)
    with database.read() as session:
        assert session.get_one(Job, rung).state == JobState.PAUSED
        assert session.get_one(Job, waiting).state == JobState.SUCCEEDED


def test_a_second_doorbell_runs_nothing(celery, database, who):
    with database.write() as session:
        job_id = factories.job(session, who, spec=spec(num_steps=1, seconds_per_step=0.01)).id
    for _ in range(2):
        celery.tasks[TASK](job_id)
    with database.read() as session:
        assert session.get_one(Job, job_id).attempt == 1


def test_the_broker_never_retries_schedules_or_acknowledges_late(celery):
    task = celery.tasks[TASK]
    assert task.ignore_result
    assert not task.acks_late
    assert not task.reject_on_worker_lost
    assert all(queue.no_ack for queue in celery.conf.task_queues)
