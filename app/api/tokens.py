"""/api/v1/tokens: API tokens. A token's secret is shown once, by the request that makes it."""

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from app.api.lists import RowId
from app.api.schemas.base import API, In, Out, named
from app.deps import IdentityDep, SessionDep
from app.services import tokens
from models import Token

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])
Scope = Literal["read", "write"]


class TokenIn(In):
    """A token to be made."""

    model_config = named(name="workstation 3", scopes=["read", "write"], expires_in_days=90)

    name: Annotated[str, Field(min_length=1, max_length=200, description="The machine or script that will use it.")]
    scopes: Annotated[
        list[Scope],
        Field(min_length=1, max_length=2, default_factory=lambda: ["read", "write"], description="What it may do."),
    ]
    expires_in_days: Annotated[int | None, Field(ge=1, le=3650, description="Never, if not given.")] = None


class TokenOut(Out):
    """A token, without its secret."""

    id: int
    name: str
    prefix: str = Field(description="How its secret begins.")
    scopes: list[str]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None

    @classmethod
    def of(cls, token: Token) -> "TokenOut":
        return cls(
            id=token.id, name=token.name, prefix=token.prefix, scopes=token.scopes, created_at=token.created_at,
            expires_at=token.expires_at, last_used_at=token.last_used_at, revoked_at=token.revoked_at,
        )  # fmt: skip


class NewTokenOut(Out):
    """A new token and its secret, which cannot be had again."""

    token: TokenOut
    secret: str


class TokensOut(Out):
    items: list[TokenOut]


@router.get("")
def list_tokens(who: IdentityDep, session: SessionDep) -> TokensOut:
    """List your tokens, newest first; revoked ones too."""
    return TokensOut(items=[TokenOut.of(token) for token in tokens.listing(session, who)])


@router.post("", status_code=201)
def create_token(body: TokenIn, who: IdentityDep, session: SessionDep, response: Response) -> NewTokenOut:
    """Make a token that may do no more than you may."""
    token, secret = tokens.create(
        session, who, name=body.name, scopes=body.scopes, expires_in_days=body.expires_in_days
    )
    response.headers["Location"] = f"{API}/tokens/{token.id}"
    response.headers["Cache-Control"] = "no-store"
    return NewTokenOut(token=TokenOut.of(token), secret=secret)


@router.get("/{token_id}")
def get_token(token_id: RowId, who: IdentityDep, session: SessionDep) -> TokenOut:
    """Get one of your tokens."""
    return TokenOut.of(tokens.get(session, who, token_id))


@router.delete("/{token_id}", status_code=204)
def revoke_token(token_id: RowId, who: IdentityDep, session: SessionDep) -> None:
    """Revoke a token: from now on nobody can use it."""
    tokens.revoke(session, who, tokens.get(session, who, token_id))
