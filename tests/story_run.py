"""A finished run of stories: the tables that the study `story-arc` saves, written by hand."""

from __future__ import annotations

import math
from pathlib import Path

from unweave.corpora.stories import ARCS, EMOTIONS, arc_curve
from unweave.record.run import Run
from unweave.record.table import Table

LAYER, SENTENCES = 3, 6
TOPICS = ("garden", "harbour")
HOSTILE = "</script><script>window.struck=1</script><img src=x onerror=window.struck=1>\u202e <!-- \u2028"


def stories() -> list[dict]:
    """One story of each arc and topic, and a neutral one whose texts are hostile and that has no gold."""
    found = [
        {"story": f"{arc}-{topic}", "title": f"A {arc} in the {topic}", "arc": arc, "topic": topic, "kind": "arc"}
        for topic in TOPICS
        for arc in ARCS
    ]
    return [*found, {"story": "odd", "title": HOSTILE, "arc": None, "topic": HOSTILE, "kind": "neutral"}]


def sentence_rows() -> list[dict]:
    rows = []
    for number, story in enumerate(stories()):
        curve = arc_curve(story["arc"] or "rise", SENTENCES)
        for sentence in range(SENTENCES):
            gold = None if story["arc"] is None else float(curve[sentence])
            text = HOSTILE if gold is None else f"Sentence {sentence} of a {story['arc']}."
            row = {**story, "sentence": sentence, "text": text, "gold valence": gold}
            for at, name in enumerate(EMOTIONS):
                row[f"gold {name}"] = None if gold is None else (at + sentence) / 12
            for readout, off in (("forced-choice", 0.1), ("direct", 0.3)):
                row[f"{readout} valence"] = math.tanh(float(curve[sentence]) + off * math.sin(number + sentence))
                for at, name in enumerate(EMOTIONS):
                    row[f"{readout} {name}"] = (at + sentence + off) / 12
            row["vader"] = 0.25 * math.cos(sentence)
            rows.append(row)
    return rows


def path_rows(layers: tuple[int, ...] = (LAYER, 1)) -> list[dict]:
    return [
        {
            "story": story["story"],
            "sentence": sentence,
            "layer": layer,
            "x": math.cos(number + sentence / 2) * layer,
            "y": math.sin(number + sentence / 2),
            "z": sentence / SENTENCES - 0.5 + number / 40,
        }
        for layer in layers
        for number, story in enumerate(stories())
        for sentence in range(SENTENCES)
    ]


def tables() -> list[Table]:
    sheet = [
        {"u": u, "v": v, "x": 2 * u - 4, "y": v / 2 - 1, "z": 0.05 * (u - 2) * (v - 2)}
        for u in range(5)
        for v in range(5)
    ]
    axes = [{"axis": axis, "explained": share} for axis, share in zip("xyz", (0.41, 0.2, 0.1), strict=True)]
    return [
        Table.from_records("sentences", sentence_rows(), caption="A readout calibrated on other topics."),
        Table.from_records("paths", path_rows()),
        Table.from_records("axes", axes),
        Table.from_records("surface", sheet),
    ]


def make_run(root: Path, name: str = "told", finish: bool = True, without: tuple[str, ...] = ()) -> Run:
    """A run below ``root`` with these tables but those named."""
    run = Run.create("story-arc", {"target": "polyglot"}, root, name)
    for table in tables():
        if table.name not in without:
            run.save_table(table)
    if finish:
        run.finish()
    return run
