"""Labels every feature of a harvest that fires, scores the labels on held-out text, and keeps both."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.progress import Progress, usual_progress
from unweave.read.harvest.value import Harvest
from unweave.read.labels.evidence import EvidenceSource
from unweave.read.labels.judges import Judge, offline_judge
from unweave.read.labels.labeler import UNCLEAR, Label, Labeler
from unweave.read.labels.scores import FeatureScores, balanced, dealt, score_label
from unweave.read.labels.scoring import ScoringSource
from unweave.read.labels.store import SCORES, LabelFacts, LabelRow, Labels, predicate_text
from unweave.stats.bootstrap import Interval, mean_interval, median_interval

JOURNAL = "labels.partial.jsonl"


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
    progress: Progress | None = None,
) -> Labels:
    """Labels the features in ``rows`` (all that fire), densest first, scores each on held-out examples, and totals.

    ``out`` (the harvest's folder) gets ``labels.parquet`` and ``labels.json``. Interrupted, the same call goes on from
    ``labels.partial.jsonl`` there. ``judge`` is the offline one by default; ``control`` is on how many labels the
    dealt-labels control is made (all), for judges that cost money. ``embedding`` (vocabulary, d) helps the offline
    judge to find intruders.
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
    identity = {
        "harvest": harvest.digest,
        "labeler": labeler.name,
        "settings": labeler.settings(),
        "judge": judge.name,
        "intruder_by": judge.intruder_by,
        "seed": seed,
    }
    folder = Path(out) if out is not None else harvest.folder
    done: dict[int, LabelRow] = {}
    with _journal(folder / JOURNAL, identity, done) as journal:
        for count, row in enumerate(chosen.tolist(), 1):
            if row not in done:
                label = labeler.label(source.of(row))
                done[row] = _row(harvest, row, labeler.name, label, score_label(judge, label, held.of(row)))
                journal.write(json.dumps(asdict(done[row]), ensure_ascii=False) + "\n")
                journal.flush()
            progress.update(count, len(chosen), "features labelled")
    listed = {row: done[row] for row in chosen.tolist()}
    dealing = _control(judge, listed, held, control, seed, progress)
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
        {"labeler": labeler.spent(), "judge": judge.spent()},
        round(time.monotonic() - started, 2),
    )
    labels = Labels(facts, listed)
    labels.save(folder)
    (folder / JOURNAL).unlink(missing_ok=True)
    return labels


def totals(rows: Mapping[int, LabelRow], control: Mapping[str, Sequence[float]], seed: int) -> dict[str, Any]:
    """What the scores come to over features: unclear labels count with 0.5, features without examples not at all."""
    found: dict[str, Any] = {
        "labelled": len(rows),
        "confidence": dict(Counter(each.confidence for each in rows.values())),
    }
    for name in SCORES:
        listed = [(getattr(each, name), each.confidence) for each in rows.values() if getattr(each, name) is not None]
        if not listed:
            found[name] = {"features": 0}
            continue
        values = [value for value, _ in listed]
        said = [value for value, confidence in listed if confidence != UNCLEAR]
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


@contextmanager
def _journal(path: Path, identity: Mapping[str, Any], done: dict[int, LabelRow]) -> Iterator[TextIO]:
    """Opens the journal to go on with, reading what is in it into ``done``; one of other settings is begun anew."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
            if first == json.dumps(identity, ensure_ascii=False):
                for line in lines:
                    # A line cut short by a kill is made again.
                    try:
                        each = LabelRow(**json.loads(line))
                    except (json.JSONDecodeError, TypeError):
                        break
                    done[each.row] = each
        with path.open("w", encoding="utf-8") as journal:
            journal.write(json.dumps(identity, ensure_ascii=False) + "\n")
            for each in done.values():
                journal.write(json.dumps(asdict(each), ensure_ascii=False) + "\n")
            journal.flush()
            yield journal
    except OSError as error:
        raise oserror_line(error, path) from error
