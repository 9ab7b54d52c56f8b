"""What most tests of services begin with: an open session that writes, and a version of a dataset in it."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from app.core.db import Database
from app.services.identity import Identity
from models import DatasetVersion
from tests import factories


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.write() as session:
        yield session


@pytest.fixture
def version(session: Session, who: Identity) -> DatasetVersion:
    return factories.dataset_with_version(session, who)
