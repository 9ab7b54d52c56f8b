import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten

from app.core.broker import EmbeddedBroker
from app.core.config import Settings
from app.core.queue import Doorbell, attach, celery_settings, ring_after_commit
from app.core.sweeper import sweep
from models import Job, Queue
from tests import factories

ROOT = Path(__file__).parents[3]


@pytest.fixture
def valkey(settings: Settings):
    valkey = EmbeddedBroker(settings)
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
def doorbell(settings, database):
    doorbell = Doorbell(settings)
    attach(database, doorbell)
    yield doorbell
    doorbell.close()


def num_rung(doorbell: Doorbell, queue: Queue = Queue.GPU) -> int | None:
    assert doorbell.flush(10)
    return doorbell.num_waiting(queue)


class TestRingAfterCommit:
    def test_rings_once_the_row_is_committed(self, valkey, doorbell, database, who):
        with database.write() as session:
            ring_after_commit(session, factories.job(session, who))
            assert num_rung(doorbell) == 0
        assert num_rung(doorbell) == 1
        assert num_rung(doorbell, Queue.IO) == 0

    def test_rings_nobody_after_a_rollback_nor_at_the_next_commit(self, valkey, doorbell, database, who):
        with database.sessions() as session:
            ring_after_commit(session, factories.job(session, who))
            session.rollback()
            factories.identity(session, "other")
            session.commit()
        assert num_rung(doorbell) == 0

    def test_forgets_only_what_a_savepoint_took_back(self, valkey, doorbell, database, who):
        with database.write() as session:
            ring_after_commit(session, factories.job(session, who))
            savepoint = session.begin_nested()
            ring_after_commit(session, factories.job(session, who))
            with session.begin_nested():
                ring_after_commit(session, factories.job(session, who))
            savepoint.rollback()
            with session.begin_nested():
                ring_after_commit(session, factories.job(session, who))
            assert num_rung(doorbell) == 0
        assert num_rung(doorbell) == 2


class TestWithoutABroker:
    def test_a_commit_neither_fails_nor_waits(self, doorbell, database, who):
        start = time.monotonic()
        with database.write() as session:
            ring_after_commit(session, factories.job(session, who))
        assert time.monotonic() - start < 1
        assert not doorbell.answers()

    def test_the_sweeper_rings_when_the_broker_is_back(self, settings, doorbell, database, who):
        with database.write() as session:
            job_id = factories.job(session, who).id
        sweep(database, doorbell)
        with database.read() as session:
            assert session.get_one(Job, job_id).rung_at is None
        valkey = EmbeddedBroker(settings)
        valkey.start()
        sweep(database, doorbell)
        assert num_rung(doorbell) == 1
        sweep(database, doorbell)
        assert num_rung(doorbell) == 1
        valkey.stop()

    def test_files_carry_messages_where_no_valkey_can_be_had(self, tmp_path):
        settings = Settings(_env_file=None, data_dir=tmp_path, broker_url="filesystem://")
        doorbell = Doorbell(settings)
        doorbell.ring(1, Queue.IO)
        assert num_rung(doorbell, Queue.IO) == 1
        doorbell.close()


class TestSettings:
    def test_every_one_exists_in_celery(self, tmp_path):
        given = celery_settings(Settings(_env_file=None, data_dir=tmp_path))
        assert set(given) <= set(flatten(NAMESPACES)) | set(dict(flatten(NAMESPACES)))

    def test_an_unknown_queue_is_refused(self, tmp_path):
        celery = Celery(set_as_current=False)
        celery.conf.update(celery_settings(Settings(_env_file=None, data_dir=tmp_path)))
        with pytest.raises(Exception, match="nowhere"):
            celery.send_task("workers.run", args=[1], queue="nowhere", retry=False)


def test_a_process_that_rings_loads_no_numerics_and_no_worker():
    code = "import sys, app.core.queue, app.core.leases, app.core.sweeper; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ
    )
    assert not {"torch", "numpy", "workers", "fastapi", "celery.worker"} & set(loaded.stdout.split())
