"""Phantom Studio from a script: `from phantom import Studio`.

Every call that starts work returns a `Job` at once; `.wait()` waits for what it makes.
"""

from phantom.datasets import Dataset, DatasetSplit, ImageRef, Overlap, UploadedImage
from phantom.errors import JobFailed, NameTaken, NoToken, PhantomError, ProblemError, StudioUnreachable
from phantom.gate import Gate, Light, Override
from phantom.health import Health
from phantom.jobs import Job
from phantom.results import (
    Audit,
    Checkpoint,
    Classifier,
    Evaluation,
    Explanation,
    Interval,
    Spread,
    SyntheticSet,
)
from phantom.studio import Studio

__all__ = [
    "Audit", "Checkpoint", "Classifier", "Dataset", "DatasetSplit", "Evaluation", "Explanation", "Gate", "Health", "ImageRef",
    "Interval", "Job", "JobFailed", "Light", "NameTaken", "NoToken", "Overlap", "Override", "PhantomError", "ProblemError", "Spread", "Studio",
    "StudioUnreachable", "SyntheticSet", "UploadedImage",
]  # fmt: skip
