"""Files named by their content: putting, and discarding what nobody has put for long."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from app.core.config import Settings
from app.core.errors import NotFoundError
from app.core.storage import LocalStorage

CONTENT = b"an image"
DAY = 86_400.0


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(Settings(_env_file=None, data_dir=tmp_path).files_dir)


def put_long_ago(storage: LocalStorage, content: bytes = CONTENT, *, days: float = 10) -> str:
    key = storage.put(content).sha256
    os.utime(storage.path(key), (time.time() - days * DAY,) * 2)
    return key


def yesterday() -> float:
    return time.time() - DAY


def remains(storage: LocalStorage, tmp_path: Path) -> list[str]:
    return sorted(path.name for name in ("incoming", "aside") for path in (tmp_path / "files" / name).glob("*"))


def test_what_was_put_is_read_until_it_is_deleted(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    key, size = storage.put(tmp_path / "source")
    assert storage.put(CONTENT) == (key, size)
    assert (storage.read(key), size) == (CONTENT, 8)
    storage.delete(key)
    assert not storage.exists(key)
    with pytest.raises(NotFoundError, match="is not in storage"):
        storage.path(key)


def test_lists_what_was_put_before_a_moment(storage: LocalStorage, tmp_path: Path) -> None:
    old = put_long_ago(storage, b"old")
    storage.put(b"new")
    (tmp_path / "files" / old[:2] / "README").write_text("no file of ours")
    os.utime(tmp_path / "files" / old[:2] / "README", (0, 0))
    assert list(storage.put_before(yesterday())) == [(old, 3)]
    assert len(list(storage.put_before(time.time() + DAY))) == 2


def test_its_clock_is_that_of_the_files(storage: LocalStorage) -> None:
    before = storage.now()
    dated = storage.path(storage.put(CONTENT).sha256).stat().st_mtime
    assert before <= dated <= storage.now() < before + DAY


class TestDiscard:
    def test_deletes_what_was_put_before_the_moment_only(self, storage: LocalStorage, tmp_path: Path) -> None:
        old, new = put_long_ago(storage), storage.put(b"new").sha256
        assert storage.discard(old, put_before=yesterday())
        assert not storage.discard(new, put_before=yesterday())
        assert not storage.discard(old, put_before=yesterday())  # gone by another call
        assert (storage.exists(old), storage.exists(new)) == (False, True)
        assert remains(storage, tmp_path) == []

    def test_a_file_that_is_put_again_is_new(self, storage: LocalStorage) -> None:
        key = put_long_ago(storage)
        assert storage.put(CONTENT).sha256 == key
        assert not storage.discard(key, put_before=yesterday())
        assert storage.read(key) == CONTENT

    @pytest.mark.parametrize("step", ["rename", "unlink"])
    def test_a_put_between_its_steps_wins(
        self, storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        key = put_long_ago(storage)
        real = getattr(Path, step)

        def put_first(self: Path, *arguments: Any, **options: Any) -> Any:
            monkeypatch.undo()
            storage.put(CONTENT)
            return real(self, *arguments, **options)

        monkeypatch.setattr(Path, step, put_first)
        storage.discard(key, put_before=yesterday())
        assert storage.read(key) == CONTENT
        assert list(storage.put_before(yesterday())) == []
        assert remains(storage, tmp_path) == []

    def test_loses_no_put_in_many_races(self, storage: LocalStorage, tmp_path: Path) -> None:
        """A put, two sweeps and a tidying of remains at the same moment: the file is there afterwards, and new."""
        rounds, lost = 250, []
        start, end = threading.Barrier(4), threading.Barrier(4)

        def take_part(act: Any, *, first: bool = False) -> None:
            for number in range(rounds):
                if first:
                    put_long_ago(storage)
                start.wait()
                act()
                end.wait()
                if first and not (storage.exists(key) and storage.path(key).stat().st_mtime > yesterday()):
                    lost.append(number)

        key = storage.put(CONTENT).sha256
        others = [
            threading.Thread(target=take_part, args=(act,))
            for act in (
                lambda: storage.discard(key, put_before=yesterday()),
                lambda: storage.discard(key, put_before=yesterday()),
                lambda: storage.remove_remains(older_than=yesterday()),
            )
        ]
        for thread in others:
            thread.start()
        take_part(lambda: storage.put(CONTENT), first=True)
        for thread in others:
            thread.join()
        assert lost == []
        assert remains(storage, tmp_path) == []


class TestRemains:
    def test_half_written_files_of_killed_processes_are_deleted_after_a_while(
        self, storage: LocalStorage, tmp_path: Path
    ) -> None:
        storage.put(CONTENT)
        for name, days in (("old", 3), ("new", 0.5)):
            file = tmp_path / "files" / "incoming" / name
            file.write_bytes(b"half")
            os.utime(file, (time.time() - days * DAY,) * 2)
        storage.remove_remains(older_than=yesterday())
        assert remains(storage, tmp_path) == ["new"]

    def test_what_a_killed_sweep_left_aside_is_put_back_as_new(self, storage: LocalStorage, tmp_path: Path) -> None:
        key = put_long_ago(storage)
        (tmp_path / "files" / "aside").mkdir()
        storage.path(key).rename(tmp_path / "files" / "aside" / f"{key}.0123456789abcdef")
        storage.remove_remains(older_than=yesterday())
        assert storage.read(key) == CONTENT
        assert not storage.discard(key, put_before=yesterday())
