"""Figures, claims and the report of ``remove-language``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from unweave.base.progress import Progress
from unweave.studies.removal_beyond import (
    left_out_sentence,
    measure_left_out,
    measure_persistence,
    strangers,
    write_continuations,
)
from unweave.studies.removal_inquiry import REMOVED
from unweave.studies.removal_tables import (
    cost_table,
    effects_table,
    label_name,
    median_cell,
    other_labels,
    save_cells,
)

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.removal_bench import Bench
    from unweave.studies.remove_language import Removal, RemoveLanguage

NATS = "nats per token"


def write_removal(run: Run, config: RemoveLanguage, bench: Bench, removal: Removal, progress: Progress) -> Path:
    """Writes everything the study found into the run and returns the report's path."""
    from unweave.edit.methods import find_method
    from unweave.edit.store import load_edit
    from unweave.record.report import Continuation, Headline, Section, write_report
    from unweave.record.table import Table
    from unweave.studies.remove_language import cell_key, edit_path

    cells = list(removal.cells)
    labels = [label for label in bench.yardstick.prefixes if "/" not in label]
    save_cells(run, config, removal, labels)
    summary, effects = run.load_table("summary"), run.load_table("effects")
    run.save_table(cost_table(config, bench, removal))
    second = [label for label in bench.yardstick.prefixes if label.startswith("udhr/")]
    if second:
        text = "the Universal Declaration"
        run.save_table(effects_table(removal, second, "second-genre", text, "udhr/"))

    leading = "factor" if "factor" in config.methods else config.methods[0]
    middle = median_cell([row for row in cells if row["method"] == leading and not row["strict"]], config.language)
    key = cell_key(leading, middle["budget"] or config.tokens[0], middle["seed"], strict=False)
    edit = load_edit(edit_path(run, key))
    written = write_continuations(config, bench, edit, progress)
    run.save_table(Table.from_records("continuations", [asdict(found) for found in written]))
    local, seed = find_method(middle["method"]).local, middle["seed"]
    wide = measure_left_out(run, config, bench, edit, local, seed, progress)
    persistence = measure_persistence(run, config, bench, edit, progress) if config.persistence else []
    name = label_name(config.language)
    method_row = {"method": "factor", "tokens": config.tokens[0]} if "factor" in config.methods else None
    related = run.load_table("related").column("label")
    alone = sum(str(text).startswith(f"only {name}") for text in related)
    removed = bool(method_row) and middle["effects"][config.language]["edited"] > REMOVED * removal.ceiling
    _draw(run, config, effects, summary, wide, removed)
    _claim(run, config, summary, wide, middle if method_row and not removed else None)
    headlines = []
    if method_row:
        headlines = [
            Headline(f"{name}, in ln V", "summary", method_row, "level", 2, note="1 is a uniform guess"),
            Headline(f"{label_name(config.retain)}", "summary", method_row, "retained", 3, True, "per token"),
            *(
                [Headline("worst other label", "summary", method_row, "worst other", 3, True, "per token")]
                if other_labels(labels, config)
                else []
            ),
            Headline(f"{name} tokens in the loss", "summary", method_row, "tokens", 0),
        ]
    sections = [
        Section(
            "What was edited",
            paragraphs=[
                *(f"Warning: {warning}." for warning in bench.warnings),
                f"The chosen piece is `{removal.site}:{removal.index}`: “{removal.plain_label}”. It was chosen because "
                f"its importance on {name} exceeds its importance on every other label by {bench.selection.score:.3f}; "
                f"dealing the same windows to labels at random gave at most {max(bench.selection.null_maxima):.3f} in "
                f"{len(bench.selection.null_maxima)} shuffles over all subcomponents.",
                *_of_candidates(run, name),
                f"Below, the {len(related)} subcomponents most related to the label against "
                f"{label_name(config.retain)}, with what they fire on in other labels. About {name} alone by their own "
                f"text: {alone}.",
            ],
            tables=[table for table in ("trials", "related") if table in run.tables()],
        ),
        Section("What it did", figures=_drawn(run, "changes", *_frontiers(config)), tables=["summary", "effects"]),
        Section(
            "Before and after",
            paragraphs=["Greedy continuations of held-out text; the verdict is a language identifier's."],
            continuations=[
                Continuation(label_name(c.label), c.prompt, c.before, c.after, c.verdict_before, c.verdict_after)
                for c in written
            ],
        ),
    ]
    if second:
        sections.append(
            Section(
                "Another genre",
                paragraphs=["The same labels on the Universal Declaration of Human Rights, read by nothing else."],
                tables=["second-genre"],
            )
        )
    if wide is not None:
        sections.append(
            Section(
                "Languages left out",
                paragraphs=[left_out_sentence(config, wide)],
                figures=_drawn(run, "left-out-worst"),
                tables=["left-out"],
            )
        )
    if persistence:
        sections.append(
            Section(
                "Removed or only suppressed",
                paragraphs=[
                    "The label's text in other contexts, long text and code under the edit, and what twenty steps of "
                    "fine-tuning on the label bring back."
                ],
                tables=persistence,
            )
        )
    sections.append(
        Section(
            "What it cost",
            paragraphs=[
                *_tuned_elsewhere(config, bench),
                "Tokens by purpose. Decomposition and selection are spent once and serve every later edit; the loss "
                "tokens are what the published experiment counts; `seen` adds their context.",
            ],
            tables=["cost", "seeds"],
        )
    )
    return write_report(
        run,
        f"{name} removed with one number" if removed else f"Can one number remove {name}?",
        f"One factor on one subcomponent of {config.target}, tuned on {config.tokens[0]} {name} tokens and measured on "
        f"held-out text; other ways compared: {len(config.methods) - 1}.",
        sections,
        headlines,
    )


