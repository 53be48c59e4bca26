"""The commands that check and carry: the audit of runs, bundles of runs and threads, and the doctor."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import ask_in, open_lab, told
from unweave.cli.shared import Command


def _audit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_named", metavar="RUN", nargs="*", help="its id (default: every finished run)")


def _audit(args: argparse.Namespace) -> Output:
    lab = open_lab(args)
    lab.runs.sync()
    ids = args.runs_named or list(_finished(lab))
    if not ids:
        raise UnweaveError(f"there is no finished run in {args.runs}: give the id of another")
    audits = [ask_in(lab, "audit", {"run": id}) for id in ids]
    lines: list[str] = []
    for found in audits:
        held = sum(claim.verdict == "held" for claim in found.claims)
        lines.append(one_line(f"{found.run}: {found.verdict}, {held} of {len(found.claims)} claims held"))
        lines += [one_line(f"    {claim.verdict}: {claim.reason}") for claim in found.claims if claim.verdict != "held"]
        lines += [one_line(f"    {finding.where}: {finding.what}") for finding in found.findings]
    wrong = any(found.verdict != "valid" for found in audits)
    return Output({"audits": [told(found) for found in audits]}, lines, exit_code=1 if wrong else 0)


def _finished(lab: Any) -> Iterator[str]:
    after = None
    while True:
        page = lab.runs.list(limit=1000, after=after, status="finished")
        yield from (row.id for row in page.rows)
        if page.next is None:
            return
        after = page.next


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="a run or a thread; a thread takes its runs along")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the bundle to write (default: ID.zip)")


def _export(args: argparse.Namespace) -> Output:
    from unweave.lab.bundle import export_bundle

    made = export_bundle(open_lab(args), args.id, args.out)
    manifest = made.manifest
    value = {"bundle": str(made.path), "kind": manifest.kind, "id": manifest.id, "files": len(manifest.files)}
    return Output(value, [one_line(f"{made.path}: {manifest.kind} {manifest.id}, {len(manifest.files)} files")])


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a bundle")
    parser.add_argument("--largest-gb", metavar="GB", type=float, default=8.0, help="unpack so much (default: 8)")


def _import(args: argparse.Namespace) -> Output:
    from unweave.lab.bundle import import_bundle

    lab = open_lab(args, make=True)
    person = lab.people.here()
    person.must("own")
    found = import_bundle(lab, args.file, args.largest_gb)
    lab.people.record(person, "import-bundle", {"file": args.file.name, "id": found.manifest.id}, found.manifest.id)
    lab.runs.sync()
    lines = [one_line(f"{name}: new") for name in found.new] + [one_line(f"{name}: was there") for name in found.known]
    return Output({"id": found.manifest.id, "new": list(found.new), "known": list(found.known)}, lines)


def _copy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="a run or a thread; a thread takes its runs along")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the .html file, or a new folder (default: ID.html)")


def _copy(args: argparse.Namespace) -> Output:
    from unweave.lab.static_copy import static_copy

    page = static_copy(open_lab(args), args.id, args.out)
    return Output({"page": str(page)}, [one_line(str(page))])


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="put right what can be, after a backup")
    parser.add_argument(
        "--restore",
        metavar="FILE",
        type=Path,
        help="first put back this copy of the lab's database, setting its own aside",
    )


def _doctor(args: argparse.Namespace) -> Output:
    from unweave.lab.store.doctor import examine
    from unweave.lab.store.salvage import restore

    lab = open_lab(args)
    if args.repair or args.restore is not None:
        try:
            person = lab.people.here()
        except UnweaveError:
            pass  # A damaged database knows nobody: whoever may write its files may repair it.
        else:
            person.must("own")
    if args.restore is not None:
        restore(lab, args.restore)
        lab.people.record(lab.people.here(), "restore", {"file": args.restore.name})
    found = examine(lab, args.repair)
    if args.repair:
        repaired = [one.where for one in found if one.repaired]
        lab.people.record(lab.people.here(), "repair", {"repaired": repaired})
    rows = [asdict(one) for one in found]
    left = [one for one in found if not one.repaired]
    lines = []
    for one in found:
        lines.append(one_line(f"{'put right' if one.repaired else 'wrong'}: {one.where}: {one.what}"))
        lines += [] if one.repaired or not one.remedy else [one_line(f"    {one.remedy}")]
    if not found:
        lines = [f"Nothing is wrong in {args.runs}."]
    elif left and not args.repair:
        lines.append("unweave doctor --repair puts right what can be.")
    return Output({"findings": rows}, lines, exit_code=1 if left else 0)


COMMANDS = {
    "audit": Command(_audit, "recompute everything that runs claim, in a process of its own", _audit_options),
    "bundle": Command(
        None,
        "carry a run or a thread as one file, or as a page that opens without a network",
        commands={
            "export": Command(_export, "write a run, or a thread with its runs, into one file", _export_options),
            "import": Command(_import, "take a bundle into this lab, whole or not at all", _import_options),
            "copy": Command(_copy, "write one page that opens without a server", _copy_options),
        },
    ),
    "doctor": Command(_doctor, "say what is wrong in the lab's store, and put right what can be", _doctor_options),
}
