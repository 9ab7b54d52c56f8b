from pathlib import Path

import pytest
import redis

from app.core import broker
from app.core.broker import EmbeddedBroker
from app.core.config import Settings
from app.core.errors import UnavailableError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path)


@pytest.fixture
def valkey(settings: Settings):
    valkey = EmbeddedBroker(settings)
    valkey.start()
    yield valkey
    valkey.stop()


def client(valkey: EmbeddedBroker) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(valkey.socket), decode_responses=True)


class TestEmbeddedBroker:
    def test_answers_on_a_socket_of_this_user_alone_and_on_no_port(self, valkey):
        assert broker.answers(valkey.socket)
        assert valkey.socket.stat().st_mode & 0o077 == 0
        assert valkey.socket.parent.stat().st_mode & 0o077 == 0
        with client(valkey) as connection:
            assert connection.config_get("port") == {"port": "0"}

    def test_leaves_nothing_running_when_stopped(self, valkey):
        valkey.stop()
        assert valkey.exit_code is not None
        assert not valkey.socket.exists()
        assert not broker.answers(valkey.socket)

    def test_keeps_messages_over_a_restart(self, valkey, settings):
        with client(valkey) as connection:
            connection.lpush("gpu", "a message")
        valkey.stop()
        again = EmbeddedBroker(settings)
        again.start()
        with client(again) as connection:
            assert connection.lrange("gpu", 0, -1) == ["a message"]
        again.stop()

    def test_replaces_one_that_a_killed_studio_left_behind(self, valkey, settings):
        again = EmbeddedBroker(settings)
        again.start()
        assert valkey.exit_code is not None
        assert broker.answers(again.socket)
        again.stop()

    def test_says_why_it_did_not_start(self, settings):
        folder = broker.broker_folder(settings)
        folder.mkdir()
        (folder / "appendonlydir").write_text("not a folder")
        with pytest.raises(UnavailableError, match=r"did not start: .*appendonlydir"):
            EmbeddedBroker(settings).start()


class TestSocketPath:
    def test_lies_in_the_data_folder(self):
        settings = Settings(_env_file=None, data_dir=Path("/data"))
        assert broker.socket_path(settings) == Path("/data/broker/valkey.sock")

    def test_is_short_where_the_data_folder_is_not_and_differs_for_each(self, tmp_path):
        deep = [Settings(_env_file=None, data_dir=tmp_path / ("x" * 90) / name) for name in "ab"]
        paths = {broker.socket_path(settings) for settings in deep}
        assert len(paths) == 2
        assert all(len(str(path)) < broker.MAX_SOCKET_PATH for path in paths)

    def test_a_server_starts_on_the_short_path(self, tmp_path):
        valkey = EmbeddedBroker(Settings(_env_file=None, data_dir=tmp_path / ("x" * 90)))
        valkey.start()
        assert broker.answers(valkey.socket)
        valkey.stop()
        valkey.socket.parent.rmdir()

    def test_a_folder_that_is_a_link_is_refused(self, tmp_path):
        (tmp_path / "theirs").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "theirs")
        with pytest.raises(UnavailableError, match="belongs to somebody else"):
            broker.make_private_folder(tmp_path / "link")


class TestBrokerUrl:
    def test_is_the_one_given(self):
        assert broker.broker_url(Settings(_env_file=None, broker_url="redis://host:1/0")) == "redis://host:1/0"

    def test_is_the_own_valkey_otherwise(self, settings, tmp_path):
        assert broker.broker_url(settings) == f"redis+socket://{tmp_path}/broker/valkey.sock"
