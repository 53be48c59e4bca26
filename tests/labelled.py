"""Labels by hand for a harvest's folder."""

from __future__ import annotations

from unweave.read.harvest import Harvest
from unweave.read.labels.store import LabelFacts, LabelRow, Labels


def write_labels(folder, texts, harvest=None, **columns):
    """Labels by row, all clear unless ``columns`` (by row too) say otherwise."""
    made = Harvest.load(folder)
    facts = made.facts
    rows = {}
    for row, text in texts.items():
        own = {"confidence": "clear"} | {name: values[row] for name, values in columns.items() if row in values}
        rows[row] = LabelRow(
            row=row,
            name=made.name(row),
            text=text,
            reads=text,
            writes="",
            reason="by hand",
            predicate="",
            labeler="hand",
            **own,
        )
    described = LabelFacts(
        harvest or made.digest, facts.target, facts.target_name, facts.dictionary, facts.dictionary_name,
        "hand", {}, "", "", 0, {}, {}, 0.0,
    )  # fmt: skip
    Labels(described, rows).save(folder)
