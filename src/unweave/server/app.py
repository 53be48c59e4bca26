"""The application: live views of subjects over HTTP, the page's files, and an OpenAPI schema, all behind the guard."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

import unweave
from unweave.base.errors import UnweaveError
from unweave.base.views import View, all_views, subject_kind
from unweave.lab.operations.registry import Operation, all_operations
from unweave.server.accounts import Accounts
from unweave.server.guard import Guard
from unweave.server.lab_routes import add_operations, may
from unweave.server.problem import Problem, Refused
from unweave.server.replies import PROBLEMS, add_errors, gone, json_reply
from unweave.server.settings import ServerSettings
from unweave.server.static import PAGE, StaticFile, bundled_static
from unweave.server.workers import Workers

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


class ServedSubject(Protocol):
    """What the server needs of a subject; what views need of it is theirs to know.

    The summary is a dictionary or a dataclass of plain values.
    """

    title: str
    lock: AbstractContextManager[Any]

    def summary(self) -> Any: ...


class SubjectList(BaseModel):
    """The subjects that can be asked about, each with id, title, kind of views and summary; whether there is a lab."""

    subjects: list[dict[str, Any]]
    lab: bool = False


class ViewEntry(BaseModel):
    """A live view: its name, what it answers, where it is asked, and of which kind of subject."""

    name: str
    summary: str
    path: str
    exclusive: bool
    subject: str


class ViewList(BaseModel):
    """The live views, by name."""

    views: list[ViewEntry]


def make_app(
    subjects: Mapping[str, ServedSubject],
    settings: ServerSettings,
    views: Mapping[str, View] | None = None,
    static: Mapping[str, StaticFile] | None = None,
    lab: Lab | None = None,
    operations: Mapping[str, Operation] | None = None,
) -> Guard:
    """An ASGI application that serves ``views`` (default: all that the rooms registered) of ``subjects`` by id.

    Where there is a ``lab``, its ``operations`` (default: all that are registered) are served too, and its people's
    tokens let them in. Raises ``ValueError`` for an id or a view's name that does not go into a URL as it is.
    """
    views = all_views() if views is None else views
    static = bundled_static() if static is None else static
    for name in (*subjects, *views):
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} does not go into a URL: use lower-case letters, digits and '-'")
    workers, lab_workers = Workers(settings.limits), Workers(settings.limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()
        lab_workers.close()

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
    add_errors(app)
    _add_lists(app, subjects, views, workers, lab is not None)
    for view in views.values():
        _add_view(app, view, subjects, workers)
    if lab is not None:
        # Threads of their own: a graph that takes a minute holds up no list of runs.
        add_operations(app, lab, all_operations() if operations is None else operations, lab_workers)
    _add_static(app, static, subjects, workers, lab is not None)
    _describe(app)
    return Guard(app, settings, Accounts(settings, lab.people if lab is not None else None))


def _add_lists(
    app: FastAPI,
    subjects: Mapping[str, ServedSubject],
    views: Mapping[str, View],
    workers: Workers,
    with_lab: bool,
) -> None:
    @app.get(
        "/api/subjects",
        summary="What can be asked about",
        operation_id="subjects",
        response_model=SubjectList,
        responses=PROBLEMS,
    )
    async def list_subjects(request: Request) -> Response:
        def work() -> bytes:
            listed = [_summary(key, subject) for key, subject in subjects.items()]
            return SubjectList(subjects=listed, lab=with_lab).model_dump_json().encode()

        return json_reply(await workers.run(work, gone(request)))

    @app.get(
        "/api/views",
        summary="The live views",
        operation_id="views",
        response_model=ViewList,
        responses=PROBLEMS,
    )
    async def list_views() -> Response:
        listed = [
            ViewEntry(
                name=view.name,
                summary=view.summary,
                path=_path(view),
                exclusive=view.exclusive,
                subject=view.subject,
            )
            for view in views.values()
        ]
        return json_reply(ViewList(views=listed).model_dump_json().encode())


def _summary(key: str, subject: ServedSubject) -> dict[str, Any]:
    said = {"id": key, "title": subject.title, "subject": subject_kind(subject)}
    try:
        found: Any = subject.summary()
        facts = found if isinstance(found, dict) else asdict(found)
        return {**facts, **said}
    except UnweaveError as error:  # one that is damaged does not hide the others
        return {**said, "error": str(error)}


async def _found(
    name: str, subjects: Mapping[str, ServedSubject], workers: Workers, request: Request
) -> ServedSubject | None:
    """The subject of an id. Where it is not known all are listed anew, which finds runs that finished meanwhile."""
    if name in subjects or _NAME.fullmatch(name) is None:
        return subjects.get(name)
    return await workers.run(lambda: dict(subjects).get(name), gone(request))


def _add_view(app: FastAPI, view: View, subjects: Mapping[str, ServedSubject], workers: Workers) -> None:
    async def ask(subject: str, request: Request, question: Any) -> Response:
        found = await _found(subject, subjects, workers, request)
        if found is None:
            raise Refused(404, "there is no such subject: /api/subjects lists them")
        kind = subject_kind(found)
        if kind != view.subject:
            raise Refused(404, f"view {view.name!r} is of subjects of kind {view.subject!r}, and this one is {kind!r}")

        def work() -> bytes:
            with found.lock if view.exclusive else nullcontext():
                answer = view.function(found, question)
            if not isinstance(answer, view.response):
                raise TypeError(f"view {view.name!r} gave {type(answer).__name__}, not {view.response.__name__}")
            # pydantic writes NaN and infinity as null, which every reader of JSON takes.
            return answer.model_dump_json().encode()

        return json_reply(await workers.run(work, gone(request), alone_on=subject if view.exclusive else None))

    # FastAPI reads these to check the question and to describe both in the schema.
    ask.__annotations__ = {"subject": str, "request": Request, "question": view.request, "return": Response}
    app.add_api_route(
        _path(view),
        ask,
        methods=["POST"],
        summary=view.summary,
        operation_id=view.name,
        response_model=view.response,
        responses=PROBLEMS,
        dependencies=[Depends(may("run" if view.writes else "read"))],
    )


def _path(view: View) -> str:
    return f"/api/subjects/{{subject}}/views/{view.name}"


def _add_static(
    app: FastAPI,
    static: Mapping[str, StaticFile],
    subjects: Mapping[str, ServedSubject],
    workers: Workers,
    with_lab: bool,
) -> None:
    page = static[PAGE]

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        return page.reply(request)

    @app.get("/d/{subject}", include_in_schema=False)
    @app.get("/d/{subject}/{rest:path}", include_in_schema=False)
    async def inside(subject: str, request: Request) -> Response:
        # The page has URLs of its own, which it reads itself; it also says that there is no such subject.
        known = not request.url.path.endswith("/") and await _found(subject, subjects, workers, request) is not None
        return page.reply(request, 200 if known else 404)

    @app.get("/lab", include_in_schema=False)
    @app.get("/lab/{rest:path}", include_in_schema=False)
    async def inside_lab(request: Request) -> Response:
        # Which runs and threads there are is the page's to ask: an id that is none is said there.
        known = with_lab and not request.url.path.endswith("/")
        return page.reply(request, 200 if known else 404)

    @app.get("/static/{name:path}", include_in_schema=False)
    async def file(name: str, request: Request) -> Response:
        if name not in static:
            raise Refused(404, "there is no such file")
        return static[name].reply(request)


def _describe(app: FastAPI) -> None:
    """The schema says how to sign in and what a refusal looks like."""
    made = app.openapi()
    parts = made.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"token": []}]
