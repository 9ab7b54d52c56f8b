"""The pages: HTML, one file per resource, each with its page dataclass."""

from fastapi import APIRouter

from app.pages import (
    adding,
    api_docs,
    audits,
    checkpoints,
    classifiers,
    compare,
    dataset_cards,
    dataset_health,
    dataset_versions,
    datasets,
    demo,
    evaluations,
    explanation_forms,
    explanations,
    files,
    help_page,
    home,
    job_forms,
    jobs,
    server_imports,
    sign_in,
    studies,
    study_comparisons,
    study_forms,
    study_reports,
    synthetic_sets,
    tokens,
    workers,
)

routers: list[APIRouter] = [
    home.router,
    sign_in.router,
    server_imports.router,  # before adding, where /datasets/new/{id} is an upload
    adding.router,  # before datasets: /datasets/new is no dataset
    datasets.router,
    dataset_versions.router,
    dataset_health.router,
    dataset_cards.router,
    job_forms.router,  # before jobs: /jobs/new is no job
    jobs.router,
    checkpoints.router,
    synthetic_sets.router,
    audits.router,
    classifiers.router,
    evaluations.router,
    explanation_forms.router,  # before explanations: /explanations/new is none
    explanations.router,
    study_forms.router,  # before studies: /studies/new is none
    study_comparisons.router,  # and /studies/compare neither
    studies.router,
    study_reports.router,
    compare.router,
    workers.router,
    tokens.router,
    help_page.router,
    files.router,
    demo.router,
    api_docs.router,
]
