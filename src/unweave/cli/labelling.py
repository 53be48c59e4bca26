"""The command that names every feature of a harvest and scores the names on held-out text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.arguments import count
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.cli.shared import Command, grid, new_run, run_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unweave.base.endpoint import Endpoint
    from unweave.read.harvest import Harvest
    from unweave.read.labels import Labels
    from unweave.read.labels.asking import Asker
    from unweave.record import Table

SHOWN_LABELS = 12
OFFLINE, MODEL = "offline", "language-model"
ASKED_CONTROL = 50
UNREAD = f"the offline judge cannot read labels in words: no detection and no fuzzing; --score-with {MODEL} gives them"
NO_SCORES = "no scores: too little held-out text for a trial of any feature; harvest more"


def _label_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("harvest", metavar="HARVEST", type=Path, help="folder that `unweave harvest` wrote")
    parser.add_argument(
        "--labeler",
        default="statistical",
        help="statistical, which needs no model and no network, or language-model (default: statistical)",
    )
    parser.add_argument(
        "--score-with", default=OFFLINE, choices=(OFFLINE, MODEL), help="who judges the labels (default: offline)"
    )
    parser.add_argument("--features", metavar="N", type=count, help="label only the N that fire most (default: all)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where labels are kept (default: HARVEST)")
    parser.add_argument("--replace", action="store_true", help="replace labels that are there by others, or by fewer")
    parser.add_argument("--export", metavar="FOLDER", type=Path, help="also write labels and statistics as tables")
    parser.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible address, up to /v1")
    parser.add_argument("--model", metavar="NAME", help="the model to ask there")
    parser.add_argument("--key-env", metavar="VARIABLE", help="environment variable that holds the endpoint's key")
    parser.add_argument("--price-in", metavar="PRICE", type=float, help="price of a million tokens asked")
    parser.add_argument("--price-out", metavar="PRICE", type=float, help="price of a million tokens answered")
    parser.add_argument(
        "--control",
        metavar="N",
        type=count,
        help="on how many features the controls are made (default: all; 50 where a model judges)",
    )
    parser.add_argument(
        "--embeddings",
        action="store_true",
        help="load the harvest's target and let the offline judge use its embeddings to find intruders",
    )
    parser.add_argument("--seed", type=int, default=0)


def _label(args: argparse.Namespace) -> Output:
    from unweave.read.harvest import Harvest
    from unweave.read.labels import export_labels, find_labeler, label_harvest

    made = Harvest.load(args.harvest)
    asked = _endpoint(args)
    if args.embeddings and args.score_with == MODEL:
        raise UnweaveError("--embeddings is for the offline judge: leave it out, or leave out --score-with")
    made_by = find_labeler(args.labeler)
    labeler = made_by(_asker(args, asked)) if asked is not None and args.labeler == MODEL else made_by()
    judge, control = None, args.control
    if asked is not None and args.score_with == MODEL:
        from unweave.read.labels.evidence import EvidenceSource
        from unweave.read.labels.language_model import LanguageModelJudge

        judge = LanguageModelJudge(_asker(args, asked), EvidenceSource(made, args.seed).text.attributes)
        control = control or ASKED_CONTROL
    rows = None
    if args.features is not None:
        alive = made.alive.nonzero()[0]
        rows = alive[(-made.firing[alive]).argsort(kind="stable")][: args.features].tolist()
    out = args.out or args.harvest
    args.kept.append(f"the same command goes on from its journal in {out}")
    chosen = {"harvest": str(args.harvest), "labeler": args.labeler, "score_with": args.score_with, "seed": args.seed}
    settings = {**chosen, "features": args.features, "settings": labeler.settings(), "identity": made.digest}
    with new_run(args, "label", settings) as run:
        labels = label_harvest(
            made,
            labeler,
            judge,
            rows=rows,
            out=out,
            control=control,
            embedding=_embedding(made) if args.embeddings else None,
            seed=args.seed,
            replace=args.replace,
            progress=run.progress,
        )
        scores, listed = scores_table(labels), _labels_table(labels, made)
        for table in filter(None, (scores, listed)):
            run.save_table(table)
    exported = [str(path) for path in export_labels(labels, made, args.export)] if args.export else []
    lines = [
        *([*grid(scores), ""] if scores is not None else [NO_SCORES, ""]),
        *grid(listed, SHOWN_LABELS),
        "",
        f"{out / 'labels.parquet'}: {len(labels)} labels",
    ]
    spent = labels.facts.spent
    lines += [f"{name}: {_cost(each)}" for name, each in spent.items() if each]
    if args.labeler == MODEL and args.score_with == OFFLINE:
        lines.append(UNREAD)
    lines += exported
    value = {"labels": str(out), "exported": exported, "totals": labels.facts.totals, "spent": spent}
    return Output(run_value(run) | chosen | value, lines)


def _embedding(made: Harvest) -> NDArray[np.float32]:
    """The input embedding of the harvest's target; raises ``UnweaveError`` where that is another one by now."""
    from unweave.models import load_target
    from unweave.read.harvest.store import found_source

    source = found_source(made.facts.target_source, made.folder)
    target = load_target(source, dtype=made.facts.dtype)
    if target.identity.digest != made.facts.target:
        raise UnweaveError(
            f"{made.facts.target_source} is target {target.identity.digest} by now, and the harvest is of "
            f"{made.facts.target}: leave out --embeddings, or harvest anew"
        )
    table = getattr(target.module, "get_input_embeddings", lambda: None)()
    if table is None:
        raise UnweaveError(f"{target.name} has no input embedding: leave out --embeddings")
    return table.weight.detach().float().cpu().numpy()


