"""The demonstration: a real model, one matrix already taken apart, and German removed with one number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unweave.base.progress import Progress


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
    config = RemoveLanguage(
        seeds=1,
        windows=12,
        methods=("factor", "ablation", "lora-1-here", "lora-1", "least-variance", "random-subcomponent"),
    )
    with Run.create("remove-language", asdict(config), root=root, progress=progress) as run:
        removal = remove_language(config, run)
        found = audit_run(run)
        table = run.load_table("summary")
        left_out = run.load_table("left-out") if "left-out" in run.tables() else None
    lines = [
        "",
        f"German removed from SmolLM2-135M by one number on {removal.site}:{removal.index} ({removal.plain_label})",
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
