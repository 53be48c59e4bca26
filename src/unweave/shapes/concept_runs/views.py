"""The live views of concepts and of steering; other programs call them on a ``ConceptSubject``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.views import view
from unweave.read.view_models import Available
from unweave.shapes.concept_runs.drawings import (
    axes,
    best_layer,
    chosen,
    concept_curves,
    concept_values,
    distinct,
    steered_ways,
)
from unweave.shapes.concept_runs.moving import moved, without_moving
from unweave.shapes.concept_runs.subject import KIND
from unweave.shapes.concept_runs.view_models import (
    ConceptEntry,
    ConceptsConceptAnswer,
    ConceptsConceptRequest,
    ConceptsMoveAnswer,
    ConceptsMoveRequest,
    ConceptsOverviewAnswer,
    ConceptsOverviewRequest,
    ConceptsSteeringAnswer,
    ConceptsSteeringRequest,
    TaskEntry,
)

if TYPE_CHECKING:
    from unweave.shapes.concept_runs.subject import ConceptSubject


@view(
    "concepts-overview",
    "which concepts a run found the shapes of and which tasks it steered",
    ConceptsOverviewRequest,
    ConceptsOverviewAnswer,
    subject=KIND,
)
def overview(subject: ConceptSubject, _: ConceptsOverviewRequest) -> ConceptsOverviewAnswer:
    tables, reason = subject.tables, without_moving(subject)
    return ConceptsOverviewAnswer(
        id=subject.id,
        title=subject.title,
        run=subject.run.id,
        study=subject.run.study,
        target=subject.target_title,
        concepts=[
            ConceptEntry(
                name=name,
                values=len(distinct(tables.rows("centroids", concept=name), "value")),
                layers=tables.layers("centroids", concept=name),
                layer=best_layer(tables, name),
            )
            for name in subject.concepts
        ],
        tasks=[
            TaskEntry(
                name=name,
                layers=tables.layers("answers", task=name),
                pairs=[str(pair) for pair in distinct(tables.rows("answers", task=name), "pair")],
            )
            for name in subject.tasks
        ],
        moving=Available.unless(reason),
    )


@view(
    "concepts-concept",
    "one concept at one depth: its values in space, the curves through them, scores with their nulls",
    ConceptsConceptRequest,
    ConceptsConceptAnswer,
    subject=KIND,
)
def concept(subject: ConceptSubject, request: ConceptsConceptRequest) -> ConceptsConceptAnswer:
    tables = subject.tables
    name = chosen("concept", request.concept, subject.concepts)
    layer = best_layer(tables, name) if request.layer is None else request.layer
    layer = chosen("layer", layer, tables.layers("centroids", concept=name))
    return ConceptsConceptAnswer(
        concept=name,
        layer=layer,
        axes=axes(tables, concept=name, layer=layer),
        values=concept_values(tables, layer, concept=name),
        curves=concept_curves(tables, layer, concept=name),
        summary=tables.shown("summary", concept=name),
        scores=tables.shown("scores", concept=name),
        families=tables.shown("families", concept=name),
    )


@view(
    "concepts-steering",
    "one pair of values at one depth: the ways between them and what is answered along each",
    ConceptsSteeringRequest,
    ConceptsSteeringAnswer,
    subject=KIND,
)
def steering(subject: ConceptSubject, request: ConceptsSteeringRequest) -> ConceptsSteeringAnswer:
    tables = subject.tables
    task = chosen("task", request.task, subject.tasks)
    layer = chosen("layer", request.layer, tables.layers("answers", task=task))
    pairs = [str(pair) for pair in distinct(tables.rows("answers", task=task, layer=layer), "pair")]
    pair = chosen("pair", request.pair, pairs)
    return ConceptsSteeringAnswer(
        task=task,
        layer=layer,
        pair=pair,
        axes=axes(tables, task=task, layer=layer),
        values=concept_values(tables, layer, task=task),
        curves=concept_curves(tables, layer, task=task),
        ways=steered_ways(tables, task, layer, pair),
        by_way=tables.shown("ways", task=task, layer=layer),
        tests=tables.shown("tests", task=task, layer=layer),
        energy=tables.shown("energy", task=task, layer=layer, pair=pair),
        isometry=tables.shown("isometry", task=task, layer=layer),
    )


@view(
    "concepts-move",
    "a concept moved to a place on its curve, and what the model then answers",
    ConceptsMoveRequest,
    ConceptsMoveAnswer,
    exclusive=True,
    subject=KIND,
)
def move(subject: ConceptSubject, request: ConceptsMoveRequest) -> ConceptsMoveAnswer:
    return moved(subject, request)
