"""A concept moved along its curve by hand: the model that a run steered, opened again as the run opened it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.read.opened_subject import find_target
from unweave.shapes.concept_runs.drawings import chosen
from unweave.shapes.concept_runs.view_models import ConceptsMoveAnswer, ConceptsMoveRequest, MovedAnswer

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.shapes.concept_runs.subject import ConceptSubject
    from unweave.shapes.steering.curve import Curve
    from unweave.shapes.steering.paths import Manifold
    from unweave.shapes.steering.system import System

OTHER = "something else"
_SLACK = 1e-2
PREPARED = "prepared"
"""The cells in which a run keeps at which token and depths it replaces states, by task."""


class Opened(NamedTuple):
    """A system and its manifold at one depth; a place ``theta`` as drawn is ``sign * theta + offset`` on it.

    A principal axis may come out the other way round on another machine, and with it the angles of a closed curve.
    """

    system: System
    manifold: Manifold
    sign: float
    offset: float


def without_moving(subject: ConceptSubject) -> str:
    """Why nothing can be moved, as far as that shows without loading a model; else empty."""
    from unweave.shapes.steering.opened import WORLDS

    if not subject.tasks:
        return "this run steered nothing"
    if all(task in WORLDS for task in subject.tasks):
        return ""
    try:
        find_target(str(subject.config.get("target", "")), "run")
    except UnweaveError as error:
        return str(error)
    return ""


def moved(subject: ConceptSubject, request: ConceptsMoveRequest) -> ConceptsMoveAnswer:
    """What the model answers with its state at a place on the curve; the first question loads the model.

    Raises ``UnweaveError`` for a task or a depth that was not steered, where both or neither of place and value are
    given, and where what loads now is not the target that the run steered.
    """
    from unweave.shapes.steering.move import move

    tables = subject.tables
    task = chosen("task", request.task, subject.tasks)
    layer = chosen("layer", request.layer, tables.layers("answers", task=task))
    system, manifold, sign, offset = subject.kept(f"moved {task} {layer}", lambda: _opened(subject, task, layer))
    theta = None if request.theta is None else sign * request.theta + offset
    found = move(system, manifold, layer, theta, request.value)
    return ConceptsMoveAnswer(
        theta=sign * (found.theta - offset),
        period=float(manifold.curve.period),
        answers=[
            MovedAnswer(answer=str(name), probability=float(mean), deviation=float(spread))
            for name, mean, spread in zip([*system.values, OTHER], found.answers, found.deviation, strict=True)
        ],
    )


def _opened(subject: ConceptSubject, task: str, layer: int) -> Opened:
    """The system of the run's first seed, whose paths it drew, and the curve fitted to it as the run fitted it."""
    from unweave.shapes.steering.paths import fit_manifold
    from unweave.shapes.steering.system import layout

    system = subject.kept(f"system {task}", lambda: _system(subject, task))
    components = int(subject.config.get("components", 32))
    manifold = fit_manifold(system.states(layer), layout(system.metric), components)
    drawn = [row.get("theta") for row in subject.tables.rows("centroids", task=task, layer=layer)]
    turn = _turn(np.array(drawn, np.float64), manifold.curve) if len(drawn) == len(system.values) else None
    if turn is None:
        raise UnweaveError(
            f"{task} is no longer what run {subject.run.id!r} steered: its values lie elsewhere on the curve"
        )
    return Opened(system, manifold, *turn)


def _turn(drawn: Float64[np.ndarray, " w"], curve: Curve) -> tuple[float, float] | None:
    """How drawn places become places on the curve, or None where no turn makes them so."""
    for sign in (1.0, -1.0) if curve.period else (1.0,):
        offset = float(curve.knots[0] - sign * drawn[0]) if curve.period else 0.0
        missed = curve.knots - sign * drawn - offset
        if curve.period:
            missed = (missed + curve.period / 2) % curve.period - curve.period / 2
        if np.abs(missed).max() <= _SLACK * (curve.period or np.ptp(curve.knots)):
            return sign, offset
    return None


def _system(subject: ConceptSubject, task: str) -> System:
    from unweave.shapes.steering.opened import WORLDS, open_target_system, open_world
    from unweave.shapes.steering.tasks import find_task

    config: dict[str, Any] = dict(subject.config)
    seed = int(config.get("first_seed", 0))
    if task in WORLDS:
        return open_world(task, seed)
    prepared: Any = subject.run.cells(PREPARED).get(task)
    if prepared is None:
        raise UnweaveError(f"run {subject.run.id!r} did not keep where it steered {task!r}: run the study again")
    target = subject.kept("target", lambda: _target(subject))
    bases = int(config.get("bases", 8))
    return open_target_system(target, find_task(task), seed, prepared["position"], prepared["layers"], bases)


def _target(subject: ConceptSubject) -> Target:
    from unweave.models.load import load_target

    config = subject.config
    place = find_target(str(config.get("target", "")), "run")
    target = load_target(place, device=config.get("device"), dtype=str(config.get("dtype") or "float32"))
    recorded = [one["sha256"] for one in subject.run.state().get("identities", []) if one["kind"] == "target"]
    if target.identity.digest not in recorded:
        raise UnweaveError(
            f"{subject.target_title} is now target {target.identity.digest}, and run {subject.run.id!r} steered "
            "another: bring that target back, or run the study again"
        )
    return target
