"""What the lab's commands share: opening the lab, asking an operation, and showing an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unweave.base.errors import UnweaveError, nearest
from unweave.base.terminal import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel

    from unweave.lab.lab import Lab
    from unweave.studies.registry import Study

PARTS = ("screen", "confirm", "null", "control", "baseline", "replication")

Model = TypeVar("Model", bound="BaseModel")


def open_lab(args: argparse.Namespace, make: bool = False) -> Lab:
    """The lab of ``--runs``. Who only looks makes no folders: ``UnweaveError`` where there is none."""
    from unweave.lab.lab import Lab

    if not make and not is_lab(args.runs):
        raise UnweaveError(
            f"there is no lab in {args.runs}: start a run with `unweave run STUDY`, or give --runs FOLDER"
        )
    return Lab(args.runs)


def is_lab(folder: Path) -> bool:
    """Whether ``folder`` is a lab, or holds runs that a lab would be of."""
    return (folder / ".lab").is_dir() or any(folder.glob("*/run.json"))


def ask(args: argparse.Namespace, name: str, fields: Mapping[str, Any], make: bool = False) -> Any:
    """The answer of an operation to a request of ``fields``, asked by the person at this machine."""
    lab = open_lab(args, make)
    return ask_in(lab, name, fields)


def ask_in(lab: Lab, name: str, fields: Mapping[str, Any]) -> Any:
    """The same in a lab that is open already."""
    from unweave.lab.operations.registry import all_operations, perform

    request = checked_request(all_operations()[name].request, fields)
    return perform(lab, lab.people.here(), name, request)


def checked_request(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """A request of ``fields``, or ``UnweaveError`` that names the first that does not fit."""
    from pydantic import ValidationError

    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise UnweaveError(f"{where} is {fault['input']!r}: {fault['msg'][:1].lower()}{fault['msg'][1:]}") from error


def chosen_study(args: argparse.Namespace) -> tuple[Study, Path | None]:
    """The study that was named, and the file that it comes from, where it was given as one."""
    from unweave.studies.discover import load_source
    from unweave.studies.registry import all_studies, find_study

    if args.study is None:
        raise UnweaveError(f"which study? {nearest('', all_studies())}")
    if not args.study.endswith(".py"):
        if args.which:
            raise UnweaveError(f"--study {args.which!r} is for a file that registers several studies")
        return find_study(args.study), None
    source = Path(args.study)
    found = load_source(source)
    return found[one_of(source, found, args.which)], source


def one_of(source: Path, names: Iterable[str], which: str | None) -> str:
    """The name ``which`` among the studies that a file registers; the only one, where none is named."""
    names = list(names)
    if not names:
        raise UnweaveError(f"{source.name} registers no study: decorate a function with @study(name, question, Config)")
    if which is None and len(names) > 1:
        raise UnweaveError(f"{source.name} registers several studies: choose one with --study; {nearest('', names)}")
    if which is not None and which not in names:
        raise UnweaveError(f"{source.name} registers no study {which!r}; {nearest(which, names)}")
    return which or names[0]


def told(answer: BaseModel) -> dict[str, Any]:
    """An answer as JSON values; a number that is not finite is null."""
    return json.loads(answer.model_dump_json())


def columns(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Rows as text in columns; a number is aligned to the right, what is missing is empty."""
    listed = [{name: row.get(name) for name in names} for row in rows]
    cells = [list(names)] + [[_cell(row[name]) for name in names] for row in listed]
    numeric = [bool(listed) and all(row[name] is None or _is_number(row[name]) for row in listed) for name in names]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [f"{'>' if right else '<'}{width}" for width, right in zip(widths, numeric, strict=True)]
    return ["  ".join(format(cell, side) for cell, side in zip(row, sides, strict=True)).rstrip() for row in cells]


def indented(text: str, by: str = "    ") -> list[str]:
    """The lines of a text, moved to the right, so that it cannot pass for what the command itself says."""
    return [f"{by}{one_line(line)}" for line in text.splitlines()]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
