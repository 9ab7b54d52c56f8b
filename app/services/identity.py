"""Who is asking. Every service that belongs to a project takes an Identity and sees that project's rows only.

Secrets (sign-in links, browser sessions, tokens) are 256 random bits; the database holds their SHA-256 only,
and validity is judged by the database's clock.
"""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from app.core.config import Settings
from app.core.errors import SignInError
from models import LoginLink, Project, Token, User, WebSession, db_now

LINK_LIFETIME_S = 3600
SESSION_LIFETIME_S = 30 * 24 * 3600
LAST_USED_STEP_S = 60
EVERYTHING = frozenset({"read", "write"})


@dataclass(frozen=True)
class Identity:
    project_id: int
    user_id: int
    name: str
    scopes: frozenset[str]  # "read", "write"
    via: str  # "session", "token" or "system"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """256 random bits, safe in a URL and in a cookie."""
    return secrets.token_urlsafe(32)


def system(session: Session) -> Identity:
    """The owner of the default project, who is created with it on first use: the command line acts as this one."""
    project = session.scalar(select(Project).where(Project.name == "default"))
    if project is None:
        project = Project(name="default")
        session.add(project)
        session.flush()
    user = session.scalar(select(User).where(User.project_id == project.id).order_by(User.id).limit(1))
    if user is None:
        user = User(project_id=project.id, name="owner")
        session.add(user)
        session.flush()
    return Identity(project.id, user.id, user.name, EVERYTHING, "system")


def create_login_link(session: Session, settings: Settings, who: Identity | None = None) -> str:
    """The address that signs `who` (the owner, if not given) in once, within the next hour."""
    who = who or system(session)
    secret = new_secret()
    session.add(LoginLink(user_id=who.user_id, secret_sha256=digest(secret), expires_at=db_now(LINK_LIFETIME_S)))
    session.flush()
    return f"{address(settings)}/sign-in?code={secret}"


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the studio."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104 - compared, not bound
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.port}"


def sign_in(session: Session, code: str) -> str:
    """Burn the one-time link `code`; returns the secret of a new browser session. SignInError if it is used up."""
    burnt = session.execute(
        update(LoginLink)
        .where(LoginLink.secret_sha256 == digest(code), LoginLink.used_at.is_(None), LoginLink.expires_at > db_now())
        .values(used_at=db_now())
        .returning(LoginLink.user_id)
    ).scalar_one_or_none()
    if burnt is None:
        raise SignInError(
            "This sign-in link has been used, or is more than an hour old.",
            hint="Print a new one on the machine that runs the studio: python -m app link",
        )
    session.execute(delete(WebSession).where(WebSession.expires_at < db_now()))
    secret = new_secret()
    session.add(WebSession(user_id=burnt, secret_sha256=digest(secret), expires_at=db_now(SESSION_LIFETIME_S)))
    session.flush()
    return secret


def sign_out(session: Session, secret: str) -> None:
    session.execute(delete(WebSession).where(WebSession.secret_sha256 == digest(secret)))


def from_session_cookie(session: Session, secret: str) -> Identity | None:
    user = session.scalar(
        select(User)
        .join(WebSession, WebSession.user_id == User.id)
        .where(WebSession.secret_sha256 == digest(secret), WebSession.expires_at > db_now())
    )
    return Identity(user.project_id, user.id, user.name, EVERYTHING, "session") if user else None


def from_token(session: Session, secret: str) -> Identity | None:
    """Who holds this API token; None if it is unknown, revoked or expired."""
    row = session.execute(
        select(User, Token)
        .join(Token, Token.user_id == User.id)
        .where(
            Token.secret_sha256 == digest(secret),
            Token.revoked_at.is_(None),
            Token.expires_at.is_(None) | (Token.expires_at > db_now()),
        )
    ).one_or_none()
    if row is None:
        return None
    user, token = row
    return Identity(user.project_id, user.id, user.name, frozenset(token.scopes), "token")


def token_use_is_stale(session: Session, secret: str) -> bool:
    """Whether the token's `last used` is more than a minute old, so that it is worth a write."""
    return session.scalar(select(Token.id).where(Token.secret_sha256 == digest(secret), _used_long_ago())) is not None


def note_token_use(session: Session, secret: str) -> None:
    session.execute(
        update(Token).where(Token.secret_sha256 == digest(secret), _used_long_ago()).values(last_used_at=db_now())
    )


def _used_long_ago() -> ColumnElement[bool]:
    return Token.last_used_at.is_(None) | (Token.last_used_at < db_now(-LAST_USED_STEP_S))
