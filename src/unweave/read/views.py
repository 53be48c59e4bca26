"""The reading room's live views; the server mounts them, and other programs call them on a ``Subject``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unweave.base.views import view
from unweave.read.feature_labels import CONFIDENCES
from unweave.read.feature_page import feature_page
from unweave.read.feature_table import number
from unweave.read.features import FIRES
from unweave.read.graph_store import GraphStore
from unweave.read.prompt_graphs import graph_of
from unweave.read.subject import SUBCOMPONENTS
from unweave.read.typed_text import firing_features
from unweave.read.view_models import (
    Available,
    CorpusLabel,
    DropGraphRequest,
    FeatureAnswer,
    FeatureRequest,
    FeaturesAnswer,
    FeaturesRequest,
    FiresAnswer,
    FiresRequest,
    GraphAnswer,
    GraphDocument,
    GraphRequest,
    GraphsAnswer,
    GraphsRequest,
    GroupSummary,
    LabelTotals,
    LoadGraphRequest,
    OverviewAnswer,
    OverviewRequest,
    SaveGraphRequest,
    SearchAnswer,
    SearchRequest,
)

if TYPE_CHECKING:
    from unweave.read.subject import Subject


@view("overview", "what a subject is of, and what can be asked of it", OverviewRequest, OverviewAnswer)
def overview(subject: Subject, _: OverviewRequest) -> OverviewAnswer:
    harvest, facts = subject.harvest, subject.facts
    alive = np.asarray(harvest.firing) > 0
    by_group = np.bincount(subject.table.group[alive], minlength=len(harvest.groups))
    reason = subject.unavailable()
    no_weights = "" if facts.kind == SUBCOMPONENTS else f"features of kind {facts.kind} are no pieces of weight"
    return OverviewAnswer(
        id=subject.id,
        title=subject.title,
        target=subject.target_title,
        target_digest=facts.target,
        kind=facts.kind,
        dictionary=facts.dictionary_name,
        dictionary_digest=facts.dictionary,
        features=len(harvest),
        alive=int(alive.sum()),
        tokens=facts.tokens,
        windows=facts.windows,
        length=facts.length,
        fires=FIRES,
        groups=[
            GroupSummary(name=name, features=count, alive=int(living))
            for (name, count), living in zip(harvest.groups, by_group, strict=True)
        ],
        corpus_labels=[
            CorpusLabel(name=label, tokens=int(tokens))
            for label, tokens in zip(facts.labels, harvest.tokens_by_label, strict=True)
        ],
        labels=_label_totals(subject),
        labels_note=subject.labels.note,
        live=Available.unless(reason),
        graph=Available.unless(no_weights or reason),
        edit=Available.unless(no_weights or reason),
    )


def _label_totals(subject: Subject) -> LabelTotals | None:
    labels = subject.labels
    if not labels.entries:
        return None
    scored = labels.detection[~np.isnan(labels.detection)]
    return LabelTotals(
        labeler=", ".join(sorted({entry.labeler for entry in labels.entries.values()})),
        median_detection=number(np.median(scored)) if len(scored) else None,
        **{name: int((labels.confidence == place).sum()) for place, name in enumerate(CONFIDENCES)},
    )


@view("features", "the table of features, filtered, sorted and cut into pages", FeaturesRequest, FeaturesAnswer)
def features(subject: Subject, request: FeaturesRequest) -> FeaturesAnswer:
    table = subject.table
    contrast = table.contrast(request.contrast)
    asked = bool(request.query.strip())
    match = subject.index.match(request.query) if asked and request.sort == "match" else None
    kept = table.kept(request)
    if asked:
        kept = kept[subject.index.holds(request.query)[kept]]
    rows = table.ordered(kept, request.sort, request.descending, contrast, match)
    shown = rows[request.offset : request.offset + request.limit]
    return FeaturesAnswer(
        total=len(rows),
        offset=request.offset,
        corpus_labels=list(table.corpus_labels),
        rows=table.rows(shown, contrast),
    )


@view("feature", "all that is known of one feature", FeatureRequest, FeatureAnswer)
def feature(subject: Subject, request: FeatureRequest) -> FeatureAnswer:
    return feature_page(subject, request)


@view("fires", "which features fire on each token of typed text", FiresRequest, FiresAnswer, exclusive=True)
def fires(subject: Subject, request: FiresRequest) -> FiresAnswer:
    return firing_features(subject, request)


@view("search", "features by words, token, site, contrast, likeness and co-firing", SearchRequest, SearchAnswer)
def search(subject: Subject, request: SearchRequest) -> SearchAnswer:
    return subject.index.search(request)


@view(
    "graph",
    "which features led to the next token of a prompt, and through which others",
    GraphRequest,
    GraphAnswer,
    exclusive=True,
)
def graph(subject: Subject, request: GraphRequest) -> GraphAnswer:
    return graph_of(subject, request)


@view("graphs", "the prompt graphs that were saved", GraphsRequest, GraphsAnswer)
def graphs(subject: Subject, _: GraphsRequest) -> GraphsAnswer:
    return GraphsAnswer(graphs=GraphStore(subject).all())


@view(
    "save-graph",
    "keeps a prompt graph with what was hidden and moved in it",
    SaveGraphRequest,
    GraphDocument,
    writes=True,
)
def save_graph(subject: Subject, request: SaveGraphRequest) -> GraphDocument:
    return GraphStore(subject).save(request)


@view("load-graph", "a saved prompt graph", LoadGraphRequest, GraphDocument)
def load_graph(subject: Subject, request: LoadGraphRequest) -> GraphDocument:
    return GraphStore(subject).load(request.id)


@view("drop-graph", "forgets a saved prompt graph", DropGraphRequest, GraphsAnswer, writes=True)
def drop_graph(subject: Subject, request: DropGraphRequest) -> GraphsAnswer:
    store = GraphStore(subject)
    store.drop(request.id)
    return GraphsAnswer(graphs=store.all())
