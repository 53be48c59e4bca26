"""The commands that compare runs and run many of them."""

from __future__ import annotations

import argparse
from typing import Any

from unweave.base.arguments import count, whole
from unweave.base.configs import parse_settings
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import ask_in, checked_request, chosen_study, columns, open_lab, told
from unweave.cli.shared import Command, grid, set_option


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
    parser.add_argument("--because", metavar="TEXT", default="", help="with --keep: why other runs alike are left out")


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
        compared, about = comparison_of(lab, args.runs_named, **asked), {"person": person.name}
        run = save_comparison(lab, compared, about, args.because)
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


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help="its name, or a .py file that registers one")
    parser.add_argument("--study", metavar="NAME", dest="which", help="the study, where the file registers several")
    space = parser.add_argument_group("what varies")
    space.add_argument(
        "--over",
        metavar="FIELD=VALUES",
        action="append",
        default=[],
        help="values to combine with all others: tokens=4,16",
    )
    space.add_argument(
        "--random", metavar="FIELD=RANGE", action="append", default=[],
        help="values or a range to draw from: rate=log:1e-4:1e-1, rank=int:1:8",
    )  # fmt: skip
    space.add_argument("--draws", metavar="N", type=count, default=0, help="how many configs to draw")
    space.add_argument("--draw-seed", metavar="N", type=whole, default=0, help="of the draws (default: 0)")
    space.add_argument("--baseline", metavar="FIELD=VALUE", action="append", default=[], help="the arm to compare with")
    set_option(parser)
    seeds = parser.add_argument_group("seeds and halving")
    seeds.add_argument("--seeds", metavar="N", type=count, default=3, help="runs of each config (default: 3)")
    seeds.add_argument("--first-seed", metavar="N", type=whole, default=0)
    seeds.add_argument(
        "--halving", metavar="FIELD=VALUES", help="race the configs over these values of a field, the cheapest first"
    )
    seeds.add_argument(
        "--keep-one-in", metavar="N", type=float, default=3.0, help="go on with one config in N (default: 3)"
    )
    _measure_options(parser)
    parser.add_argument("--name", help="id of the sweep's own run")
    parser.add_argument("--thread", metavar="THREAD", help="make its runs part of this thread's budget")
    parser.add_argument("--priority", metavar="N", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="only say what it would take")
    parser.add_argument("--queue", "--detach", action="store_true", help="submit it to the lab's queue, and return")


def _sweep(args: argparse.Namespace) -> Output:
    from unweave.lab.operations.queue_models import StartSweepRequest
    from unweave.lab.operations.sweeping import plan_of, start_plan
    from unweave.lab.sweeps.plan import estimate_cost

    study, source = chosen_study(args)
    fields = {
        "study": study.name, "grid": parse_settings(args.over), "random": parse_settings(args.random),
        "draws": args.draws, "settings": parse_settings(args.set), "seed": args.draw_seed, "seeds": args.seeds,
        "first_seed": args.first_seed, "halving": _halving(args), "baseline": parse_settings(args.baseline),
        "measure": args.measure, "better": args.better, "priority": args.priority, "thread": args.thread,
        "name": args.name,
    }  # fmt: skip
    request = checked_request(StartSweepRequest, fields)
    plan = plan_of(request, str(source.resolve()) if source is not None else None)
    if args.dry_run:
        cost = estimate_cost(open_lab(args, make=True), plan)
        value = {"arms": len(plan.arms), "runs": plan.runs, "cost": cost.line(), "configs": plan.arms}
        return Output(value, [one_line(cost.line())])
    lab = open_lab(args, make=True)
    if source is None:
        made = ask_in(lab, "start-sweep", fields)
    else:
        # No operation does this: over the network nobody names a file of this machine.
        person = lab.people.here()
        person.must("run")
        made = start_plan(lab, person, plan, request.name, request.thread)
        lab.people.record(person, "start-sweep", {**fields, "file": source.name}, made.job.run)
    sweep = made.job.run
    args.kept.append(f"go on with `unweave queue wait {sweep}`")
    if args.queue:
        return Output(told(made), [f"sweep {sweep}: {one_line(made.cost)}", f"unweave queue wait {sweep}"])
    lab.queue.wait([sweep], progress=Terminal("sweep"))
    return _ended(lab, sweep, told(made))


def _ended(lab: Any, sweep: str, value: dict[str, Any]) -> Output:
    """What a sweep found: its tables, as its own run keeps them."""
    run = lab.runs.open(sweep)
    lab.runs.sync()
    lines = [line for name in ("arms", "comparison", "left-out") if name in run.tables()
             for line in [*grid(run.load_table(name)), ""]]  # fmt: skip
    claims = [claim.sentence for claim in run.claims()]
    note = run.state().get("note")
    lines += [*map(one_line, claims), f"run {sweep}: {run.status}{f', {one_line(note)}' if note else ''}"]
    value |= {"run": sweep, "status": run.status, "tables": run.tables(), "claims": claims}
    return Output(value, lines, exit_code=0 if run.status == "finished" else 1)


def _halving(args: argparse.Namespace) -> dict[str, Any] | None:
    if args.halving is None:
        return None
    ((field, values),) = parse_settings([args.halving]).items()
    listed = [value.strip() for value in values.split(",") if value.strip()]
    return {"field": field, "values": listed, "keep": args.keep_one_in, "final": max(3, args.seeds)}


COMMANDS = {
    "compare": Command(_compare, "compare runs by one number over their seeds, past a noise floor", _compare_options),
    "sweep": Command(_sweep, "run a study over a space of configs, and compare what they give", _sweep_options),
}
