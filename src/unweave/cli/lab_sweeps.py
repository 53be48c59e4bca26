"""The commands that compare runs and run many of them."""

from __future__ import annotations

import argparse
from typing import Any

from unweave.base.outcome import Output
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import ask_in, columns, open_lab, told
from unweave.cli.shared import Command


def _measure_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--measure",
        metavar="NUMBER",
        help="TABLE.COLUMN[FIELD=VALUE], or a logged metric (default: what the study answers with)",
    )
    parser.add_argument("--better", choices=("higher", "lower"), help="which way is better (default: the study's)")


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_named", metavar="RUN", nargs="+", help="its id")
    _measure_options(parser)
    parser.add_argument(
        "--by",
        metavar="FIELD",
        action="append",
        default=[],
        help="tell arms apart by this field (default: all that vary)",
    )
    parser.add_argument(
        "--baseline", metavar="FIELD=VALUE", action="append", default=[], help="the arm that others are compared with"
    )
    parser.add_argument("--keep", action="store_true", help="keep the comparison as a run, with its tables and claims")


def _compare(args: argparse.Namespace) -> Output:
    lab = open_lab(args)
    lab.runs.sync()
    asked = {"measure": args.measure, "better": args.better, "by": args.by, "baseline": args.baseline}
    found = ask_in(lab, "compare", {"runs": args.runs_named, **asked})
    value, lines = told(found), comparison_shown(found)
    if args.keep:
        from unweave.lab.operations.comparing import comparison_of
        from unweave.lab.sweeps.comparison_record import save_comparison

        person = lab.people.here()
        person.must("run")
        run = save_comparison(lab, comparison_of(lab, args.runs_named, **asked), {"person": person.name})
        lab.people.record(person, "compare", {"run": run.id, "runs": args.runs_named}, run.id)
        lab.runs.update(run.id)
        value, lines = value | {"run": run.id}, [*lines, f"kept as run {run.id}"]
    return Output(value, lines)


def comparison_shown(found: Any) -> list[str]:
    """A comparison as text: the arms, then what there is to say."""
    digits = found.digits

    def number(value: float | None) -> str | None:
        return None if value is None else f"{value:.{digits}f}"

    rows = [
        {
            "arm": arm.name,
            "seeds": len(arm.seeds),
            "mean": number(arm.mean),
            "95 %": f"{number(arm.low)} to {number(arm.high)}" if arm.low is not None else None,
            "difference": None if arm.difference is None else f"{arm.difference:+.{digits}f}",
            "floor": number(arm.floor) if arm.verdict != "baseline" else None,
            "p": None if arm.adjusted is None else f"{arm.adjusted:.4f}",
            "verdict": arm.verdict,
        }
        for arm in found.arms
    ]
    head = one_line(f"{found.measure} of {found.study}, {found.better} is better")
    names = ("arm", "seeds", "mean", "95 %", "difference", "floor", "p", "verdict")
    return [head, "", *columns(rows, names), "", *map(one_line, found.said)]


COMMANDS = {
    "compare": Command(_compare, "compare runs by one number over their seeds, past a noise floor", _compare_options),
}
