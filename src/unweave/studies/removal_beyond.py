"""What the median edit does beyond the labels: continuations, languages left out, other contexts, relearning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unweave.base.progress import Progress
from unweave.studies.removal_bench import KNOWN_BELOW
from unweave.studies.removal_tables import label_name

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.removal_bench import Bench
    from unweave.studies.remove_language import RemoveLanguage


FEW_WINDOWS, SOME_WINDOWS, MANY_WINDOWS = 2, 6, 32
AGAIN = 20


def write_continuations(config: RemoveLanguage, bench: Bench, edit: Any, progress: Progress) -> list[Any]:
    """Greedy continuations of the removed label, the retained one and another, before and after."""
    from unweave.corpora.windows import token_windows
    from unweave.edit.continuations import continuations

    labels = [config.language, config.retain]
    labels += [label for label in bench.corpus.labels("evaluation") if label not in labels][:1]
    prompts = {
        label: token_windows(bench.target.tokenizer, bench.corpus, "evaluation", label, 64, seed=3, at_most=2)
        for label in labels
    }
    progress.say("writing continuations")
    return continuations(bench.target, edit, prompts)


def measure_left_out(
    run: Run, config: RemoveLanguage, bench: Bench, edit: Any, local: bool, seed: int, progress: Progress
) -> Table | None:
    """Every language of the Declaration that the target knows and nothing has read, under the edit of one ``seed``."""
    import torch

    from unweave.base.errors import UnweaveError
    from unweave.corpora.bundled import declaration, language_name
    from unweave.corpora.windows import token_windows
    from unweave.edit.measure import make_yardstick
    from unweave.edit.off_target import effects
    from unweave.record.table import Table

    text = declaration()
    everything = text.labels("evaluation")
    if not config.left_out or config.language not in everything:
        return None
    read = {*bench.corpus.labels(), *bench.decomposition.card.get("labels", ())}
    wanted = everything if config.left_out == ("all",) else config.left_out
    known_below, cells = KNOWN_BELOW * bench.setting.ceiling, run.cells("left-out")

    def measured(label: str, count: int) -> dict[str, Any] | None:
        key = f"{label}/{count}"
        if key in cells:
            return json.loads(str(cells[key]["row"]))
        try:
            windows = token_windows(bench.target.tokenizer, text, "evaluation", label, 64, at_most=count)
        except UnweaveError:  # a text shorter than one window
            return None
        yardstick = make_yardstick(bench.target, {label: torch.as_tensor(windows)}, bench.setting.layer)
        found = effects(bench.target, edit, yardstick, local=local)[label]
        row = {name: getattr(found, name) for name in ("label", "base", "change", "low", "high", "windows")}
        run.put_cell("left-out", key, {"row": json.dumps(_finite(row))})
        return row

    rows: dict[str, dict[str, Any]] = {}
    todo = [label for label in wanted if label not in read]
    for done, label in enumerate(todo):
        if row := measured(label, FEW_WINDOWS if config.left_out == ("all",) else SOME_WINDOWS):
            rows[label] = row
        progress.update(done + 1, len(todo), "languages left out")
    if not rows:
        return None
    if config.left_out == ("all",):
        # Two windows tell where to look, and no more: those that changed most are measured on all the text there is.
        known = sorted((row for row in rows.values() if row["base"] < known_below), key=lambda row: -row["change"])
        for label in [row["label"] for row in known[:AGAIN]]:
            rows[label] = measured(label, MANY_WINDOWS) or rows[label]
    shown = [
        {
            "language": language_name(label),
            "label": label,
            "base": row["base"],
            "known": row["base"] < known_below,
            "same language": _plain_name(label) == _plain_name(config.language),
            "change": row["change"],
            **{end: row[end] if row["windows"] >= SOME_WINDOWS else None for end in ("low", "high")},
            "windows": row["windows"],
            "seed": seed,
        }
        for label, row in rows.items()
    ]
    table = Table.from_records(
        "left-out",
        sorted(shown, key=lambda row: -row["change"]),
        units={"base": "nats", "change": "nats", "low": "nats", "high": "nats"},
        caption="Languages that nothing in this study had read, on the Universal Declaration, largest change first; an "
        f"interval where there were at least {SOME_WINDOWS} windows of it",
        digits={"base": 2, "change": 3, "low": 3, "high": 3},
    )
    run.save_table(table)
    return table


def _plain_name(label: str) -> str:
    """A language's name without what tells its variants apart: ``German`` for ``German, Standard (1901)``."""
    return label_name(label).split(" (")[0].split(",")[0]


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and value != value else value for key, value in row.items()}


def strangers(table: Table) -> list[dict[str, Any]]:
    """The rows of languages that the target knows that are not the removed one by another name."""
    return [row for row in table.records() if row["known"] and not row["same language"]]


def left_out_sentence(config: RemoveLanguage, table: Table) -> str:
    """How many were measured, the worst, and a warning when relatives are hurt."""
    known = strangers(table)
    if not known:
        return "None of these languages is known to the target."
    worst = known[0]
    hurt = [row for row in known if float(row["change"] or 0) > 0.3]
    sentence = (
        f"Languages that neither scan, decomposition, selection nor tuning had read, and that the target knows: "
        f"{len(known)}. The worst is {worst['language']} at {float(worst['change']):+.2f} nats."
    )
    if hurt:
        names = ", ".join(str(row["label"]) for row in hurt[:12])
        sentence += (
            f" Warning: more than 0.3 nats are lost in {len(hurt)} of them ({names}{'...' if len(hurt) > 12 else ''}). "
            f"The piece was selected against {', '.join(['the corpus labels', *config.also])} only; add a hurt "
            f"relative to the contrast with `--also` when decomposing and `--set also=` here."
        )
    return sentence


def measure_persistence(run: Run, config: RemoveLanguage, bench: Bench, edit: Any, progress: Progress) -> list[str]:
    """Saves what other contexts, long text, code and relearning show, and returns the names of the tables."""
    from unweave.edit import persistence
    from unweave.record.table import Table

    target, corpus, label = bench.target, bench.corpus, config.language
    progress.say("other contexts, long text and code")
    texts = persistence.contexts(target, corpus, label, config.retain)
    rows = persistence.contexts_table(target, edit, texts)
    rows += persistence.contexts_table(target, edit, persistence.long_text(target, corpus, config.retain))
    for row in rows:
        row["change"] = float(row["edited"]) - float(row["base"])
    digits = {"base": 3, "edited": 3, "change": 3}
    run.save_table(
        Table.from_records(
            "contexts",
            rows,
            units=dict.fromkeys(digits, "nats"),
            digits=digits,
            caption=f"{label_name(label)} in other contexts; then long {label_name(config.retain)} text and code",
        )
    )
    relearned = persistence.relearning(
        target, [("unedited", None), ("edited", edit)], corpus, label, texts["plain"], progress
    )
    run.save_table(
        Table.from_records(
            "relearning",
            relearned,
            units={"before": "nats", "after": "nats"},
            digits={"before": 3, "after": 3},
            caption=f"Held-out {label_name(label)} before and after {persistence.STEPS} fine-tuning steps",
        )
    )
    return ["contexts", "relearning"]
