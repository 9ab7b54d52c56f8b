"""API tokens: made here, shown once, revoked here."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator
from starlette.responses import Response

from app.core.errors import BadInputError
from app.deps import DatabaseDep, IdentityDep, PathId, SessionDep
from app.pages.render import Script, none_if_empty, render
from app.services import tokens
from models import Token

router = APIRouter(prefix="/tokens", include_in_schema=False)
SCRIPT = Script(
    client=""".venv/bin/python -m app tokens create --name lab-script    # prints a token

export PHANTOM_URL=http://127.0.0.1:8000
export PHANTOM_TOKEN=phs_...""",
    curl="""curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/tokens\"""",
)


@dataclass(frozen=True)
class TokensPage:
    """secret: of a token just made; it is shown this once. errors: by option."""

    tokens: list[Token]
    secret: str = ""
    name: str = ""
    days: str = "90"
    scopes: tuple[str, ...] = ("read", "write")
    errors: dict[str, str] = field(default_factory=dict)
    script: Script = SCRIPT


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep) -> Response:
    return render(request, "tokens/index.html", TokensPage(tokens.listing(session, who)))


@router.post("")
def create(
    request: Request,
    database: DatabaseDep,
    who: IdentityDep,
    name: Annotated[str, Form(max_length=1000)] = "",
    scopes: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    expires_in_days: Annotated[int | None, Form(), BeforeValidator(none_if_empty)] = None,
) -> Response:
    """Answers with the page itself: the secret must not lie in an address or a cookie."""
    try:
        with database.write() as session:
            _, secret = tokens.create(session, who, name=name, scopes=scopes, expires_in_days=expires_in_days)
            return render(
                request, "tokens/index.html", TokensPage(tokens.listing(session, who), secret), status_code=201
            )
    except BadInputError as error:
        errors = {each["pointer"].strip("#/"): each["detail"] for each in error.errors}
        with database.read() as session:
            page = TokensPage(tokens.listing(session, who), "", name, str(expires_in_days or ""), tuple(scopes), errors)
            return render(request, "tokens/index.html", page, status_code=422)


@router.post("/{token_id}/revoke")
def revoke(session: SessionDep, who: IdentityDep, token_id: PathId) -> Response:
    tokens.revoke(session, who, tokens.get(session, who, token_id))
    return RedirectResponse("/tokens", 303)
