"""The application: live views of subjects over HTTP, the page's files, and an OpenAPI schema, all behind the guard."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import unweave
from unweave.base.errors import UnweaveError
from unweave.base.views import View, all_views
from unweave.server.guard import Guard
from unweave.server.problem import PROBLEM_TYPE, Problem, Refused, fault, problem
from unweave.server.settings import ServerSettings
from unweave.server.static import PAGE, StaticFile, bundled_static
from unweave.server.workers import Workers

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, words in {
        400: "The request is not one that this server takes.",
        401: "The token is missing or wrong.",
        403: "The request comes from another site.",
        404: "There is no such subject.",
        413: "The body is too long.",
        415: "The body is not JSON.",
        422: "The question does not fit: the detail says what to do.",
        503: "Too much is asked at once.",
    }.items()
}


class ServedSubject(Protocol):
    """What the server needs of a subject; what views need of it is theirs to know.

    The summary is a dictionary or a dataclass of plain values.
    """

    title: str
    lock: AbstractContextManager[Any]

    def summary(self) -> Any: ...


class SubjectList(BaseModel):
    """The subjects that can be asked about, each with its id, its title and its summary."""

    subjects: list[dict[str, Any]]


class ViewEntry(BaseModel):
    """A live view: its name, what it answers, and where it is asked."""

    name: str
    summary: str
    path: str
    exclusive: bool


class ViewList(BaseModel):
    """The live views, by name."""

    views: list[ViewEntry]


def make_app(
    subjects: Mapping[str, ServedSubject],
    settings: ServerSettings,
    views: Mapping[str, View] | None = None,
    static: Mapping[str, StaticFile] | None = None,
) -> Guard:
    """An ASGI application that serves ``views`` (default: all that the rooms registered) of ``subjects`` by id.

    Raises ``ValueError`` for an id or a view's name that does not go into a URL as it is.
    """
    views = all_views() if views is None else views
    static = bundled_static() if static is None else static
    for name in (*subjects, *views):
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} does not go into a URL: use lower-case letters, digits and '-'")
    workers = Workers(settings.limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    app = FastAPI(
        title="unweave",
        version=unweave.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # FastAPI sends what it observes to wherever the environment says; here nothing is sent.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    _add_errors(app)
    _add_lists(app, subjects, views, workers)
    for view in views.values():
        _add_view(app, view, subjects, workers)
    _add_static(app, static, subjects)
    _describe(app)
    return Guard(app, settings)


def _add_lists(
    app: FastAPI, subjects: Mapping[str, ServedSubject], views: Mapping[str, View], workers: Workers
) -> None:
    @app.get(
        "/api/subjects",
        summary="What can be asked about",
        operation_id="subjects",
        response_model=SubjectList,
        responses=_PROBLEMS,
    )
    async def list_subjects(request: Request) -> Response:
        def work() -> bytes:
            listed = [_summary(key, subject) for key, subject in subjects.items()]
            return SubjectList(subjects=listed).model_dump_json().encode()

        return _json(await workers.run(work, _gone(request)))

    @app.get(
        "/api/views",
        summary="The live views",
        operation_id="views",
        response_model=ViewList,
        responses=_PROBLEMS,
    )
    async def list_views() -> Response:
        listed = [
            ViewEntry(name=view.name, summary=view.summary, path=_path(view), exclusive=view.exclusive)
            for view in views.values()
        ]
        return _json(ViewList(views=listed).model_dump_json().encode())


def _summary(key: str, subject: ServedSubject) -> dict[str, Any]:
    try:
        found: Any = subject.summary()
        facts = found if isinstance(found, dict) else asdict(found)
        return {**facts, "id": key, "title": subject.title}
    except UnweaveError as error:  # one that is damaged does not hide the others
        return {"id": key, "title": subject.title, "error": str(error)}


def _add_view(app: FastAPI, view: View, subjects: Mapping[str, ServedSubject], workers: Workers) -> None:
    async def ask(subject: str, request: Request, question: Any) -> Response:
        found = subjects.get(subject)
        if found is None:
            raise Refused(404, "there is no such subject: /api/subjects lists them")

        def work() -> bytes:
            with found.lock if view.exclusive else nullcontext():
                answer = view.function(found, question)
            if not isinstance(answer, view.response):
                raise TypeError(f"view {view.name!r} gave {type(answer).__name__}, not {view.response.__name__}")
            # pydantic writes NaN and infinity as null, which every reader of JSON takes.
            return answer.model_dump_json().encode()

        return _json(await workers.run(work, _gone(request), alone_on=subject if view.exclusive else None))

    # FastAPI reads these to check the question and to describe both in the schema.
    ask.__annotations__ = {"subject": str, "request": Request, "question": view.request, "return": Response}
    app.add_api_route(
        _path(view),
        ask,
        methods=["POST"],
        summary=view.summary,
        operation_id=view.name,
        response_model=view.response,
        responses=_PROBLEMS,
    )


def _path(view: View) -> str:
    return f"/api/subjects/{{subject}}/views/{view.name}"


def _add_static(app: FastAPI, static: Mapping[str, StaticFile], subjects: Mapping[str, ServedSubject]) -> None:
    page = static[PAGE]

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        return page.reply(request)

    @app.get("/d/{subject}", include_in_schema=False)
    @app.get("/d/{subject}/{rest:path}", include_in_schema=False)
    async def inside(subject: str, request: Request) -> Response:
        # The page has URLs of its own, which it reads itself; it also says that there is no such subject.
        known = subject in subjects and not request.url.path.endswith("/")
        return page.reply(request, 200 if known else 404)

    @app.get("/static/{name:path}", include_in_schema=False)
    async def file(name: str, request: Request) -> Response:
        if name not in static:
            raise Refused(404, "there is no such file")
        return static[name].reply(request)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(UnweaveError)
    async def refused_by_a_room(_: Request, error: UnweaveError) -> Response:
        return _problem(422, " ".join(str(error).split()))

    @app.exception_handler(RequestValidationError)
    async def ill_typed(_: Request, error: RequestValidationError) -> Response:
        first, *more = error.errors()
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        rest = f", and {len(more)} more" if more else ""
        return _problem(422, f"{where[:200]}: {first['msg'][:500]}{rest}")

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return _problem(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        return _problem(error.status_code, "there is nothing at this URL", error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        return Response(fault(error), 500, media_type=PROBLEM_TYPE)


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(problem(status, detail), status, headers, PROBLEM_TYPE)


def _json(content: bytes | None) -> Response:
    # Nobody is there to read the answer where there is none.
    return Response(content or b"", 200 if content else 499, media_type="application/json")


def _gone(request: Request) -> Callable[[], Coroutine[Any, Any, None]]:
    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return gone


def _describe(app: FastAPI) -> None:
    """The schema says how to sign in and what a refusal looks like."""
    made = app.openapi()
    parts = made.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"token": []}]
