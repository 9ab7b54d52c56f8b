"""Signing in by the one-time link that the studio prints, and signing out.

The link works by GET, as notebooks' links do: the first visit burns it, sets the cookie and goes on to the
first page, so the secret does not stay in the address bar.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from app.deps import DatabaseDep, cookie_name
from app.pages.render import render
from app.services import identity

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class SignInPage:
    title: str = "Sign in"
    detail: str = "The studio prints a link when it starts; that link signs you in."
    hint: str = "Print a new one on the machine that runs the studio: python -m app link"


@router.get("/sign-in")
def sign_in(
    request: Request,
    database: DatabaseDep,
    code: Annotated[str, Query(max_length=200)] = "",
    to: Literal["", "demo"] = "",
) -> Response:
    if not code:
        return (
            RedirectResponse("/", 303) if request.state.identity else render(request, "sign_in/show.html", SignInPage())
        )
    request.app.state.sign_in_limit.check(request.client.host if request.client else "?")
    with database.write() as session:
        secret = identity.sign_in(session, code)
    response = RedirectResponse(f"/{to}", 303)
    response.set_cookie(
        cookie_name(request), secret, max_age=identity.SESSION_LIFETIME_S, path="/", httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


@router.post("/sign-out")
def sign_out(request: Request, database: DatabaseDep) -> Response:
    name = cookie_name(request)
    if secret := request.cookies.get(name):
        with database.write() as session:
            identity.sign_out(session, secret)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return response
