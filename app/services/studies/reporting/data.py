"""The images of a study: dataset, version, counts, what a person says of them and what their check found."""

from sqlalchemy.orm import Session

from app.services.datasets import cards, health
from app.services.studies.reporting.document import Data, Finding
from app.services.studies.reporting.values import Link
from models import DatasetVersion


def data(session: Session, version: DatasetVersion) -> Data:
    card, checked = cards.of(session, version), health.of(session, version)
    place, query = f"/datasets/{version.dataset_id}", f"?version={version.number}"
    stated = [(title, text) for name, title in cards.TITLES.items() if (text := getattr(card.text, name))]
    return Data(
        dataset=Link(card.dataset.name, place), version=Link(f"version {version.number}", f"{place}/card{query}"),
        change=version.change, num_images=version.num_images, manifest_sha256=version.manifest_sha256,
        counts=card.counts, totals=card.totals, facts=[(fact.what, fact.words) for fact in card.facts if fact.words != version.manifest_sha256], stated=stated,
        not_stated=[cards.TITLES[name] for name in card.not_stated],
        findings=[
            Finding(each["severity"], each["title"], each["meaning"], each["action"], each["link"] or f"{place}/health{query}")
            for each in checked.findings
        ],
        health=Link("Health of the dataset", f"{place}/health{query}"),
        job=Link(f"job {checked.check.id}", f"/jobs/{checked.check.id}") if checked.check is not None else None,
        missing="" if version.health is not None else "No check of this version has ended, so its health is not known.",
    )  # fmt: skip
