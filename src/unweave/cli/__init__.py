"""The command line: parses, calls, prints. Whatever loads torch is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unweave
from unweave.base.arguments import Parser
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output, conclude
from unweave.base.settings import launched_process, set_offline
from unweave.cli import (
    attributing,
    decomposing,
    evaluating,
    harvesting,
    lab_agents,
    lab_audits,
    lab_papers,
    lab_people,
    lab_queue,
    lab_runs,
    lab_sweeps,
    lab_threads,
    labelling,
    pairs,
    running,
    scanning,
    searching,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unweave.cli.shared import Command

_COMMANDS = (
    scanning.COMMANDS
    | decomposing.COMMANDS
    | evaluating.COMMANDS
    | harvesting.COMMANDS
    | labelling.COMMANDS
    | searching.COMMANDS
    | attributing.COMMANDS
    | pairs.COMMANDS
    | running.COMMANDS
    | lab_runs.COMMANDS
    | lab_queue.COMMANDS
    | lab_sweeps.COMMANDS
    | lab_threads.COMMANDS
    | lab_agents.COMMANDS
    | lab_papers.COMMANDS
    | lab_audits.COMMANDS
    | lab_people.COMMANDS
    | serving.COMMANDS
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 a negative result, 2 a refusal, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    kept: list[str] = []

    rank, count = launched_process()

    def command() -> Output:
        args = _parse(arguments)
        if count > 1 and args.command != "decompose":
            raise UnweaveError(f"{args.command or 'unweave'} runs in one process: leave out torchrun")
        args.kept = kept
        return args.function(args)

    if rank == 0:
        return conclude(command, "--json" in arguments, kept)
    # The first process prints for all; what goes wrong in another is still said, on standard error.
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return conclude(command, "--json" in arguments, kept)


def _add(commands: Any, common: Parser, name: str, command: Command) -> None:
    added = commands.add_parser(name, parents=[common], help=command.summary, description=command.summary)
    added.set_defaults(function=command.function)
    command.options(added)
    if command.commands:
        inner = added.add_subparsers(metavar="WHAT", dest="what")
        for each, below in command.commands.items():
            _add(inner, common, each, below)


def _parse(arguments: list[str]) -> argparse.Namespace:
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")
    common.add_argument("--offline", action="store_true", help="never open a network connection")
    common.add_argument("--cache", metavar="FOLDER", help="folder for converted models and captured activations")
    common.add_argument("--runs", metavar="FOLDER", type=Path, help="folder of the runs (default: runs)")
    parser = Parser("unweave", parents=[common], description=unweave.__doc__)
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for name, command in _COMMANDS.items():
        _add(commands, common, name, command)
    defaults = argparse.Namespace(json=False, offline=False, cache=None, runs=Path("runs"))
    args = parser.parse_args(arguments, defaults)
    if args.version:
        version = unweave.__version__
        args.function = lambda _: Output({"version": version}, [f"unweave {version}"])
    elif args.command is None:
        parser.error(f"give a command: {', '.join(_COMMANDS)}")
    elif args.function is None:
        parser.error(f"what? {args.command} takes one of {', '.join(_COMMANDS[args.command].commands)}")
    if args.offline:
        set_offline()
    if args.cache is not None:
        os.environ["UNWEAVE_CACHE"] = args.cache
    return args
