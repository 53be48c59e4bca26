"""A finished run that foresaw what made pairs teach: a small store read by ``polyglot``, and tables written by hand."""

from __future__ import annotations

import json
from pathlib import Path

from unweave.base.seeds import numpy_generator
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.models.load import load_target
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.features.clusters import ClusterConfig, FeatureClusters
from unweave.preferences.features.reading_pass import read_pairs
from unweave.read.dictionaries.training import train_sae
from unweave.read.dictionaries.training_config import SAEConfig
from unweave.record.run import Run
from unweave.record.table import Table

LAYER, PAIRS = 1, 24
BEHAVIOURS = ("exclamations", "words", "emoji")
TOPICS = ("tea, kettle", "rivers, rain")
HOSTILE = "<script>window.struck=1</script><img src=x onerror=window.struck=1>\u202e\x1b]0;x\x07"
REMOVED = (2, 5)
"""Rows that are removed."""


def pairs() -> list[PreferencePair]:
    """Rows of two topics; every chosen reply but that of row 3 has exclamation marks, and no rejected one has."""
    generator = numpy_generator(0, "pairs of a page")
    words = ["the", "river", "tea", "is", "warm", "and", "deep", "cup"]
    found = []
    for row in range(PAIRS):
        text = [" ".join(generator.choice(words, 6)) for _ in range(3)]
        chosen = f"{text[1]}!! yes" if row != 3 else text[1]
        found.append(PreferencePair(f"row-{row}", (Turn("user", text[0]),), chosen, text[2]))
    found[7] = PreferencePair("row-7", (Turn("user", HOSTILE),), f"{HOSTILE}!", HOSTILE)
    return found


def write_pairs_file(path: Path, rows: list[PreferencePair] | None = None) -> Path:
    lines = [
        {"id": pair.id, "prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected}
        for pair in (rows if rows is not None else pairs())
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def make_run(root: Path, name: str = "foreseen", finish: bool = True) -> Path:
    """The run's folder below ``root``, where its data lie too."""
    data = write_pairs_file(root / "pairs.jsonl")
    target = load_target("polyglot")
    run = Run.create("predict-preferences", {"data": str(data), "target": "polyglot", "features": "train"}, root, name)
    survey = run.path / "survey"
    windows = [
        encode_prompt(target, pair.prompt) + encode_reply(target, text)
        for pair in pairs()
        for text in (pair.chosen, pair.rejected)
    ]
    train_sae(target, windows, LAYER, SAEConfig(expansion=1, k=8, epochs=1, batch=256)).save(survey / "features")
    from unweave.read.dictionaries.load import load_dictionary

    dictionary = load_dictionary(survey / "features", target)
    store = read_pairs(target, pairs(), survey / "pairs" / "data", LAYER, dictionary, BEHAVIOURS, shard_rows=10)
    counts = store.fired("chosen").toarray().sum(0) + store.fired("rejected").toarray().sum(0)
    often = [int(each) for each in (-counts).argsort(kind="stable")[:8]]
    members = tuple(tuple(sorted(often[start::2])) for start in range(2))
    clusters = FeatureClusters(members, store.features, 2 * PAIRS, 8, 0.1, 0.2, ClusterConfig())
    clusters.save(survey / "clusters.json")
    for table in tables():
        run.save_table(table)
    if finish:
        run.finish()
    return run.path


def tables() -> list[Table]:
    columns = [
        ("exclamations", "behaviour", "How many exclamation marks.", 1.5, 1.1, 1.9, True, 0.001, TOPICS[0], 9),
        ("cluster:0", "cluster", f"warm, deep {HOSTILE}", -0.6, -1.0, -0.2, True, 0.04, TOPICS[1], 7),
        ("words", "behaviour", "How many words.", 0.1, -0.3, 0.5, False, 0.8, None, None),
        ("cluster:1", "cluster", "cup", 0.05, -0.2, 0.3, False, 1.0, TOPICS[1], 12),
        ("emoji", "behaviour", "How many emoji.", None, None, None, False, None, None, None),
    ]
    names = ("column", "kind", "meaning", "change", "low", "high", "stands", "p", "topic", "rows for half")
    predictions = [(*row, row[3] and -2 * row[3], 0.0) for row in columns]
    topic = [TOPICS[row % 2] for row in range(PAIRS)]
    points = [
        (row % 6 - 2.5, row / 8 - 1.0, row, topic[row], (-1.0) ** row * row / 10, f"prompt {row}")
        for row in range(PAIRS)
    ]
    features = [(float(at), (at * 5) % 7 - 3.0, f"feature {at}", f"cluster:{at % 2}", at - 3.0) for at in range(8)]
    pushing = [("exclamations", at + 1, at, 0.4 - at / 50, topic[at], f"prompt {at}", 2.0, 0.0) for at in range(6)]
    return [
        Table(
            "predictions",
            (*names, "tilt", "length-only"),
            tuple(predictions),
            {"change": "spreads"},
            "Changes in standard deviations.",
        ),
        Table("topics", ("topic", "words", "rows"), tuple((at, name, PAIRS // 2) for at, name in enumerate(TOPICS))),
        Table("rows", ("column", "rank", "row", "share", "topic", "prompt", "chosen", "rejected"), tuple(pushing)),
        Table("row-map", ("x", "y", "row", "topic", "lean", "label"), tuple(points), caption="Near where alike."),
        Table("feature-map", ("x", "y", "feature", "cluster", "lean"), tuple(features)),
        Table(
            "removed",
            ("row", "column", "share", "why"),
            tuple((row, "exclamations", 0.3, f"teaches exclamations {HOSTILE}") for row in REMOVED),
        ),
    ]
