"""Replies that every route gives alike: JSON, refusals, and the refusals' place in the schema."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from unweave.base.errors import UnweaveError
from unweave.base.terminal import one_line
from unweave.lab.operations.models import ID
from unweave.lab.operations.registry import Missing
from unweave.lab.people import NotAllowed
from unweave.server.problem import PROBLEM_TYPE, Refused, fault, problem

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, words in {
        400: "The request is not one that this server takes.",
        401: "The token is missing or wrong.",
        403: "The request comes from another site, or from somebody whose role does not allow it.",
        404: "There is no such thing.",
        413: "The body is too long.",
        415: "The body is not JSON.",
        422: "The question does not fit: the detail says what to do.",
        503: "Too much is asked at once.",
    }.items()
}


def add_errors(app: FastAPI) -> None:
    """Turns what is raised below into problems of one line."""

    @app.exception_handler(UnweaveError)
    async def refused_by_a_room(_: Request, error: UnweaveError) -> Response:
        status = 403 if isinstance(error, NotAllowed) else 404 if isinstance(error, Missing) else 422
        return refusal(status, " ".join(str(error).split()))

    @app.exception_handler(RequestValidationError)
    async def ill_typed(_: Request, error: RequestValidationError) -> Response:
        first, *more = error.errors()
        # The names of fields are the client's own words too.
        where = one_line(".".join(str(part) for part in first["loc"][1:]) or "the body")[:200]
        if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == ID:
            return refusal(400, f"{where} is not an id: lower-case letters, digits, '.', '_' and '-'")
        rest = f", and {len(more)} more" if more else ""
        return refusal(422, f"{where}: {first['msg'][:500]}{rest}")

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return refusal(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        return refusal(error.status_code, "there is nothing at this URL", error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        return Response(fault(error), 500, media_type=PROBLEM_TYPE)


def refusal(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as a reply."""
    return Response(problem(status, detail), status, headers, PROBLEM_TYPE)


def json_reply(content: bytes | None) -> Response:
    """JSON that is written already. Nobody is there to read the answer where there is none."""
    return Response(content or b"", 200 if content else 499, media_type="application/json")


def gone(request: Request) -> Callable[[], Coroutine[Any, Any, None]]:
    """An awaitable function that returns once the client has left."""

    async def wait() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return wait
