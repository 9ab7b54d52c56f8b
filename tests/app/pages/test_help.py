"""Help, workers, and the shortcuts that both the page and the script read."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

from app.pages.help_page import read_shortcuts
from app.pages.render import STATIC
from models import Queue, Worker


def test_lists_every_shortcut_of_the_script(web: Any) -> None:
    page = web.get("/help").text
    for shortcut in read_shortcuts():
        assert shortcut.words in page
    assert len(read_shortcuts()) > 10


def test_every_action_in_the_table_is_known_to_the_script() -> None:
    script = (STATIC / "js" / "shortcuts.js").read_text()
    table = (STATIC / "js" / "shortcuts.json").read_text()
    actions = set(re.findall(r'"action": "(\w+)"', table))
    known = set(re.findall(r"^  (\w+): \(", script, re.MULTILINE))
    assert actions == known


def test_no_two_shortcuts_share_their_keys_in_one_place() -> None:
    seen = [(shortcut.keys, shortcut.where) for shortcut in read_shortcuts()]
    assert len(seen) == len(set(seen))


def test_every_page_template_extends_the_base_or_is_a_fragment() -> None:
    templates = Path(__file__).parents[3] / "templates"
    whole = [
        path
        for path in templates.rglob("*.html")
        if not path.name.startswith("_") and path.parent.name != "macros" and path.name != "base.html"
    ]
    assert [path.name for path in whole if not path.read_text().lstrip().startswith(("{% extends", "{#"))] == []


def test_workers_say_what_they_run_on_and_which_queue_nobody_serves(web: Any) -> None:
    assert "No worker is running" in web.get("/workers").text
    with web.app.state.database.write() as session:
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        session.add(
            Worker(
                name="one",
                queues=[Queue.GPU],
                device="cuda: H100",
                memory_bytes=80_000_000_000,
                gflops=1e5,
                seen_at=soon,
            )
        )
    page = web.get("/workers").text
    assert "cuda: H100" in page
    assert "80.0 GB" in page
    assert "--queues interactive,io" in page
