"""A project with one row of everything."""

import pytest

from app.core.db import Database
from app.core.storage import Storage
from app.services.identity import Identity
from tests.lab import Lab, make_lab


@pytest.fixture
def lab(database: Database, who: Identity, storage: Storage) -> Lab:
    with database.write() as session:
        return make_lab(session, who, storage)
