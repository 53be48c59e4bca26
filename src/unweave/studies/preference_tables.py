"""Tables of what was predicted: columns, topics, rows, predictors, and what is wrong with the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from unweave.corpora.pairs.report import PairReport
    from unweave.record.table import Table
    from unweave.studies.preference_forecast import Forecast
    from unweave.studies.preference_reading import PreferenceReading

ROWS = 10
"""Rows that are listed of each column."""
SAID = 10
"""Columns that a run says when it has ranked them."""
SHOWN = 120
"""First characters of a prompt in a table."""


def column_kind(name: str) -> str:
    return "cluster" if name.startswith("cluster:") else "behaviour"


def problems_table(checked: PairReport) -> Table:
    """What ``check_pairs`` found, the worst first."""
    from unweave.record.table import Table

    rows = [
        {
            "severity": each.severity,
            "problem": each.kind,
            "rows": each.count,
            "meaning": each.meaning,
            "examples": plain_text(", ".join(each.examples)),
        }
        for each in checked.problems
    ]
    return Table.from_records(
        "problems",
        rows,
        ("severity", "problem", "rows", "meaning", "examples"),
        caption=f"What is wrong or remarkable in {checked.rows} pairs of {checked.prompts} prompts. Nothing was left "
        "out but rows that are no pairs.",
    )


def predictions_table(reading: PreferenceReading, forecast: Forecast) -> Table:
    """Every column, those that stand first, of each kind the largest predicted change first."""
    from unweave.record.table import Table

    leading, standing = forecast.leading, forecast.standing
    varies = reading.evidence.reference.values.std(0) > 1e-9
    rows = []
    for rank, column in enumerate(forecast.order, start=1):
        name = leading.names[column]
        trace = forecast.trace(name)
        topic, share = leading_topic(reading, trace.pushes)
        row: dict[str, Any] = {
            "column": name,
            "rank": rank,
            "kind": column_kind(name),
            "meaning": plain_text(reading.meanings[name]),
            "change": float(leading.change[column]),
            "low": float(leading.low[column]),
            "high": float(leading.high[column]),
            "stands": bool(standing.stands[column]),
            "halves agree": bool(standing.agree[column]),
            "p": float(standing.adjusted[column]),
            "topic": topic,
            "topic share": share,
            "rows for half": len(trace.covering()),
            "varies": bool(varies[column]),
        }
        for each in forecast.predictions[1:]:
            row[each.predictor] = float(each.change[column])
        rows.append(row)
    return Table.from_records(
        "predictions",
        rows,
        units={"change": forecast.unit},
        digits={"change": 3, "low": 3, "high": 3, "p": 4, "topic share": 2}
        | {each.predictor: 3 for each in forecast.predictions[1:]},
        caption=f"Predicted change by {leading.predictor}, with its 95 % interval"
        + (
            " for what a training will be seen to do. "
            if forecast.calibrated
            else " over prompts. Relative: nothing says how much of it a training will show, so that order and sign "
            "count, not size. "
        )
        + "'stands': p, by flipping the labels of prompts and Holm's method over columns, is at most "
        f"{standing.level}, and both halves of the prompts agree. 'topic' adds the largest share; 'rows for half' is "
        "the smallest number of rows that holds half of all pushes its way. Where a column never 'varies' in the "
        "target's own replies, its unit is its own. The other predictors stand to the right, each in its own unit "
        "where it is not calibrated.",
    )


def ranked_lines(predictions: Table) -> list[str]:
    """The first rows of the table of predictions in words, for whoever watches a run."""
    first = predictions.records()[:SAID]
    width = max(len(str(row["column"])) for row in first)
    stand = sum(each is True for each in predictions.column("stands"))
    lines = [f"{stand} of {len(predictions.rows)} columns stand; the first of them all:"]
    for row in first:
        change, low, high = (predictions.shown(name, row[name]) for name in ("change", "low", "high"))
        said = "stands" if row["stands"] else "does not stand"
        lines.append(
            f"{row['column']:{width}}  {change} [{low}, {high}] {predictions.units['change']}, {said}; half of it in "
            f"{row['rows for half']} rows; topic: {row['topic']}"
        )
    return lines


def leading_topic(reading: PreferenceReading, pushes: np.ndarray) -> tuple[str, float | None]:
    """The topic whose rows add most to a change, and the share of the change that they are; None of no change."""
    import numpy as np

    labels, total = reading.labels, float(pushes.sum())
    sums = np.bincount(labels + 1, pushes)
    best = int(sums.argmax())
    return reading.topic_name(best - 1), sums[best] / total if total > 0 else None


def topics_table(reading: PreferenceReading, forecast: Forecast) -> Table:
    """Each topic with its size and the column that it pushes most, of those that stand."""
    import numpy as np

    from unweave.record.table import Table

    labels, leading = reading.labels, forecast.leading
    standing = [forecast.column(name) for name in forecast.standing_names()]
    rows = []
    for number in np.unique(labels):
        inside = labels == number
        row: dict[str, Any] = {
            "topic": int(number),
            "words": reading.topic_name(int(number)),
            "rows": int(inside.sum()),
            "share": float(inside.mean()),
            "pushes": None,
            "push": None,
        }
        if standing:
            sums = leading.shares[inside][:, standing].sum(0, dtype=np.float64) / len(labels)
            best = int(np.abs(sums).argmax())
            row |= {"pushes": leading.names[standing[best]], "push": float(sums[best])}
        rows.append(row)
    return Table.from_records(
        "topics",
        sorted(rows, key=lambda row: -row["rows"]),
        units={"push": forecast.unit},
        digits={"share": 3},
        caption="Rows by what their replies are about, named by the words that distinguish their prompts; -1 is the "
        "silent bucket, in which hardly a clustered feature fires. 'push' is what a topic's rows add to the predicted "
        "change of the column that they move most, of those that stand.",
    )


def rows_table(reading: PreferenceReading, forecast: Forecast) -> Table:
    """Of each column the rows that push it most the way it goes."""
    import numpy as np

    from unweave.record.table import Table

    evidence, ids = reading.evidence, reading.store.ids
    rows = []
    for column in forecast.order:
        name = forecast.leading.names[column]
        trace = forecast.trace(name)
        for rank, row in enumerate(trace.order[:ROWS], start=1):
            if trace.pushes[row] <= 0:
                break
            rows.append(
                {
                    "column": name,
                    "rank": rank,
                    "id": plain_text(ids[row]),
                    "row": int(row),
                    "share": float(trace.pushes[row] * trace.direction),
                    "of all pushes": float(trace.pushes[row] / np.clip(trace.pushes, 0, None).sum()),
                    "topic": reading.topic_name(int(reading.labels[row])),
                    "prompt": plain_text(reading.skim.prompts[row][:SHOWN]),
                    "chosen": float(evidence.chosen.values[row, column]),
                    "rejected": float(evidence.rejected.values[row, column]),
                }
            )
    return Table.from_records(
        "rows",
        rows,
        ("column", "rank", "id", "row", "share", "of all pushes", "topic", "prompt", "chosen", "rejected"),
        units={"share": forecast.unit},
        digits={"of all pushes": 3},
        caption=f"The {ROWS} rows that push each column most the way that its change goes. A row's share is what it "
        "adds to the predicted change: the shares of all rows add up to it. 'row' counts from 0 among the pairs that "
        "could be read.",
    )


def predictors_table(forecast: Forecast) -> Table:
    """Every predictor: what it does, whether it predicted, its slope where it was calibrated."""
    from unweave.preferences.predictors.registry import all_predictors
    from unweave.record.table import Table

    slopes = forecast.calibration.slopes if forecast.calibration is not None else {}
    used = [each.predictor for each in forecast.predictions]
    rows = [
        {
            "predictor": name,
            "meaning": each.meaning,
            "used": name in used,
            "left out because": forecast.left_out.get(name) or (None if name in used else "it was not asked for"),
            "slope": slopes[name].slope if name in slopes else None,
            "datasets": slopes[name].datasets if name in slopes else None,
        }
        for name, each in all_predictors().items()
    ]
    return Table.from_records(
        "predictors",
        rows,
        caption="'slope' is the change that training was seen to do for one unit that was predicted, over so many "
        "datasets; missing where the predictor was not calibrated on this target.",
    )


def left_out_table(reading: PreferenceReading, more: dict[str, str]) -> Table:
    """What was not done, and why."""
    from unweave.record.table import Table

    rows = [{"what": what, "why": why} for what, why in {**reading.left_out, **more}.items()]
    return Table.from_records("left-out", rows, ("what", "why"), caption="What was not done, and why.")


def plain_text(text: str) -> str:
    """Text as a table can hold it: no half of a surrogate pair, on one line."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