def _of_candidates(run: Run, name: str) -> list[str]:
    if "trials" not in run.tables():
        return []
    sites = run.load_table("trials").column("site")
    return [
        f"{len(set(sites))} sites have subcomponents that are about {name} and no other label. The most selective, "
        f"{len(sites)} in all, were each turned down until {name} was gone on the selection text and a little further, "
        "and the one that harmed the others least was taken."
    ]


def _tuned_elsewhere(config: RemoveLanguage, bench: Bench) -> list[str]:
    """A warning where the methods that descend use settings of another target or matrix."""
    from unweave.decompose.decomposition import Decomposition, bundled
    from unweave.edit.tuned import HOME, tuned_on

    home = Decomposition.load(bundled(tuned_on(bench.target.name)))
    if home.target != bench.target.identity.digest or bench.selection.site not in home.sites:
        where = f"{home.target_name}'s bundled decomposition"
        return [
            f"Learning rates and steps of LoRA and of several factors were tuned on {where}, not here: their rows are "
            "no more than a first try. One number needs no such settings."
        ]
    borrowed = [name for name in config.methods if name in bench.tuning.borrowed]
    if not borrowed:
        return []
    return [
        f"Some learning rates and steps of {', '.join(borrowed)} were tuned on {HOME}, not here: at budgets other "
        "than 4 tokens, or at all, their rows are no more than a first try."
    ]


def _frontiers(config: RemoveLanguage) -> dict[str, int]:
    """One figure a budget, by name: all in one would hide the points behind each other."""
    return {"frontier" if tokens == config.tokens[0] else f"frontier-{tokens}": tokens for tokens in config.tokens}


def _drawn(run: Run, *names: str) -> list[str]:
    """Those of the figures that there was something to draw for."""
    return [name for name in names if name in run.figures()]


