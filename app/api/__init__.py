"""The REST API: the same resources as the pages, as JSON below /api/v1; one file per resource."""

from fastapi import APIRouter

from app.api import (
    audits,
    checkpoints,
    classifiers,
    dataset_cards,
    dataset_health,
    dataset_versions,
    datasets,
    evaluations,
    events,
    explanations,
    images,
    jobs,
    studies,
    studio,
    study_reports,
    synthetic_sets,
    tokens,
    uploads,
)

routers: list[APIRouter] = [
    each.router
    for each in (
        uploads, datasets, dataset_health, dataset_cards, dataset_versions, images, jobs, events, checkpoints, synthetic_sets, audits, classifiers, evaluations, explanations, studies,
        study_reports, tokens, studio,
    )
]  # fmt: skip
