"""Labels every feature of a harvest that fires, scores the labels on held-out text, and keeps both."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, usual_progress
from unweave.base.seeds import numpy_generator
from unweave.read.harvest.value import Harvest
from unweave.read.labels.evidence import EvidenceSource
from unweave.read.labels.journal import open_journal
from unweave.read.labels.judges import Judge, offline_judge
from unweave.read.labels.labeler import UNCLEAR, Label, Labeler
from unweave.read.labels.scores import FeatureScores, balanced, dealt, score_label
from unweave.read.labels.scoring import ScoringSource
from unweave.read.labels.store import DESCRIPTION, SCORES, LabelFacts, LabelRow, Labels, predicate_text
from unweave.stats.bootstrap import Interval, mean_interval, median_interval


def label_harvest(
    harvest: Harvest,
    labeler: Labeler,
    judge: Judge | None = None,
    *,
    rows: Sequence[int] | None = None,
    out: Path | None = None,
    control: int | None = None,
    embedding: np.ndarray | None = None,
    seed: int = 0,
    replace: bool = False,
    progress: Progress | None = None,
) -> Labels:
    """Labels the features in ``rows`` (all that fire), densest first, scores each on held-out examples, and totals.

    ``out`` (the harvest's folder) gets ``labels.parquet`` and ``labels.json``. Interrupted, the same call goes on from
    its journal there. ``judge`` is the offline one by default; ``control`` is on how many features the controls are
    made (all), for judges that cost money. ``embedding`` (vocabulary, d) helps the offline judge to find intruders.

    Raises ``UnweaveError`` where labels are in the way that were made or judged in another way, or are of features that
    these leave out, unless ``replace`` says that they may go.
    """
    progress, started = progress or usual_progress(), time.monotonic()
    source, held = EvidenceSource(harvest, seed), ScoringSource(harvest, seed)
    judge = judge or offline_judge(source.text.attributes, source.text.windows, embedding)
    chosen = np.flatnonzero(harvest.alive) if rows is None else np.array(rows, np.int64)
    if not len(chosen):
        raise UnweaveError(
            f"no feature of {harvest.facts.dictionary_name} fires on this text: there is nothing to label"
        )
    chosen = chosen[np.argsort(-harvest.firing[chosen], kind="stable")]
    settings = {"labeler": labeler.settings(), "judge": judge.settings()}
    alone = _some(chosen.tolist(), control, seed)
    identity = {
        "harvest": harvest.digest,
        "labeler": labeler.name,
        "settings": settings,
        "judge": judge.name,
        "intruder_by": judge.intruder_by,
        "seed": seed,
        "control": None if control is None else sorted(alone),
    }
    folder = Path(out) if out is not None else harvest.folder
    if not replace:
        check_replaced(folder, harvest, labeler, judge, chosen.tolist())

    def spent() -> dict[str, dict[str, Any]]:
        return {"labeler": labeler.spent(), "judge": judge.spent()}

    with open_journal(folder, identity) as journal:
        for count, row in enumerate(chosen.tolist(), 1):
            if row not in journal.rows:
                label = labeler.label(source.of(row))
                scores = score_label(judge, label, held.of(row), control=row in alone)
                journal.keep(_row(harvest, row, labeler.name, label, scores), spent())
            progress.update(count, len(chosen), "features labelled")
        listed = {row: journal.rows[row] for row in chosen.tolist()}
        try:
            dealing = _control(judge, listed, held, control, seed, progress)
        finally:
            journal.keep_spending(spent())
        facts = LabelFacts(
            harvest.digest,
            harvest.facts.target,
            harvest.facts.target_name,
            harvest.facts.dictionary,
            harvest.facts.dictionary_name,
            labeler.name,
            labeler.settings(),
            judge.name,
            judge.intruder_by,
            seed,
            totals(listed, dealing, seed),
            journal.spent(spent()),
            round(time.monotonic() - started, 2),
        )
        labels = Labels(facts, listed)
        labels.save(folder)
    return labels


def check_replaced(folder: Path, harvest: Harvest, labeler: Labeler, judge: Judge, rows: Sequence[int]) -> None:
    """Raises ``UnweaveError`` where labels in ``folder`` would be lost: none are where the new ones say as much."""
    if not (folder / DESCRIPTION).exists():
        return
    try:
        found = Labels.load(folder)
    except UnweaveError as error:
        raise UnweaveError(f"{error}; they would be replaced: give another --out, or --replace") from error
    facts, left_out = found.facts, len(set(found.rows) - set(rows))
    differs = [
        (facts.harvest != harvest.digest, "of another harvest"),
        (facts.labeler != labeler.name, f"by the {facts.labeler} labeler"),
        (facts.settings != labeler.settings(), "by a labeler of other settings"),
        (facts.judge != judge.name, f"judged by {facts.judge}"),
        (left_out > 0, f"of {left_out} more features"),
    ]
    said = next((what for yes, what in differs if yes), None)
    if said is not None:
        raise UnweaveError(
            f"{folder} has {len(found)} labels {said}, which these would replace: give another --out, or --replace"
        )


def _some(rows: Sequence[int], limit: int | None, seed: int) -> set[int]:
    """The features on which a control is made where it is limited; all where it is not."""
    if limit is None or len(rows) <= limit:
        return set(rows)
    return set(numpy_generator(seed, "intruder control").choice(rows, limit, replace=False).tolist())


def totals(rows: Mapping[int, LabelRow], control: Mapping[str, Sequence[float]], seed: int) -> dict[str, Any]:
    """What the scores come to over features: unclear labels count with 0.5, features without examples not at all."""
    found: dict[str, Any] = {
        "labelled": len(rows),
        "confidence": dict(Counter(each.confidence for each in rows.values())),
    }
    clear = any(each.confidence != UNCLEAR for each in rows.values())
    for name in SCORES:
        listed = [(getattr(each, name), each.confidence) for each in rows.values() if getattr(each, name) is not None]
        if not listed:
            found[name] = {"features": 0}
            continue
        values = [value for value, _ in listed]
        said = [value for value, confidence in listed if confidence != UNCLEAR]
        if name in control and not said and clear:
            # A judge that could read none of the labels measured nothing; the unclear ones' 0.5 is by convention.
            found[name] = {"features": 0}
            continue
        found[name] = {
            "features": len(values),
            "median": _interval(median_interval(values, seed)),
            "mean": _interval(mean_interval(values, seed)),
        }
        if name in control:
            found[name]["unclear"] = len(values) - len(said)
            if said:
                found[name]["median_without_unclear"] = _interval(median_interval(said, seed))
            if control[name]:
                found[name]["control"] = _interval(mean_interval(control[name], seed))
                found[name]["control_features"] = len(control[name])
    return found


def _interval(interval: Interval) -> dict[str, float | None]:
    ends = {"low": interval.low, "high": interval.high}
    return {"value": interval.mean, **{name: None if np.isnan(end) else end for name, end in ends.items()}}


def _control(
    judge: Judge, rows: Mapping[int, LabelRow], held: ScoringSource, limit: int | None, seed: int, progress: Progress
) -> dict[str, list[float]]:
    """Scores of labels dealt to other features; those that are unclear would score 0.5 anyway and are left out."""
    listed = [row for row, each in rows.items() if each.confidence != UNCLEAR and each.detection_trials]
    if limit is not None and len(listed) > limit:
        listed = np.random.default_rng(seed).choice(listed, limit, replace=False).tolist()
    found: dict[str, list[float]] = {"detection": [], "fuzzing": []}
    for count, (row, other) in enumerate(dealt(listed, seed).items(), 1):
        trials, label = held.of(row), label_of(rows[other])
        for name, given, fuzzing in (("detection", trials.detection, False), ("fuzzing", trials.fuzzing, True)):
            score = balanced(judge, label, given, fuzzing)
            if score is not None:
                found[name].append(score.value)
        progress.update(count, len(listed), "labels dealt to other features")
    return found


def label_of(row: LabelRow) -> Label:
    """A stored row as a label again."""
    predicate = json.loads(row.predicate) if row.predicate else None
    return Label(row.text, row.reads, row.writes, row.confidence, row.reason, predicate)  # type: ignore[arg-type]


def _row(harvest: Harvest, row: int, labeler: str, label: Label, scores: FeatureScores) -> LabelRow:
    found: dict[str, Any] = {}
    for name in SCORES:
        score = getattr(scores, name)
        if score is not None:
            found |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}
            found[f"{name}_trials"] = score.trials
    return LabelRow(
        row,
        harvest.name(row),
        label.text,
        label.reads,
        label.writes,
        label.confidence,
        label.reason,
        predicate_text(label.predicate),
        labeler,
        **found,
    )