def _draw(run: Run, config: RemoveLanguage, effects: Table, summary: Table, wide: Table | None, removed: bool) -> None:
    from unweave.record.bar_chart import bars
    from unweave.record.curves import scatter
    from unweave.record.table import Table

    shown = [name for name in ("factor", "lora-1-here", "lora-1", "least-variance") if name in config.methods]
    shown = shown or list(config.methods[:4])
    others = [label for label in dict.fromkeys(effects.column("label")) if label != config.language]
    budget = config.tokens[0]
    run.draw(
        "changes",
        bars(
            effects,
            "label",
            "change",
            "low",
            "high",
            "method",
            where={"method": shown, "label": others, "tokens": [0, budget]},
            title=f"What else changes when {label_name(config.language)} is {'' if removed else 'to be '}removed with "
            f"{budget} tokens",
            caption="Change in cross-entropy on held-out text, median seed, 95 % interval over windows",
            value_label=f"change, {NATS}",
            digits=3,
            signed=True,
        ),
    )
    if any(value is not None for value in summary.column("worst other")):
        for name, tokens in _frontiers(config).items():
            run.draw(
                name,
                scatter(
                    summary,
                    "level",
                    "worst other",
                    label_column="method",
                    where={"tokens": [0, tokens]},
                    title=f"{label_name(config.language)} removed with {tokens} tokens against the worst other label",
                    caption="Each point is a method, median over seeds; right and low is better",
                    x_label=f"cross-entropy on {label_name(config.language)}, ln V",
                    y_label=f"worst other label, {NATS}",
                    x_references=[("uniform", 1.0)],
                ),
            )
    if wide is not None and strangers(wide):
        top = Table.from_records(
            "left-out-top",
            strangers(wide)[:14],
            caption="The languages left out that change most",
            digits={"change": 3},
        )
        run.save_table(top)
        run.draw(
            "left-out-worst",
            bars(
                top,
                "language",
                "change",
                "low",
                "high",
                title="Left-out languages that change most",
                value_label=f"change, {NATS}",
                digits=2,
                signed=True,
            ),
        )


def _claim(run: Run, config: RemoveLanguage, summary: Table, wide: Table | None, failed: dict[str, Any] | None) -> None:
    from unweave.record.aggregate import Aggregate, listed

    row = {"method": "factor", "tokens": config.tokens[0]}
    if len(summary.find(row)) != 1:
        return
    name, count = label_name(config.language), config.tokens[0]
    sentence = f"One factor tuned on {count} {name} tokens leaves {name} at {{value}} ln V."
    if failed:
        sentence = (
            f"One factor tuned on {count} {name} tokens does not remove {name}: it leaves it at {{value}} ln V (end of "
            f"the search: {failed['detail']['stopped']}). `unweave scan` names matrices where the label stands alone, "
            "and `unweave decompose` takes one apart."
        )

    def claim(sentence: str, where: dict[str, Any], column: str, digits: int) -> None:
        over = Aggregate("seeds", column, where)
        seeds = over.seeds(run.load_table("seeds"))
        # Some arms have fewer seeds than the run by design, and then the sentence says which.
        if len(seeds) < config.seeds:
            sentence = f"With seed{'s' if len(seeds) > 1 else ''} {listed(seeds)}, {sentence}"
        run.claim(sentence, "summary", where, column, digits=digits, over=over)

    claim(sentence, row, "level", 2)
    claim(f"It changes {label_name(config.retain)} by {{value:+}} nats per token.", row, "retained", 3)
    if summary.records()[summary.find(row)[0]]["worst other"] is not None:
        claim("It changes the worst other label by {value:+} nats per token.", row, "worst other", 3)
    for record in summary.records():
        if str(record["method"]).startswith("lora") and record["worst other"] is not None:
            where = {"method": record["method"], "tokens": record["tokens"]}
            claim(
                f"{record['method']} at {record['tokens']} tokens leaves {name} at {{value}} ln V.", where, "level", 2
            )
    if wide is not None and strangers(wide):
        worst = strangers(wide)[0]
        run.claim(
            f"Of the languages left out, {worst['language']} changes most: {{value:+}} nats per token, under the edit "
            f"of the median, seed {worst['seed']}.",
            "left-out",
            {"label": worst["label"]},
            "change",
            digits=2,
        )
