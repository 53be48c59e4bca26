"""The demonstration: a real model, one matrix already taken apart, and German removed with one number."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from unweave.base.progress import Progress

if TYPE_CHECKING:
    from unweave.record.table import Table


def run_demo(progress: Progress, root: Path) -> dict[str, Any]:
    """Runs ``remove-language`` in a small setting on the bundled decomposition; returns what there is to print.

    One seed and few windows, so that it ends within minutes on two cores; the committed record has the seeds.
    """
    from dataclasses import asdict

    from unweave.decompose.decomposition import Decomposition, bundled
    from unweave.record.audit import audit_run
    from unweave.record.run import Run
    from unweave.studies.remove_language import RemoveLanguage, remove_language

    decomposition = Decomposition.load(bundled("smollm2"))
    for line in card_lines(decomposition):
        progress.say(line)
    config = RemoveLanguage(seeds=1, windows=12)
    with Run.create("remove-language", asdict(config), root=root, progress=progress) as run:
        removal = remove_language(config, run)
        found = audit_run(run)
        table, effects, written = (run.load_table(name) for name in ("summary", "effects", "continuations"))
        left_out = run.load_table("left-out") if "left-out" in run.tables() else None
    lines = [
        "",
        f"One number on {removal.site}:{removal.index} ({removal.plain_label}): German at "
        f"{float(str(table.records()[0]['level'])):.2f} of a uniform guess's cross-entropy",
        "",
        *changes_lines(effects, config.language),
        "",
        *continuation_lines(written),
        "",
        table.to_markdown(),
        "",
        "One seed and 12 windows a language: a demonstration, not a comparison; the record with seeds is docs/results.",
    ]
    if left_out is not None and left_out.rows:
        strangers = [row for row in left_out.records() if row["known"] and not row["same language"]]
        if strangers:
            worst = strangers[0]
            lines.append(
                f"Languages that nothing had read: the worst is {worst['language']} at "
                f"{float(str(worst['change'])):+.2f} nats; the report lists all {len(strangers)}."
            )
    lines += [
        f"audit: {'every figure and claim agrees with its table' if not found else f'{len(found)} discrepancies'}",
        f"report: {removal.report}",
        "",
        "What to try next:",
        *activation_lines(),
        "  unweave scan smollm2 --contrast language=fr",
        f"  unweave export {run.id} --format peft --out german-removed",
        "  unweave decompose smollm2 --sites model.layers.25.mlp.down_proj --out fr.decomp",
        "  unweave run remove-language --set language=fr --set decomposition=fr.decomp",
    ]
    return {
        "run": run.id,
        "report": removal.report,
        "site": removal.site,
        "subcomponent": removal.index,
        "label": removal.plain_label,
        "summary": table.records(),
        "discrepancies": len(found),
        "text": "\n".join(lines),
    }


def activation_lines() -> list[str]:
    """How to get ``unweave`` onto the path, where it is not there yet: ``make`` puts it into an environment."""
    if which("unweave"):
        return []
    if sys.platform == "win32":
        return [f"  {Path(sys.prefix) / 'Scripts' / 'activate'}"]
    return [f"  . {Path(sys.prefix) / 'bin' / 'activate'}"]


def changes_lines(effects: Table, language: str) -> list[str]:
    """A row a method: the removed language's cross-entropy before and after, and the change of every other one."""
    rows = effects.records()
    labels = list(dict.fromkeys(str(row["label"]) for row in rows))
    others = [label for label in labels if label != language]
    lines = ["Held-out text, nats per token:", f"{'method':22} {language + ' before, after':>20}  " + _columns(others)]
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        found = {str(row["label"]): row for row in rows if row["method"] == method}
        base, change = float(str(found[language]["base"])), float(str(found[language]["change"]))
        changes = _columns([f"{float(str(found[label]['change'])):+.3f}" for label in others])
        lines.append(f"{method:22} {f'{base:.2f}, {base + change:.2f}':>20}  {changes}")
    return lines


def _columns(values: Sequence[str]) -> str:
    return " ".join(f"{value:>8}" for value in values)


def continuation_lines(written: Table) -> list[str]:
    """One continuation a language, before and after, with the identifier's verdict."""
    lines = ["Continuations (greedy; in brackets what a language identifier takes them for):"]
    for label in dict.fromkeys(written.column("label")):
        row = next(row for row in written.records() if row["label"] == label)
        lines.append(f"{label}  …{_one_line(row['prompt'])[-50:]}")
        lines += [
            f"    {when:6} [{row[f'verdict_{when}']}] {_one_line(row[when])[:90]}" for when in ("before", "after")
        ]
    return lines


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def card_lines(decomposition: Any) -> list[str]:
    """The bundled decomposition in a few lines: how many pieces, how sparse, and how faithful against an SVD."""
    lines = []
    for name, pieces in decomposition.sites.items():
        quality = decomposition.card.get("sites", {}).get(name, {}).get("quality")
        lines.append(
            f"{name} of {decomposition.target_name}: {len(pieces)} rank-one subcomponents plus the exact delta"
        )
        if quality:
            ours, svd = quality["ours"], quality["svd"]
            lines.append(
                f"  {quality['l0']:.1f} needed a token; KL at the logits under importance / stochastic / adversarial "
                f"masks {ours['importance']:.3f} / {ours['stochastic']:.3f} / {ours['adversarial']:.3f} nats "
                f"(an SVD at the same sparsity: {svd['importance']:.3f} / {svd['stochastic']:.3f} / "
                f"{svd['adversarial']:.3f})"
            )
    return lines
