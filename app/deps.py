"""What routes ask for: the identity, a session, and the row named in the path, or 404.

`authenticate` is a dependency of the whole app, so a route is closed unless its name is in OPEN_ROUTES.
A session is open for writing exactly when the method is unsafe, and is committed before the response is sent.
"""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Path, Request
from sqlalchemy.orm import Session

from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ForbiddenError, SignInError
from app.core.storage import Storage
from app.security import SAFE_METHODS
from app.services import (
    audits,
    checkpoints,
    classifiers,
    datasets,
    evaluations,
    explanations,
    identity,
    jobs,
    studies,
    synthetic_sets,
)
from app.services.identity import Identity
from models import Audit, Checkpoint, Classifier, Dataset, Evaluation, Explanation, Job, Study, SyntheticSet

OPEN_ROUTES = frozenset({"healthz", "readyz", "sign_in"})
MAX_ID = 2**63 - 1
PathId = Annotated[int, Path(ge=0, le=MAX_ID)]


def cookie_name(request: Request) -> str:
    """Browsers accept the safer __Host- name over TLS only."""
    return "__Host-studio" if request.url.scheme == "https" else "studio"


def authenticate(request: Request) -> None:
    """Puts the Identity into request.state, or raises SignInError. Routes in OPEN_ROUTES may do without."""
    is_open = getattr(request.scope.get("route"), "name", None) in OPEN_ROUTES
    who = identify(request)
    if who is None and not is_open:
        raise SignInError(
            "This page is for people who are signed in.",
            hint="Open the link that the studio printed when it started, or print a new one: python -m app link",
        )
    if who is not None and not is_open and request.method not in SAFE_METHODS and "write" not in who.scopes:
        raise ForbiddenError("This token may read only.", hint="Use a token with the scope write.")
    request.state.identity = who


def identify(request: Request) -> Identity | None:
    """Who sends the request, by API token, else by cookie. SignInError for a token that is not valid."""
    database = get_database(request)
    return _from_bearer(request, database) or _from_cookie(request, database)


def _from_bearer(request: Request, database: Database) -> Identity | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        return None
    with database.read() as session:
        who = identity.from_token(session, secret.strip())
        stale = who is not None and identity.token_use_is_stale(session, secret.strip())
    if who is None:
        raise SignInError(
            "This API token is unknown, revoked or expired.",
            hint="Make a new one on the page Tokens, or: python -m app tokens create",
        )
    if stale:
        with database.write() as session:
            identity.note_token_use(session, secret.strip())
    return who


def _from_cookie(request: Request, database: Database) -> Identity | None:
    secret = request.cookies.get(cookie_name(request))
    if not secret:
        return None
    with database.read() as session:
        return identity.from_session_cookie(session, secret)


def get_identity(request: Request) -> Identity:
    who: Identity | None = request.state.identity
    if who is None:
        raise SignInError("Nobody is signed in.")
    return who


def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def get_database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def get_storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


def get_session(request: Request) -> Iterator[Session]:
    database = get_database(request)
    with database.read() if request.method in SAFE_METHODS else database.write() as session:
        yield session


IdentityDep = Annotated[Identity, Depends(get_identity)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
StorageDep = Annotated[Storage, Depends(get_storage)]
SessionDep = Annotated[Session, Depends(get_session, scope="function")]


def get_dataset(session: SessionDep, who: IdentityDep, dataset_id: PathId) -> Dataset:
    return datasets.get(session, who, dataset_id)


def get_job(session: SessionDep, who: IdentityDep, job_id: PathId) -> Job:
    return jobs.get(session, who, job_id)


def get_checkpoint(session: SessionDep, who: IdentityDep, checkpoint_id: PathId) -> Checkpoint:
    return checkpoints.get(session, who, checkpoint_id)


def get_synthetic_set(session: SessionDep, who: IdentityDep, synthetic_set_id: PathId) -> SyntheticSet:
    return synthetic_sets.get(session, who, synthetic_set_id)


def get_classifier(session: SessionDep, who: IdentityDep, classifier_id: PathId) -> Classifier:
    return classifiers.get(session, who, classifier_id)


def get_evaluation(session: SessionDep, who: IdentityDep, evaluation_id: PathId) -> Evaluation:
    return evaluations.get(session, who, evaluation_id)


def get_audit(session: SessionDep, who: IdentityDep, audit_id: PathId) -> Audit:
    return audits.get(session, who, audit_id)


def get_study(session: SessionDep, who: IdentityDep, study_id: PathId) -> Study:
    return studies.get(session, who, study_id)


def get_explanation(session: SessionDep, who: IdentityDep, explanation_id: PathId) -> Explanation:
    return explanations.get(session, who, explanation_id)


DatasetDep = Annotated[Dataset, Depends(get_dataset, scope="function")]
JobDep = Annotated[Job, Depends(get_job, scope="function")]
CheckpointDep = Annotated[Checkpoint, Depends(get_checkpoint, scope="function")]
SyntheticSetDep = Annotated[SyntheticSet, Depends(get_synthetic_set, scope="function")]
ClassifierDep = Annotated[Classifier, Depends(get_classifier, scope="function")]
EvaluationDep = Annotated[Evaluation, Depends(get_evaluation, scope="function")]
AuditDep = Annotated[Audit, Depends(get_audit, scope="function")]
StudyDep = Annotated[Study, Depends(get_study, scope="function")]
ExplanationDep = Annotated[Explanation, Depends(get_explanation, scope="function")]
