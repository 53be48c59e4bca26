"""The lab's operations over HTTP: GET with a query where they only read, POST with JSON for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response

from unweave.base.errors import UnweaveError
from unweave.lab.operations.registry import Operation, perform
from unweave.server.guard import PERSON
from unweave.server.problem import without_place
from unweave.server.replies import PROBLEMS, gone, json_reply

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.server.workers import Workers

LAB = "/api/lab/"


def add_operations(app: FastAPI, lab: Lab, operations: Mapping[str, Operation], workers: Workers) -> None:
    """Mounts every operation of ``operations`` for ``lab``."""
    for one in operations.values():
        _add(app, lab, one, workers)


def _add(app: FastAPI, lab: Lab, one: Operation, workers: Workers) -> None:
    async def ask(request: Request, question: Any) -> Response:
        person = request.scope[PERSON]

        def work() -> bytes:
            try:
                answer = perform(lab, person, one.name, question)
            except UnweaveError as error:
                error.args = (without_place(str(error), lab.root),)
                raise
            if not isinstance(answer, one.response):
                raise TypeError(f"operation {one.name!r} gave {type(answer).__name__}, not {one.response.__name__}")
            return answer.model_dump_json().encode()

        return json_reply(await workers.run(work, gone(request)))

    reads = one.scope == "read"
    # FastAPI reads these to check the question and to describe both in the schema.
    question = Annotated[one.request, Query()] if reads else one.request
    ask.__annotations__ = {"request": Request, "question": question, "return": Response}
    app.add_api_route(
        f"{LAB}{one.name}",
        ask,
        methods=["GET" if reads else "POST"],
        summary=one.summary,
        operation_id=f"lab-{one.name}",
        response_model=one.response,
        responses=PROBLEMS,
        # Before the body is looked at: who may not do this learns nothing of what it takes.
        dependencies=[Depends(may(one.scope))],
    )


def may(scope: str) -> Callable[[Request], None]:
    """A dependency that refuses who must not do what ``scope`` stands for."""

    async def check(request: Request) -> None:
        request.scope[PERSON].must(scope)

    check.__annotations__ = {"request": Request, "return": None}
    return check  # type: ignore[return-value]
