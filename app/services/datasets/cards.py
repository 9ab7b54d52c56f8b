"""The card of a version: what a person says of the images, and everything that is measured beside it.

Writing the text makes no new version: it is no part of the manifest. A new version takes the text of the one it changes.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.datasets import card_facts
from app.services.datasets.card_facts import Fact
from app.services.identity import Identity
from app.services.rows import note
from models import Dataset, DatasetVersion, Split
from models.specs.card import CardText

TITLES = {name: str(field.title) for name, field in CardText.model_fields.items()}


@dataclass(frozen=True)
class Card:
    """facts: of everything that is counted. history: the version and those that it was made from, newest first."""

    dataset: Dataset
    version: DatasetVersion
    text: CardText
    facts: list[Fact]
    history: list[DatasetVersion]

    @property
    def counts(self) -> list[tuple[str, list[int]]]:
        """(class, images in train, val, test and all)."""
        rows = []
        for name in self.version.classes:
            numbers = [self.version.counts.get(name, {}).get(split, 0) for split in Split]
            rows.append((name, [*numbers, sum(numbers)]))
        return rows

    @property
    def totals(self) -> list[int]:
        """Images of all classes in train, val, test and all."""
        return [sum(column) for column in zip(*(numbers for _, numbers in self.counts), strict=True)]

    @property
    def baselines(self) -> dict[str, Any] | None:
        """Of the check; None if none has ended."""
        return self.version.health["baselines"] if self.version.health is not None else None

    @property
    def findings(self) -> list[dict[str, Any]] | None:
        """Of the check, the worst first; None if none has ended."""
        return self.version.health["findings"] if self.version.health is not None else None

    @property
    def not_stated(self) -> list[str]:
        """Names of the fields that nobody has filled in."""
        return [name for name, text in self.text.model_dump().items() if not text]


def write(session: Session, who: Identity, version: DatasetVersion, text: CardText) -> None:
    """Keep the text with the version."""
    version.card = text.model_dump()
    note(session, who, f"describe on the card of version {version.number}", version.dataset)
    session.flush()


def of(session: Session, version: DatasetVersion) -> Card:
    return Card(
        dataset=version.dataset,
        version=version,
        text=CardText(**(version.card or {})),
        facts=card_facts.facts(session, version),
        history=_history(session, version),
    )


def _history(session: Session, version: DatasetVersion) -> list[DatasetVersion]:
    rows = session.scalars(select(DatasetVersion).where(DatasetVersion.dataset_id == version.dataset_id))
    by_number = {row.number: row for row in rows}
    line = [version]
    while (parent := line[-1].parent_number) is not None:
        line.append(by_number[parent])
    return line
