"""Every sha256 of the data model is known to be a storage key, or known not to be one."""

from app.core import references
from app.core.db import Database
from app.services.identity import Identity
from models import Base
from tests import factories

NO_KEYS = {  # hashes of content that is not in storage, and of secrets
    "images.file_sha256", "images.pixel_sha256", "dataset_versions.manifest_sha256", "users.password_sha256",
    "fingerprints.stored_sha256", "duplicate_pairs.first_sha256", "duplicate_pairs.second_sha256",  # say what images name
    "tokens.secret_sha256", "login_links.secret_sha256", "web_sessions.secret_sha256",
}  # fmt: skip


def test_no_column_of_a_hash_is_forgotten() -> None:
    columns = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.name.endswith("sha256")
    }
    keys = {f"{column.class_.__tablename__}.{column.key}" for column in references.KEYS}
    assert columns - NO_KEYS == keys


def test_finds_what_rows_of_any_kind_name(database: Database, who: Identity) -> None:
    with database.write() as session:
        assert not references.names_any(session)
        version = factories.dataset_with_version(session, who)
        checkpoint = factories.checkpoint(session, who, version)
        drawn = factories.synthetic_set(session, who, checkpoint)
        used = {checkpoint.sha256, factories.classifier(session, who, version).sha256}
        used |= {image.stored_sha256 for image in session.query(factories.SyntheticImage).filter_by(set_id=drawn.id)}
        unused = {f"{k:064x}" for k in range(1200)}
        assert references.named(session, used | unused) == used
        assert references.names_any(session)
