"""The studio's commands: up, demo, web, worker, doctor, migrate, tokens, link, openapi.

Each imports what it needs when it runs, so that `--help` and `tokens create` answer at once.
"""

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from app.core.config import Settings
from app.core.errors import BadInputError, ConflictError, StudioError

Command = Callable[[Settings, argparse.Namespace], int]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        command: Command = options.command
        return command(settings, options)
    except StudioError as error:
        print(f"{error.title}: {error.detail}", error.hint, sep="\n" if error.hint else "", file=sys.stderr)
        return 1


def _settings(options: argparse.Namespace) -> Settings:
    """Settings from the environment, with what the command line says instead."""
    given = {name: getattr(options, name, None) for name in ("data_dir", "host", "port")}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Phantom Studio.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up_ = _add(commands, "up", up, "start web and workers, with no server to install")
    demo_ = _add(commands, "demo", demo, "start the studio and run the whole main job on sample phantoms")
    web_ = _add(commands, "web", web, "start one web process of a larger installation")
    web_.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a socket that is listening already
    web_.add_argument("--parent-fd", type=int, help=argparse.SUPPRESS)
    for command in (up_, demo_, web_):
        command.add_argument("--host", help="address to listen on (default: PHANTOM_HOST or 127.0.0.1)")
        command.add_argument(
            "--port", type=int, help="port to listen on, 0 for any free one (default: PHANTOM_PORT or 8000)"
        )
    worker_ = _add(commands, "worker", worker, "start one worker process of a larger installation")
    worker_.add_argument("--queues", required=True, help="comma-separated: gpu, interactive, io")
    worker_.add_argument("--name", help="name shown on the page of workers")
    doctor_ = _add(commands, "doctor", doctor, "check this installation, and say how to mend each part")
    doctor_.add_argument("--sweep", action="store_true", help="first delete stored files that nothing names")
    _add(commands, "migrate", migrate, "bring the database to the present tables")
    _add(commands, "link", link, "print a link that signs in once")
    _add(commands, "openapi", openapi, "print the OpenAPI document")
    tokens_ = commands.add_parser("tokens", help="API tokens").add_subparsers(required=True, metavar="ACTION")
    create_ = _add(tokens_, "create", create_token, "print a new API token")
    create_.add_argument("--name", required=True, help="what the token is for")
    return parser


def _add(commands: Any, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument(
        "--data-dir", type=Path, help="folder that holds everything (default: PHANTOM_DATA_DIR or studio-data)"
    )
    parser.set_defaults(command=command)
    return parser


def up(settings: Settings, _: argparse.Namespace) -> int:
    """Web and workers in one go, until Ctrl-C."""
    return _run_studio(settings, when_up=_print_link)


def demo(settings: Settings, _: argparse.Namespace) -> int:
    """The studio, and in it the whole main job on phantoms that it draws itself."""
    from app.demo import run_demo
    from app.services.identity import address

    def run_and_print_link(settings: Settings) -> None:
        run_demo(settings, address(settings))
        _print_link(settings, "&to=demo")

    return _run_studio(settings, when_up=run_and_print_link)


def _run_studio(settings: Settings, *, when_up: Callable[[Settings], None]) -> int:
    from app.core.logging import configure_logging
    from app.core.migrate import migrate as migrate_database
    from app.lock import only_studio
    from app.services.identity import address
    from app.supervisor import Supervisor

    configure_logging(settings, process="studio")
    with closing(_listen(settings)) as listener:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        with only_studio(settings.folder, f"process {os.getpid()}, {address(settings)}"):
            migrate_database(settings)
            Supervisor(settings, listener).run(lambda: when_up(settings))
    print("Phantom Studio has stopped. Jobs that were running go on when it is started again.")
    return 0


def _listen(settings: Settings) -> socket.socket:
    """The socket on which the web process will answer; ConflictError if the port is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConflictError(
            f"Nothing can listen on {settings.host}, port {settings.port}: {error.strerror}.",
            hint="Choose another with --port, or --port 0 for any free one.",
        ) from error
    return listener


def _print_link(settings: Settings, more: str = "") -> None:
    print(
        f"\nPhantom Studio is up. Open this link once to sign in:\n\n    {_make_link(settings)}{more}\n\nCtrl-C stops it.",
        flush=True,
    )


def _make_link(settings: Settings) -> str:
    from app.core.db import Database
    from app.services import identity

    database = Database(settings.effective_database_url)
    try:
        with database.write() as session:
            return identity.create_login_link(session, settings)
    finally:
        database.dispose()


def web(settings: Settings, options: argparse.Namespace) -> int:
    """One web process."""
    import uvicorn

    from app.core.logging import configure_logging
    from app.core.parent import stop_with_parent
    from app.main import create_app

    configure_logging(settings, process="web")
    if options.parent_fd is not None:
        stop_with_parent(options.parent_fd)
    config = uvicorn.Config(
        create_app(settings), host=settings.host, port=settings.port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=3,
    )  # fmt: skip
    sockets = None if options.fd is None else [socket.socket(fileno=options.fd)]
    uvicorn.Server(config).run(sockets=sockets)
    return 0


def worker(settings: Settings, options: argparse.Namespace) -> int:
    """One worker process. It takes the place of this one, so that `app` itself never loads numerics."""
    arguments = ["--queues", _known_queues(options.queues)] + (["--name", options.name] if options.name else [])
    environment = {**os.environ, "PHANTOM_DATA_DIR": str(settings.folder)}
    os.execve(sys.executable, [sys.executable, "-m", "workers", *arguments], environment)  # noqa: S606


def _known_queues(text: str) -> str:
    from models import Queue

    unknown = [name for name in text.split(",") if name not in list(Queue)]
    if unknown:
        raise BadInputError(
            f"There is no queue {unknown[0]!r}.", hint=f"Use one or more of {', '.join(Queue)}, with commas between."
        )
    return text


def migrate(settings: Settings, _: argparse.Namespace) -> int:
    from app.core.migrate import migrate as migrate_database

    migrate_database(settings)
    print("The database has the present tables.")
    return 0


def link(settings: Settings, _: argparse.Namespace) -> int:
    print(_make_link(settings))
    return 0


def create_token(settings: Settings, options: argparse.Namespace) -> int:
    """Print nothing but the token, so that a script can take it."""
    from app.core.db import Database
    from app.core.migrate import migrate as migrate_database
    from app.services import identity, tokens

    migrate_database(settings)
    database = Database(settings.effective_database_url)
    try:
        with database.write() as session:
            who = identity.system(session)
            _, secret = tokens.create(session, who, name=options.name, scopes=["read", "write"], expires_in_days=None)
    finally:
        database.dispose()
    print(secret)
    return 0


def openapi(settings: Settings, _: argparse.Namespace) -> int:
    from app.main import create_app

    print(json.dumps(create_app(settings).openapi(), indent=1, ensure_ascii=False))
    return 0


def doctor(settings: Settings, options: argparse.Namespace) -> int:
    from app.doctor import examine, print_findings, sweep

    if options.sweep:
        print(sweep(settings))
    return print_findings(examine(settings))
