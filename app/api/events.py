"""/api/v1/jobs/{job_id}/events: what happened in a job, as JSON or as a stream that can be taken up again.

Events are numbered rows, so whoever reconnects names the last number seen (Last-Event-ID) and misses nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, format_sse_event

from app import events
from app.api.schemas.jobs import EventOut, EventsOut
from app.core.errors import BadInputError
from app.deps import DatabaseDep, JobDep, SessionDep
from app.services import jobs
from models import Event

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
STREAM = "text/event-stream"
PING_S = 15.0
MOST = 2**31 - 1
LastEventId = Annotated[
    str | None, Header(max_length=20, description="Number of the last event seen, sent by browsers that reconnect.")
]


@router.get(
    "/{job_id}/events", response_model=EventsOut,
    responses={200: {"content": {STREAM: {"schema": {"type": "string"}}}}},
)  # fmt: skip
def get_job_events(
    request: Request, job: JobDep, session: SessionDep, database: DatabaseDep,
    after: Annotated[int, Query(ge=0, le=MOST, description="Only events with a greater number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=5000, description="Most events, as JSON.")] = 500,
    last_event_id: LastEventId = None,
) -> Response:  # fmt: skip
    """Get what happened in a job: JSON, or with `Accept: text/event-stream` a stream that ends when the job has."""
    after = after if last_event_id is None else _number(last_event_id)
    if STREAM in request.headers.get("accept", ""):
        following = events.follow(database, job.id, after=after)
        return EventSourceResponse(
            with_pings(following), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
    found = jobs.events_after(session, job.id, after, limit)
    items = [EventOut.of(event) for event in found]
    ended = job.is_finished and len(found) < limit
    out = EventsOut(items=items, last=items[-1].number if items else after, finished=ended)
    return JSONResponse(out.model_dump(mode="json"), headers={"Vary": "Accept"})


def _number(last_event_id: str) -> int:
    if not (last_event_id.isascii() and last_event_id.isdigit() and int(last_event_id) <= MOST):
        raise BadInputError(
            f"Last-Event-ID is {last_event_id!r}; it must be the number of an event.",
            errors=[{"pointer": "header/last-event-id", "detail": "Send the number of the last event seen."}],
        )
    return int(last_event_id)


async def with_pings(following: AsyncIterator[Event], ping_s: float = PING_S) -> AsyncIterator[bytes]:
    """The events as a stream, with a comment whenever nothing has happened for a while, so that no proxy hangs up."""
    pending = asyncio.ensure_future(anext(following))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=ping_s)
            if not done:
                yield format_sse_event(comment="still here")
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            yield _written(event)
            pending = asyncio.ensure_future(anext(following))
    finally:
        pending.cancel()


def _written(event: Event) -> bytes:
    return format_sse_event(
        data_str=json.dumps(EventOut.of(event).model_dump(mode="json")), event=event.kind, id=str(event.number)
    )
