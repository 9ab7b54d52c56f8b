"""docker-compose.yml, Dockerfile, .env.example, docs and Makefile say what the code does."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.core.config import Settings
from models import QUEUE_OF, Queue

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NAMES = {f"PHANTOM_{name.upper()}" for name in Settings.model_fields}
STUDIO_SERVICES = ["web", "migrate", "gpu-worker", "io-worker"]


def stages() -> dict[str, str]:
    """Stage name -> its instructions."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_compose_has_the_services_of_an_installation():
    assert set(COMPOSE["services"]) == {*STUDIO_SERVICES, "valkey", "postgres"}
    assert set(COMPOSE["volumes"]) == {"studio-data", "broker-data", "database"}


def test_every_long_running_service_but_workers_has_a_health_check():
    for name in ("web", "valkey", "postgres"):
        assert COMPOSE["services"][name]["healthcheck"]["test"]


def test_workers_listen_to_every_queue():
    commands = [COMPOSE["services"][name]["command"] for name in ("gpu-worker", "io-worker")]
    listened = [queue for command in commands for queue in command[command.index("--queues") + 1].split(",")]
    assert sorted(listened) == sorted(Queue)
    assert set(QUEUE_OF.values()) == set(Queue)


@pytest.mark.parametrize("service", STUDIO_SERVICES)
def test_the_command_of_a_service_is_one_that_the_app_has(service: str):
    command = COMPOSE["services"][service]["command"]
    assert command[1:3] == ["-m", "app"]
    result = subprocess.run(
        [sys.executable, "-m", "app", command[3], "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
    for option in [word for word in command[4:] if word.startswith("--")]:
        assert option in result.stdout


@pytest.mark.parametrize("service", STUDIO_SERVICES)
def test_a_service_is_given_only_settings_that_exist(service: str):
    assert set(COMPOSE["services"][service]["environment"]) <= NAMES
    assert COMPOSE["services"][service]["build"]["target"] in stages()


def test_the_dockerfile_sets_only_settings_that_exist():
    assert set(re.findall(r"PHANTOM_[A-Z_]+", DOCKERFILE)) <= NAMES


def test_the_images_copy_what_their_process_needs_and_the_web_image_has_no_torch():
    assert {"app", "models", "migrations", "templates", "static"} <= copied("web")
    assert {"app", "models", "workers"} <= copied("worker")
    assert "workers" not in copied("web")
    assert "torch" not in (ROOT / "requirements/web.txt").read_text()
    assert "torch==2.13.0" in (ROOT / "requirements/worker.txt").read_text()


def copied(stage: str) -> set[str]:
    return set(re.findall(r"^COPY (?!--from)(\S+) ", stages()[stage], flags=re.MULTILINE))


def test_health_checks_ask_a_route_that_is_open(settings: Settings):
    from starlette.testclient import TestClient

    from app.main import create_app

    checks = " ".join([DOCKERFILE, *COMPOSE["services"]["web"]["healthcheck"]["test"]])
    routes = set(re.findall(r"127\.0\.0\.1:8000(/\w+)", checks))
    assert routes == {"/healthz"}
    with TestClient(create_app(settings)) as client:
        for route in routes:
            assert client.get(route).status_code == 200


def test_every_setting_is_in_the_example_and_in_the_documentation():
    example = (ROOT / ".env.example").read_text()
    documented = (ROOT / "docs/settings.md").read_text()
    assert set(re.findall(r"PHANTOM_[A-Z_]+", example)) == NAMES
    assert {name for name in NAMES if f"`{name}`" not in documented} == set()


def test_the_readmes_commands_are_targets_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    used = re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text())
    assert {"demo", "test", "up", "check", "bench"} <= targets
    assert {"demo", "test"} <= set(used) <= targets


def test_locks_pin_everything_that_the_inputs_name():
    for name in ("web", "worker", "dev"):
        lines = (ROOT / f"requirements/{name}.in").read_text().splitlines()
        wanted = {canonical(shlex.split(line)[0]) for line in lines if line and line[0] not in "#-"}
        pinned = {canonical(line) for line in (ROOT / f"requirements/{name}.txt").read_text().splitlines()}
        assert wanted <= pinned, wanted - pinned


def canonical(requirement: str) -> str:
    name = re.split(r"[=<>;\[ ]", requirement)[0]
    return name.lower().replace("_", "-")
