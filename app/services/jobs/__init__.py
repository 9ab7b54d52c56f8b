"""Jobs: ask for one, follow it, and change one's mind."""

from app.services.jobs.asking import duplicate, submit
from app.services.jobs.changing import actions, cancel, pause, resume, retry, stop_and_keep
from app.services.jobs.looking import (
    ALONE,
    Family,
    active,
    artifacts,
    count_without_parts,
    counts_by_state,
    events_after,
    families,
    family,
    get,
    lineage,
    listing,
    metrics,
    needs,
    previews,
    queue_position,
    time_left,
    workers,
)

__all__ = [
    "ALONE", "Family", "actions", "active", "artifacts", "cancel", "count_without_parts", "counts_by_state", "duplicate", "events_after", "families", "family",
    "get", "lineage", "listing", "metrics", "needs", "pause", "previews", "queue_position", "resume", "retry", "stop_and_keep", "submit",
    "time_left", "workers",
]  # fmt: skip
