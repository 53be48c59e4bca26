"""Made-up subjects behind the real server, for tests of the page in a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from made_subject import HOSTILE, Made
from pydantic import BaseModel

from unweave.base.views import View
from unweave.edit import view_models as edit
from unweave.read import view_models as read
from unweave.server.app import make_app
from unweave.server.guard import Guard
from unweave.server.serve import bind, make_server
from unweave.server.settings import ServerSettings

TOKEN = "a-token-for-tests-0123456789"  # noqa: S105


class Stranger:
    """A subject whose title and target are hostile; it can be listed, and that is all."""

    title = HOSTILE
    lock = threading.RLock()

    def summary(self) -> dict[str, Any]:
        return {"target": HOSTILE, "kind": HOSTILE, "features": 7}


VIEWS: dict[str, tuple[type[BaseModel], type[BaseModel], Callable[[Made, Any], BaseModel]]] = {
    "overview": (read.OverviewRequest, read.OverviewAnswer, Made.overview),
    "features": (read.FeaturesRequest, read.FeaturesAnswer, Made.features),
    "feature": (read.FeatureRequest, read.FeatureAnswer, Made.feature),
    "fires": (read.FiresRequest, read.FiresAnswer, Made.fires),
    "graph": (read.GraphRequest, read.GraphAnswer, Made.graph),
    "graphs": (read.GraphsRequest, read.GraphsAnswer, Made.list_graphs),
    "save-graph": (read.SaveGraphRequest, read.GraphDocument, Made.save_graph),
    "load-graph": (read.LoadGraphRequest, read.GraphDocument, Made.load_graph),
    "drop-graph": (read.DropGraphRequest, read.GraphsAnswer, Made.drop_graph),
    "factor": (edit.FactorRequest, edit.FactorAnswer, Made.factor),
    "edits": (edit.EditsRequest, edit.EditsAnswer, Made.list_edits),
    "make-edit": (edit.MakeEditRequest, edit.EditsAnswer, Made.make_edit),
    "undo-edit": (edit.UndoEditRequest, edit.EditsAnswer, Made.undo_edit),
    "redo-edit": (edit.RedoEditRequest, edit.EditsAnswer, Made.redo_edit),
    "drop-edit": (edit.DropEditRequest, edit.EditsAnswer, Made.drop_edit),
}


def made_app(made: Made, settings: ServerSettings) -> Guard:
    """The real server over one made-up subject, and another whose every text is hostile."""
    views = {
        name: View(name, name, request, response, partial(_ask, name, function))
        for name, (request, response, function) in VIEWS.items()
    }
    return make_app({"made": made, "other": Stranger()}, settings, views)


def _ask(name: str, function: Callable[[Made, Any], BaseModel], made: Made, request: BaseModel) -> BaseModel:
    made.asked.append((name, request))
    return function(made, request)


class Served:
    """The server on a free loopback port, in a thread, as a context that gives the address to open."""

    def __init__(self, made: Made) -> None:
        self.made = made

    def __enter__(self) -> str:
        self.bound = bind("127.0.0.1", 0)
        port = self.bound.getsockname()[1]
        settings = ServerSettings(TOKEN, port)
        self.server = make_server(made_app(self.made, settings), settings)
        self.bound.listen(128)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.bound]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.bound.close()
