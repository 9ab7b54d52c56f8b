import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.migrate import is_current, migrate
from app.lock import only_studio
from app.services import identity

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment, timeout=120)


class TestTokens:
    def test_create_prints_only_a_token_that_works(self, tmp_path):
        result = run("tokens", "create", "--name", "script", "--data-dir", str(tmp_path))
        assert result.returncode == 0, result.stderr
        database = Database(Settings(_env_file=None, data_dir=tmp_path).effective_database_url)
        with database.read() as session:
            who = identity.from_token(session, result.stdout.strip())
        assert who is not None
        assert who.scopes == {"read", "write"}
        database.dispose()


class TestLink:
    def test_prints_a_link_to_the_port_of_the_settings(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("PHANTOM_PORT", "8123")
        assert main(["migrate", "--data-dir", str(tmp_path)]) == 0
        assert main(["link", "--data-dir", str(tmp_path)]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith("http://127.0.0.1:8123/sign-in?code=")


class TestDoctor:
    def test_sweeps_first_where_it_is_told_to(self, tmp_path, capsys):
        assert main(["doctor", "--sweep", "--data-dir", str(tmp_path)]) == 1
        assert "Nothing was deleted" in capsys.readouterr().err
        assert main(["migrate", "--data-dir", str(tmp_path)]) == 0
        assert main(["doctor", "--sweep", "--data-dir", str(tmp_path)]) == 0
        assert "Nothing was left over to delete." in capsys.readouterr().out.splitlines()


class TestMigrate:
    def test_makes_the_tables_and_changes_nothing_the_second_time(self, tmp_path):
        settings = Settings(_env_file=None, data_dir=tmp_path / "new")
        migrate(settings)
        migrate(settings)
        assert is_current(settings)

    def test_works_on_postgresql_too(self, postgresql_url, tmp_path):
        settings = Settings(_env_file=None, data_dir=tmp_path, database_url=postgresql_url.format("postgres"))
        assert not is_current(settings)
        migrate(settings)
        assert is_current(settings)


class TestWorker:
    def test_refuses_a_queue_that_does_not_exist(self, tmp_path, capsys):
        assert main(["worker", "--queues", "gpu,cpu", "--data-dir", str(tmp_path)]) == 1
        assert "There is no queue 'cpu'" in capsys.readouterr().err

    def test_takes_the_place_of_the_process(self, tmp_path):
        result = run("worker", "--queues", "io", "--help-is-not-an-option")
        assert result.returncode == 2  # argparse's own answer: wrong usage


class TestUp:
    def test_says_when_the_port_is_taken_and_starts_nothing(self, tmp_path):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = run("up", "--data-dir", str(tmp_path / "new"), "--port", str(port))
        assert result.returncode == 1
        assert f"Nothing can listen on 127.0.0.1, port {port}: Address already in use." in result.stderr
        assert "--port 0" in result.stderr
        assert not (tmp_path / "new").exists()


class TestLock:
    def test_is_held_by_one_and_free_afterwards(self, tmp_path):
        with (
            only_studio(tmp_path, "process 1, http://a"),
            pytest.raises(ConflictError, match="process 1, http://a"),
            only_studio(tmp_path, "b"),
        ):
            raise AssertionError("two studios on one folder")
        with only_studio(tmp_path, "process 2"):
            assert (tmp_path / "studio.lock").read_text() == "process 2"


def test_openapi_prints_the_document(tmp_path):
    result = run("openapi", "--data-dir", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["info"]["title"] == "Phantom Studio"


def test_without_a_command_says_which_there_are():
    result = run()
    assert result.returncode == 2
    assert "COMMAND" in result.stderr


@pytest.mark.parametrize("command", ["app.cli", "app.doctor", "app.supervisor"])
def test_the_command_line_loads_no_numerics(command):
    code = f"import sys, {command}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "workers", "diffusers"} & set(loaded)
