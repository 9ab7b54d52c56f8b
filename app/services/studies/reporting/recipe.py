"""A study as the YAML file that `phantom run` takes: complete, with its version named, so that it gives the same again.

The web process has no YAML library, and needs none to write plain values: every scalar is written as JSON writes it, which YAML reads.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.services.datasets import card_facts, splitting
from app.services.studies import reproducing
from app.services.studies.launching import drawn_sizes
from app.services.studies.reporting.document import Reproduce
from app.services.studies.reporting.values import Link
from models import DatasetVersion, Study
from models.specs.changing import Resplit
from models.specs.study import PAPER_SPLIT

PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
)  # keys that YAML 1.1 takes for something else
NOT_PRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def study_yaml(session: Session, study: Study, version: DatasetVersion) -> str:
    """What `phantom run study.yaml` takes as it is, where this version is; comments say how to run it elsewhere."""
    preset = _preset(session, study, version)
    comments = _comments(study, version, drawn=drawn_sizes(session, study), preset=preset)
    return "\n".join([*comments, *_mapping(_asked(study, preset), ""), ""])


def _preset(session: Session, study: Study, version: DatasetVersion) -> str:
    """That of the study; of paper only where it gives this very version again, and with it all that was made of it."""
    if study.spec.get("preset") != "paper":
        return "studio"
    found, _ = splitting.foresee(session, version, PAPER_SPLIT)
    return "paper" if found is version else "studio"


def _asked(study: Study, preset: str) -> dict[str, Any]:
    """The spec, naming the version on which the study really ran."""
    asked = {"kind": "study", **study.spec, "version_id": study.version_id, "preset": preset, "name": study.name}
    if study.name.startswith("$"):  # which would stand for an earlier step of the file
        del asked["name"]
    return asked


def _comments(study: Study, version: DatasetVersion, *, drawn: Sequence[float], preset: str) -> Iterator[str]:
    yield f"# Study {study.id}. Run it with: phantom run study.yaml --wait"
    yield f"# Dataset {_scalar(version.dataset.name)}, version {version.number}, {version.num_images} images."
    yield f"# SHA-256 of the version's manifest: {version.manifest_sha256}"
    yield f"# Split: {card_facts.split_in_words(version)}."
    yield "# On another studio: upload the same images, put that dataset's number as dataset_id, and leave version_id out."
    if preset == "paper":
        yield "# preset: paper splits them there as it did here, where it finds this very version and what was made of it."
    elif study.spec.get("preset") == "paper":
        yield "# It was launched with preset: paper, which would split otherwise today: which images look alike has changed since."
    if preset != "paper" and _dealt(version):
        yield "# Split them there as here first; the study's report has the command."
    if len(drawn) > 1:
        sizes = ", ".join(f"{size:g}" for size in drawn)
        yield f"# Sets of the sizes {sizes} were drawn one after another and audited each; this draws and audits the largest alone."
    if study.name.startswith("$"):
        yield "# Its name begins with $, which has a meaning in this file; so it is left out."


def _mapping(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in values.items():
        name = key if PLAIN_KEY.fullmatch(key) and key.lower() not in WORDS else _scalar(key)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}:"
            yield from _mapping(value, f"{indent}  ")
        else:
            yield f"{indent}{name}: {_flow(value)}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(_flow(each) for each in value)}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")  # YAML 1.1 takes 1e-05 for a text
    return NOT_PRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def reproduce(session: Session, study: Study, version: DatasetVersion, studio: str) -> Reproduce:
    return Reproduce(
        study_yaml(session, study, version),
        list(_commands(study, version, studio)),
        list(_runs(session, study)),
        version.manifest_sha256,
    )


def _commands(study: Study, version: DatasetVersion, studio: str) -> Iterator[tuple[str, str]]:
    """(why, what to type), in order."""
    recipe = f"{studio}/api/v1/studies/{study.id}/study.yaml"
    yield (
        "Take the recipe, or copy it from below.",
        f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" -o study.yaml {recipe}',
    )
    again = "On this studio: whatever is there already is used again."
    yield again, f"PHANTOM_URL={studio} phantom run study.yaml --wait"
    anew = "On this studio with every job anew; then each figure and file is compared with this run's."
    yield anew, f"PHANTOM_URL={studio} phantom studies reproduce {study.id} --wait"
    yield from _elsewhere(version)


def _elsewhere(version: DatasetVersion) -> Iterator[tuple[str, str]]:
    why = (
        "On another studio: bring the same images, put that dataset's number into the recipe, and leave version_id out."
    )
    upload, dealt = "phantom datasets upload FOLDER --name NAME", _dealt(version)
    yield why, upload if dealt else f"{upload} --seed {version.layout.get('seed', 0)}"
    if dealt:
        options = ", ".join(f"{name}={value!r}" for name, value in dealt.items()).replace("'", '"')
        change = f'Studio().datasets.get("NAME").change("resplit", {options})'
        yield "Split them as here.", f"python -c 'from phantom import Studio; {change}'"
    split = card_facts.split_in_words(version)
    yield (
        f"Compare the hash of the manifest (split: {split}). Where patients are known it differs: each studio has its own pseudonyms.",
        'python -c \'from phantom import Studio; print(Studio().datasets.get("NAME").version["manifest_sha256"])\'',
    )


def _dealt(version: DatasetVersion) -> dict[str, Any]:
    """Options of the change that splits an upload like this version; empty where the upload's own split does, by its seed."""
    layout = version.layout
    by, percent = layout.get("split_by"), layout.get("percent")
    if percent is None or by not in ("units", "blocks"):
        return {}
    asked = Resplit(
        seed=layout["seed"], train_percent=percent["train"], val_percent=percent["val"], by=by
    )  # fmt: skip
    as_uploaded = not layout.get("split_anew") and asked == Resplit(seed=asked.seed)
    return {} if as_uploaded else asked.model_dump(exclude={"action"})


def _runs(session: Session, study: Study) -> Iterator[Link]:
    """Comparisons with the study that it runs again, and with those that run it again."""
    first = reproducing.original(session, study)
    if first is not None:
        yield Link(f"with study {first.id}, which it runs again", f"/studies/compare?a={first.id}&b={study.id}")
    for again in reproducing.reproductions(session, study):
        yield Link(f"with study {again.id}, which runs it again", f"/studies/compare?a={study.id}&b={again.id}")
