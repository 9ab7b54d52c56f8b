"""The data model: what web and workers both know. It imports SQLAlchemy and Pydantic, and nothing else of ours."""

from models.base import Base, Timestamp, db_now
from models.checkpoint import Checkpoint
from models.classifier import Classifier, TrainOn
from models.dataset import (
    Dataset,
    DatasetState,
    DatasetVersion,
    Image,
    RefusedFile,
    Split,
    Upload,
    UploadedImage,
    UploadKind,
    UploadState,
)
from models.evaluation import Evaluation, Prediction
from models.explanation import Explanation, ExplanationItem
from models.job import (
    FINISHED,
    NEXT_STATES,
    QUEUE_OF,
    Artifact,
    Event,
    Job,
    JobKind,
    JobState,
    Metric,
    Queue,
    Worker,
)
from models.synthetic_set import Mark, SyntheticImage, SyntheticSet
from models.user import AuditEvent, LoginLink, Project, Token, User, WebSession

__all__ = [
    "FINISHED", "NEXT_STATES", "QUEUE_OF", "Artifact", "AuditEvent", "Base", "Checkpoint", "Classifier", "Dataset",
    "DatasetState", "DatasetVersion", "Evaluation", "Event", "Explanation", "ExplanationItem", "Image", "Job",
    "JobKind", "JobState", "LoginLink", "Mark", "Metric", "Prediction", "Project", "Queue", "RefusedFile", "Split",
    "SyntheticImage", "SyntheticSet", "Timestamp", "Token", "TrainOn", "Upload", "UploadKind", "UploadState",
    "UploadedImage", "User", "WebSession", "Worker", "db_now",
]  # fmt: skip
