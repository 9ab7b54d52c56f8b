"""The dataset that gets the images, where images are added to one: it goes along as `dataset_id` from page to page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from app.core.naming import among, plain
from app.pages.render import Script, none_if_empty
from app.services import datasets
from app.services.identity import Identity

DatasetId = Annotated[int | None, Query(ge=1, le=2**63 - 1), BeforeValidator(none_if_empty)]


@dataclass(frozen=True)
class Into:
    """counts: images of each class that the dataset has, in the order of its classes."""

    dataset_id: int
    name: str
    number: int
    counts: dict[str, int]

    @property
    def query(self) -> str:
        return f"?dataset_id={self.dataset_id}"

    def num_there(self, name: str) -> int | None:
        """How many images the dataset has of an upload's class; None if it is new."""
        known = among(name, self.counts)
        return None if known is None else self.counts[known]

    def new(self, classes: Sequence[str]) -> list[str]:
        """Those of an upload's classes that the dataset has not."""
        return [name for name in classes if self.num_there(name) is None]

    def alike(self, classes: Sequence[str]) -> list[tuple[str, str]]:
        """New classes that differ from one of the dataset's in spelling only, with that one."""
        spelt = {plain(name): name for name in self.counts}
        return [(name, spelt[plain(name)]) for name in self.new(classes) if plain(name) in spelt]

    @property
    def script(self) -> Script:
        return Script(
            client=f'data = studio.datasets.get("{self.name}")\ndata.add("more_images.zip")    # or a folder\nprint(data.counts)',
            curl=f"""curl -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\
     -d '{{"kind": "archive", "name": "more_images.zip"}}' "$PHANTOM_URL/api/v1/uploads"
curl -X PATCH -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Upload-Offset: 0" \\
     -H "Content-Type: application/offset+octet-stream" \\
     --data-binary @more_images.zip "$PHANTOM_URL/api/v1/uploads/1/content"
curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/uploads/1/plan"
curl -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\
     -d '{{"dataset_id": {self.dataset_id}}}' "$PHANTOM_URL/api/v1/uploads/1/import\"""",
        )


def into(session: Session, who: Identity, dataset_id: int | None) -> Into | None:
    """None where the images become a dataset of their own; ConflictError if nothing can be added to the dataset now."""
    if dataset_id is None:
        return None
    version = datasets.may_be_added_to(session, who, dataset_id)
    counts = {name: sum(version.counts.get(name, {}).values()) for name in version.classes}
    return Into(dataset_id, version.dataset.name, version.number, counts)


def query_of(into: Into | None) -> str:
    return into.query if into else ""


def typed_id(text: str) -> int | None:
    """The dataset that a form adds to, None for an empty field; 0, which is none, for what is no number."""
    if not text:
        return None
    return int(text) if text.isdecimal() and len(text) < 19 else 0
