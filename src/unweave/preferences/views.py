"""The preference room's live views, of what a run foresaw; other programs call them on a ``PreferenceSubject``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unweave.base.views import view
from unweave.preferences.column_page import column_page, columns_page
from unweave.preferences.pair_page import pair_page, pairs_page
from unweave.preferences.prediction_tables import MAPS
from unweave.preferences.subject import CLEANED, KIND
from unweave.preferences.view_models import (
    MapEntry,
    MapGroup,
    MapPoint,
    PreferencesColumnAnswer,
    PreferencesColumnRequest,
    PreferencesColumnsAnswer,
    PreferencesColumnsRequest,
    PreferencesMapAnswer,
    PreferencesMapRequest,
    PreferencesOverviewAnswer,
    PreferencesOverviewRequest,
    PreferencesPairAnswer,
    PreferencesPairRequest,
    PreferencesPairsAnswer,
    PreferencesPairsRequest,
    PreferencesRemovedAnswer,
    PreferencesRemovedRequest,
    RemovedEntry,
    TopicEntry,
)
from unweave.read.view_models import Available

if TYPE_CHECKING:
    from unweave.preferences.subject import PreferenceSubject


@view(
    "preferences-overview",
    "what pairs a prediction is of, and what can be asked of it",
    PreferencesOverviewRequest,
    PreferencesOverviewAnswer,
    subject=KIND,
)
def overview(subject: PreferenceSubject, _: PreferencesOverviewRequest) -> PreferencesOverviewAnswer:
    facts, tables = subject.store.facts, subject.tables
    return PreferencesOverviewAnswer(
        id=subject.id,
        title=subject.title,
        run=subject.run.id,
        data=subject.data,
        target=subject.target_title,
        target_digest=facts.target,
        layer=facts.layer,
        dictionary=facts.dictionary_name,
        dictionary_digest=facts.dictionary,
        features=subject.store.features,
        clusters=len(subject.members),
        pairs=len(subject.store),
        prompts=len(np.unique(subject.store.groups)),
        columns=len(tables.columns),
        stands=sum(each.stands is True for each in tables.columns),
        kinds=sorted({each.kind for each in tables.columns if each.kind}),
        topics=[TopicEntry(name=name, rows=rows) for name, rows in tables.topics.items()],
        maps=[MapEntry(of=of, points=len(tables.points(of))) for of in MAPS if tables.points(of)],
        removed=len(tables.removed_rows),
        cleaned=(subject.run.path / CLEANED).is_file(),
        unit=tables.unit,
        by=str(subject.config.get("by") or ""),
        caption=tables.caption,
        texts=Available.unless(subject.without_texts()),
        tokens=Available.unless(subject.without_tokens()),
    )


view(
    "preferences-columns",
    "behaviours and clusters of features by what is predicted of them, filtered and sorted",
    PreferencesColumnsRequest,
    PreferencesColumnsAnswer,
    subject=KIND,
)(columns_page)


view(
    "preferences-column",
    "one behaviour or cluster: its change by every predictor, where it fires, and the rows that push it",
    PreferencesColumnRequest,
    PreferencesColumnAnswer,
    subject=KIND,
)(column_page)


view(
    "preferences-pairs",
    "pairs by column, side, topic and text, cut into pages",
    PreferencesPairsRequest,
    PreferencesPairsAnswer,
    subject=KIND,
)(pairs_page)


view(
    "preferences-pair",
    "one pair, its words or tokens shaded by a column, and what was measured of both replies",
    PreferencesPairRequest,
    PreferencesPairAnswer,
    exclusive=True,
    subject=KIND,
)(pair_page)


@view(
    "preferences-removed",
    "rows that the cleaned data lack, and why",
    PreferencesRemovedRequest,
    PreferencesRemovedAnswer,
    subject=KIND,
)
def removed(subject: PreferenceSubject, request: PreferencesRemovedRequest) -> PreferencesRemovedAnswer:
    found = subject.tables.removed
    shown = found[request.offset : request.offset + request.limit]
    return PreferencesRemovedAnswer(
        total=len(found),
        offset=request.offset,
        rows=[
            RemovedEntry(
                row=int(row["row"]),
                id=subject.ids[int(row["row"])],
                column=row.get("column"),
                share=row.get("share"),
                why=str(row.get("why") or ""),
            )
            for row in shown
        ],
    )


@view(
    "preferences-map",
    "rows or features as points, near where alike, with topic or cluster and lean",
    PreferencesMapRequest,
    PreferencesMapAnswer,
    subject=KIND,
)
def preference_map(subject: PreferenceSubject, request: PreferencesMapRequest) -> PreferencesMapAnswer:
    found = subject.tables.points(request.of)
    table = subject.tables.table(MAPS[request.of])
    of_rows = request.of == "rows"
    group = "topic" if of_rows else "cluster"
    points = [
        MapPoint(
            x=row["x"],
            y=row["y"],
            name=subject.ids[int(row["row"])] if of_rows else str(row["feature"]),
            row=int(row["row"]) if of_rows else None,
            label=str(row.get("label") or ""),
            group=None if row.get(group) is None else str(row[group]),
            lean=row.get("lean"),
        )
        for row in found[: request.limit]
    ]
    return PreferencesMapAnswer(
        of=request.of,
        total=len(found),
        caption=table.caption if table is not None else "",
        points=points,
        groups=_groups(points),
    )


def _groups(points: list[MapPoint]) -> list[MapGroup]:
    """Those of most points first."""
    leans: dict[str, list[float | None]] = {}
    for point in points:
        if point.group is not None:
            leans.setdefault(point.group, []).append(point.lean)
    found = []
    for name, each in leans.items():
        known = [lean for lean in each if lean is not None]
        found.append(MapGroup(name=name, points=len(each), lean=sum(known) / len(known) if known else None))
    return sorted(found, key=lambda one: (-one.points, one.name))
