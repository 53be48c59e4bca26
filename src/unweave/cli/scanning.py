"""The commands that a person begins with: the demo, and the scan for a label's sites."""

from __future__ import annotations

import argparse

from unweave.base.arguments import count, whole
from unweave.base.errors import NothingFound, UnweaveError
from unweave.base.memory import keep_freed_memory
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.cli.shared import Command, grid, new_run, open_corpus, open_target, run_value, target_options

SHOWN_ROWS = 10


def _demo(args: argparse.Namespace) -> Output:
    from unweave.studies.demo import run_demo

    keep_freed_memory()
    result = dict(run_demo(Terminal("demo"), args.runs))
    return Output(result, result.pop("text").splitlines())


def _scan_options(parser: argparse.ArgumentParser) -> None:
    target_options(parser)
    parser.add_argument("--contrast", metavar="KEY=LABEL", required=True, help="the label to tell apart: language=fr")
    parser.add_argument("--sites", metavar="GLOB", default="*", help="sites by name, with * and ? (default: all)")
    parser.add_argument("--windows", type=count, default=16, help="windows of text for each label (default: 16)")
    parser.add_argument(
        "--try", metavar="N", type=whole, default=4, help="try a closed-form edit at the N best sites (default: 4)"
    )
    parser.add_argument("--seed", type=int, default=0)


def _scan(args: argparse.Namespace) -> Output:
    from unweave.edit.site_trial import trials_table, try_sites
    from unweave.read import scan

    label = args.contrast.rpartition("=")[2]
    corpus, target = open_corpus(args), open_target(args)
    chosen = {"sites": args.sites, "windows": args.windows, "seed": args.seed}
    tried = getattr(args, "try")
    config = {"target": args.target, "contrast": args.contrast, "corpus": args.corpus, "try": tried, **chosen}
    with new_run(args, "scan", {**config, "identity": target.identity.digest}) as run:
        result = scan(target, corpus, label, **chosen, progress=run.progress)
        table = result.table()
        run.save_table(table)
        best = [score.site for score in result.sites[:tried]] if result.found else []
        trials = []
        try:
            trials = try_sites(target, corpus, label, best, windows=args.windows, progress=run.progress)
        except UnweaveError as error:  # too little text for a trial is no reason to withhold the ranking
            run.progress.say(f"no trials: {error}")
        if trials:
            run.save_table(trials_table(trials, label))
    lines = [*grid(table, SHOWN_ROWS), "", f"{len(table.rows)} sites in {run.path / 'tables' / 'scan.csv'}"]
    if trials:
        shown = trials_table(trials, label)
        lines += ["", f"{shown.caption}:", *grid(shown), ""]
    if result.found:
        site = trials[0].site.name if trials else table.records()[0]["site"]
        if trials and not trials[0].reached:
            lines.append(f"At none of these does one direction bring {label!r} to ln V.")
        lines.append(f"Take the best apart: unweave decompose {args.target} --sites {site} --out {label}.decomp")
    else:
        lines.append(f"Nothing found: no site exceeds the largest score of {label!r} under shuffled windows.")
    value = {"label": label, "found": result.found, "p_value": result.p_value, "sites": table.records()}
    value["trials"] = trials_table(trials, label).records() if trials else []
    return Output(run_value(run) | value, lines, 0 if result.found else NothingFound.exit_code)


COMMANDS = {
    "demo": Command(_demo, "remove a language from a small real model with one number, and show what changed"),
    "scan": Command(_scan, "rank a target's sites by how strongly they carry a label", _scan_options),
}
