"""What all answers share: the base of every schema, pages of a list, and links."""

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
API = "/api/v1"

Cursor = Annotated[
    str | None, Query(max_length=40, description="Where the page before this one ended: its next_cursor.")
]
Limit = Annotated[int, Query(ge=1, le=500, description="Most items on this page.")]


class Out(BaseModel):
    """An answer. It holds no more than what is declared."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class In(BaseModel):
    """A request body. A field that is not known is refused, so that a slip of the pen is never silently ignored."""

    model_config = ConfigDict(extra="forbid")


class PageOut(Out, Generic[T]):
    """One page of a list, newest first unless the list says otherwise."""

    items: list[T]
    next_cursor: str | None = Field(description="Give it as cursor to get the next page; null at the end.")


def named(**example: Any) -> ConfigDict:
    """The configuration of a request body with one example."""
    return ConfigDict(extra="forbid", json_schema_extra={"example": example})


def file_url(sha256: str) -> str:
    """Where the picture of this hash is served."""
    return f"/files/{sha256}.png"
