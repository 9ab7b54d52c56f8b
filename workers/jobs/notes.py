"""What a job has already done, noted so that its next attempt need not do it again.

For jobs whose pieces are independent of each other: a note is a small JSON file beside where other jobs keep their
checkpoints, and appears whole or not at all.
"""

import json
import os
from typing import Any

from workers.context import JobContext


def write(context: JobContext, name: str, value: Any) -> None:
    """Keep a JSON-able value under a name of this attempt."""
    folder = context.folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    incoming = folder / f"{name}.tmp"
    with incoming.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    incoming.replace(folder / f"{name}.json")


def read_all(context: JobContext) -> list[Any]:
    """The values of all attempts; one that is damaged is passed over, and the log says so."""
    values = []
    for folder in context.checkpoint_folders():
        for file in sorted(folder.glob("*.json")):
            try:
                values.append(json.loads(file.read_text()))
            except ValueError as error:
                context.log(f"Passed over {file.name}, which is damaged ({error}); it is done again.", level="warning")
    return values
