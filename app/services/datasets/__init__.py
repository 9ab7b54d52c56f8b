"""Datasets: importing them, looking at them, renaming and deleting them."""

from app.services.datasets.changing import delete, describe, rename
from app.services.datasets.importing import prepare_import, request_import
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
    versions,
)
from app.services.datasets.summaries import Duplicates, Summary, summary

__all__ = [
    "Duplicates", "Summary", "by_name", "current_version", "current_versions", "delete", "describe", "get", "image",
    "images", "listing", "prepare_import", "refused", "rename", "request_import", "summary", "version", "versions",
]  # fmt: skip
