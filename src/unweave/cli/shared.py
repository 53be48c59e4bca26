"""What several commands share: options, loading, a run of their own, tables as text."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.memory import keep_freed_memory
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.base.settings import launched_process
from unweave.base.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from unweave.corpora import Corpus
    from unweave.decompose import Decomposition
    from unweave.models import Target
    from unweave.record import Run, Table


@dataclass(frozen=True)
class Command:
    """A command's function, its one-line summary, and what adds its options to a parser; or commands of its own."""

    function: Callable[[argparse.Namespace], Output] | None
    summary: str
    options: Callable[[argparse.ArgumentParser], None] = lambda _: None
    commands: Mapping[str, Command] = field(default_factory=dict)


def grid(table: Table, limit: int | None = None) -> list[str]:
    right = [kind in ("integer", "number") for kind in table.kinds]
    cells = [[one_line(table.heading(column)) for column in table.columns]]
    cells += [
        [one_line(table.shown(c, v)) for c, v in zip(table.columns, row, strict=True)] for row in table.rows[:limit]
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [f">{width}" if numeric else f"<{width}" for width, numeric in zip(widths, right, strict=True)]
    return ["  ".join(format(cell, side) for cell, side in zip(row, sides, strict=True)).rstrip() for row in cells]


def new_run(
    args: argparse.Namespace, study: str, config: dict[str, Any], about: Mapping[str, Any] | None = None
) -> Run:
    from unweave.record import Run

    run = Run.create(study, config, args.runs, getattr(args, "name", None), Terminal(study), about)
    args.kept.append(f"run {run.id} keeps what it wrote")
    return run


def run_value(run: Run) -> dict[str, Any]:
    facts = {"run": run.id, "study": run.study, "status": run.status, "path": str(run.path)}
    report = report_path(run)
    written = {"report": str(report) if report else None, "tables": run.tables(), "figures": run.figures()}
    return {**facts, **written, "claims": [claim.to_json() for claim in run.claims()]}


def current_report(run: Run) -> Path | None:
    """The run's report; that of a training which has not finished is drawn from what it has logged so far."""
    if run.study == "decompose" and run.status != "finished":
        from unweave.decompose.training_report import write_training_report

        return write_training_report(run)
    return report_path(run)


def report_path(run: Run) -> Path | None:
    path = run.path / "report.html"
    return path if path.is_file() else None


def target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="polyglot, pupil, smollm2, a folder, a hub id or a .gguf file")
    parser.add_argument("--corpus", default="parallel", help="parallel, declaration, or the path of your own text")
    hardware_options(parser)


def hardware_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: the best there is)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (default: float32)")


def open_target(args: argparse.Namespace, spec: str | None = None) -> Target:
    """The command's target, or another one on the same device and in the same precision."""
    from unweave.models import load_target

    keep_freed_memory()
    return load_target(
        spec or args.target,
        device=args.device,
        device_map=getattr(args, "device_map", None),
        dtype=args.dtype or "float32",
        progress=Terminal("load") if launched_process()[0] == 0 else None,
    )


def open_corpus(args: argparse.Namespace) -> Corpus:
    from unweave.corpora import load_corpus

    return load_corpus(args.corpus)


def open_decomposition(name: str) -> Decomposition:
    from unweave.decompose import Decomposition

    return Decomposition.load(decomposition_folder(name))


def decomposition_folder(name: str) -> Path:
    """The folder of that path, or that of a bundled decomposition by name."""
    from unweave.decompose import bundled

    return bundled(name) if name.isidentifier() and not Path(name).exists() else Path(name)


def usual_harvest(dictionary: str) -> Path:
    """Where a dictionary's harvest is kept unless told otherwise."""
    return Path(f"{dictionary.rstrip('/')}.harvest")


def set_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="set one field; repeat it for more"
    )
