"""Spec files for `phantom run`: one job, or steps of which later ones use what earlier ones made.

A value that is exactly `$name` stands for the id of what the step `name` made. Nothing else is computed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from phantom.errors import PhantomError
from phantom.jobs import Job
from phantom.studies import Study, launch
from phantom.studio import Studio

Step = dict[str, Any]


class SpecError(PhantomError):
    """The spec file is not one that can be run."""


def read_steps(path: Path) -> list[Step]:
    """The steps of a spec file (YAML or JSON); SpecError if it has none, or one refers to what comes later."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not YAML: {error}") from error
    steps = loaded.get("steps", [loaded]) if isinstance(loaded, dict) else loaded
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise SpecError(f"{path} holds no job.", hint="Write one job (kind: ...), or a list of them under steps:")
    _check(steps)
    return steps


def needs_waiting(steps: list[Step]) -> bool:
    """Whether a step uses what an earlier one makes, so that the steps cannot all be handed in at once."""
    return any(reference for step in steps for reference in _references(step))


def start(studio: Studio, step: Step, made: dict[str, int]) -> Job[Any] | Study:
    """Hand in one step: a job, or, with kind: study, a whole study. made: the ids that earlier steps made, by the steps' names."""
    options = {name: value for name, value in _filled(step, made).items() if name != "id"}
    if "upload" in options:
        return studio.datasets.start_import(studio.datasets.send(options.pop("upload")), **options)
    if options.get("kind") == "study":
        return launch(studio.transport, {name: value for name, value in options.items() if name != "kind"})
    if isinstance(options.get("images"), dict):
        chosen = options.pop("images")
        found = studio.datasets.get(chosen.pop("dataset_id")).images(**chosen)
        options["image_ids"] = [image.id for image in found]
    return studio.submit(options.pop("kind"), **options)


def made_id(job: Job[Any] | Study) -> int | None:
    """The id of what a finished job made: the dataset of an import, the checkpoint of a training, the set to train on of an audit ..."""
    if isinstance(job, Study):
        return job.id
    result = job.data["result"] or {}
    names = ("dataset_id", "checkpoint_id", "synthetic_set_id", "classifier_id", "evaluation_id", "explanation_id")
    return next((int(result[name]) for name in names if name in result), None)


def _check(steps: list[Step]) -> None:
    known: set[str] = set()
    for number, step in enumerate(steps, 1):
        name = step.get("id", f"step {number}")
        if "upload" in step and ("name" in step) == ("dataset_id" in step):
            raise SpecError(
                f"{name} uploads, but does not say into which dataset.",
                hint="Add either name: ... for a new one, or dataset_id: ... for one that is there.",
            )
        if "upload" not in step and not isinstance(step.get("kind"), str):
            raise SpecError(
                f"{name} has no kind.",
                hint="Add kind: train_diffusion, sample, audit_set, train_classifier, evaluate, explain or study.",
            )
        for reference in _references(step):
            if reference not in known:
                raise SpecError(f"{name} uses ${reference}, but no earlier step has id: {reference}.")
        if "id" in step:
            known.add(str(step["id"]))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("$"):
        yield value[1:]
    elif isinstance(value, dict):
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _filled(value: Any, made: dict[str, int]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return made[value[1:]]
    if isinstance(value, dict):
        return {name: _filled(each, made) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, made) for each in value]
    return value
