import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.core.config import Settings
from app.core.pseudonyms import Pseudonyms


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path / "new")


def test_a_patient_has_one_name_and_the_id_is_not_in_it(settings):
    names = Pseudonyms(settings)
    assert names.patient("4711") == names.patient("4711") == Pseudonyms(settings).patient("4711")
    assert names.patient("4711") != names.patient("4712")
    assert names.patient("4711").removeprefix("patient-") != names.series("4711").removeprefix("series-")
    assert "4711" not in names.patient("4711")


def test_is_hmac_sha256_by_the_key_of_the_data_folder(settings):
    name = Pseudonyms(settings).patient("4711")
    key = (settings.folder / "pseudonyms.key").read_bytes()
    assert len(key) == 32
    assert name == "patient-" + hmac.new(key, b"patient:4711", "sha256").hexdigest()[:16]


def test_the_key_is_for_the_owner_only(settings):
    Pseudonyms(settings)
    assert stat.S_IMODE((settings.folder / "pseudonyms.key").stat().st_mode) == 0o600
    assert [file.name for file in settings.folder.iterdir()] == ["pseudonyms.key"]


def test_another_data_folder_has_other_names(settings, tmp_path: Path):
    other = Settings(_env_file=None, data_dir=tmp_path / "other")
    assert Pseudonyms(settings).patient("4711") != Pseudonyms(other).patient("4711")


def test_many_at_once_agree_on_one_key(settings):
    with ThreadPoolExecutor(16) as executor:
        names = set(executor.map(lambda _: Pseudonyms(settings).patient("4711"), range(64)))
    assert len(names) == 1


def test_a_key_of_another_length_is_never_used(settings):
    settings.folder.mkdir()
    (settings.folder / "pseudonyms.key").write_bytes(b"short")
    with pytest.raises(RuntimeError, match=r"holds 5 bytes; expected 32\. Restore it"):
        Pseudonyms(settings)
