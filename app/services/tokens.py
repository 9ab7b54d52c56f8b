"""API tokens: made once, shown once, kept as a hash."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError, NotFoundError
from app.services.identity import Identity, digest, new_secret
from models import Token, db_now

PREFIX = "phs_"
SCOPES = ("read", "write")
MAX_DAYS = 3650


def create(
    session: Session, who: Identity, *, name: str, scopes: Sequence[str], expires_in_days: int | None
) -> tuple[Token, str]:
    """A new token of `who` and its secret, which cannot be had again."""
    name = name.strip()
    if not 1 <= len(name) <= 200:
        raise BadInputError(
            "A token needs a name of 1 to 200 characters.",
            hint="Name it after the machine or script that will use it.",
            errors=[{"pointer": "/name", "detail": "Give 1 to 200 characters."}],
        )
    _check_scopes(who, scopes)
    if expires_in_days is not None and not 1 <= expires_in_days <= MAX_DAYS:
        detail = (
            f"{expires_in_days} days cannot be used; give 1 to {MAX_DAYS}, or nothing for a token that stays valid."
        )
        raise BadInputError(detail, errors=[{"pointer": "/expires_in_days", "detail": detail}])
    secret = PREFIX + new_secret()
    token = Token(
        user_id=who.user_id, name=name, prefix=secret[:12], secret_sha256=digest(secret),
        scopes=[scope for scope in SCOPES if scope in scopes],
        expires_at=None if expires_in_days is None else db_now(expires_in_days * 86_400),
    )  # fmt: skip
    session.add(token)
    session.flush()
    session.refresh(token)
    return token, secret


def _check_scopes(who: Identity, scopes: Sequence[str]) -> None:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        given = ", ".join(unknown) or "nothing"
        detail = f"{given} is no scope; use read, write or both."
        raise BadInputError(detail, errors=[{"pointer": "/scopes", "detail": detail}])
    if beyond := sorted(set(scopes) - who.scopes):
        detail = f"You may not {beyond[0]} yourself, so you cannot make a token that may."
        raise BadInputError(detail, errors=[{"pointer": "/scopes", "detail": detail}])


def listing(session: Session, who: Identity) -> list[Token]:
    """The person's tokens, newest first; revoked ones too."""
    return list(session.scalars(select(Token).where(Token.user_id == who.user_id).order_by(Token.id.desc())))


def get(session: Session, who: Identity, token_id: int) -> Token:
    token = session.scalar(select(Token).where(Token.id == token_id, Token.user_id == who.user_id))
    if token is None:
        raise NotFoundError(f"There is no token {token_id}.", hint="It may have been made by somebody else.")
    return token


def revoke(session: Session, who: Identity, token: Token) -> None:
    """From now on nobody can use the token. Revoking it again changes nothing."""
    if token.user_id != who.user_id:
        raise NotFoundError(f"There is no token {token.id}.")
    if token.revoked_at is None:
        token.revoked_at = session.scalar(select(db_now()))
