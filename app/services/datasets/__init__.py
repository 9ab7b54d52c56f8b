"""Datasets: importing them, looking at them, changing them into new versions, and what can be trusted about them."""

from app.services.datasets import copies, health, leaks, openings
from app.services.datasets.changing import delete, describe, rename
from app.services.datasets.importing import may_be_added_to, new_classes, prepare_import, request_import
from app.services.datasets.leaks import need_no_leaks
from app.services.datasets.looking import (
    by_name,
    current_version,
    current_versions,
    get,
    image,
    images,
    listing,
    refused,
    version,
    version_of,
    versions,
)
from app.services.datasets.revising import change, difference, request_check
from app.services.datasets.summaries import Duplicates, Summary, summary

__all__ = [
    "Duplicates", "Summary", "by_name", "change", "copies", "current_version", "current_versions", "delete", "describe", "difference",
    "get", "health", "image", "images", "leaks", "listing", "may_be_added_to", "need_no_leaks", "new_classes", "openings", "prepare_import", "refused", "rename",
    "request_check", "request_import", "summary", "version", "version_of", "versions",
]  # fmt: skip