def _endpoint(args: argparse.Namespace) -> Endpoint | None:
    if MODEL not in (args.labeler, args.score_with):
        given = [name for name in ("endpoint", "model", "key_env") if getattr(args, name)]
        if given:
            option = given[0].replace("_", "-")
            raise UnweaveError(f"--{option} is for a language model: add --labeler {MODEL} or --score-with {MODEL}")
        return None
    from unweave.base.endpoint import Endpoint
    from unweave.read.labels.asking import check_prices

    if not args.endpoint or not args.model:
        raise UnweaveError("a language model needs --endpoint URL and --model NAME")
    check_prices(args.price_in, args.price_out)
    return Endpoint(args.endpoint, args.model, args.key_env)


def _asker(args: argparse.Namespace, endpoint: Endpoint) -> Asker:
    """One for the labeler and one for the judge: each counts what it spends."""
    from unweave.read.labels.asking import Asker, Spent

    return Asker(endpoint, Spent(args.price_in, args.price_out))


def _cost(spent: dict[str, Any]) -> str:
    price = "price unknown" if spent["price"] is None else f"price {spent['price']:.4f}"
    return (
        f"{spent['calls']} calls ({spent['cached']} more from the cache), {spent['tokens_in']} tokens asked, "
        f"{spent['tokens_out']} answered, {price}"
    )


def scores_table(labels: Labels) -> Table | None:
    """The scores over all labels; None where held-out text gave none."""
    from unweave.record import Table

    rows = []
    for name in ("detection", "fuzzing", "intruder"):
        found = labels.facts.totals[name]
        if not found["features"]:
            continue
        # Texts of other features are the control of intruders, and of nothing else.
        control = (
            labels.facts.totals["intruder_control"].get("mean") if name == "intruder" else found.get("control")
        ) or {}
        central = found["mean" if name == "intruder" else "median"]
        rows.append(
            {
                "score": name,
                "features": found["features"],
                "measure": "mean accuracy" if name == "intruder" else "median balanced accuracy",
                "value": central["value"],
                "low": central["low"],
                "high": central["high"],
                "chance": 0.2 if name == "intruder" else 0.5,
                "control": control.get("value"),
                "control low": control.get("low"),
                "control high": control.get("high"),
            }
        )
    if not rows:
        return None
    caption = (
        f"Scores of {len(labels)} labels on held-out text, judged by {labels.facts.judge} (intruders by "
        f"{labels.facts.intruder_by}); the control is labels dealt to other features, and for intruders texts of "
        "other features alone"
    )
    return Table.from_records("scores", rows, caption=caption)


def _labels_table(labels: Labels, made: Harvest) -> Table:
    from unweave.record import Table

    rows = [
        {
            "feature": each.name,
            "density": float(made.density[each.row]),
            "confidence": each.confidence,
            "detection": each.detection,
            "label": each.text,
        }
        for each in sorted(labels, key=lambda each: -(each.detection or 0))
    ]
    return Table.from_records("labels", rows, caption=f"Labels by the {labels.facts.labeler} labeler, best first")


COMMANDS = {
    "label": Command(_label, "name every feature of a harvest, and score the names on held-out text", _label_options),
}
