"""``python -m unweave.lab.audit RUNFOLDER [--root ROOT] [--json]``: audits a run; exit code 1 where it is invalid."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from unweave.base.errors import UnweaveError
from unweave.base.secrets import scrubbed
from unweave.lab.audit.auditor import audit_folder
from unweave.lab.audit.compared import load_statistics
from unweave.lab.audit.confine import confine
from unweave.lab.audit.finding import Audit, Ledger


def main(arguments: list[str] | None = None) -> int:
    """Audits the folders of the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m unweave.lab.audit", description="Recompute what runs claim.")
    parser.add_argument("folder", metavar="RUNFOLDER", nargs="+", type=Path, help="folder of a run")
    parser.add_argument("--root", type=Path, help="folder of the runs that it cites (default: the one it lies in)")
    parser.add_argument("--seal", metavar="DIGEST", help="digest of the run's seal when it was first seen")
    parser.add_argument("--ledger", action="store_true", help="read what the lab keeps of its runs from standard input")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    if given.seal and len(given.folder) > 1:
        parser.error("--seal is of one run: give one folder")
    told = json.load(sys.stdin) if given.ledger else {}
    # What was queued differs from run to run, so that of several folders each has a ledger of its own.
    ledgers = [Ledger(**one) for one in (told if isinstance(told, list) else [told] * len(given.folder))]
    if given.seal:
        seals = {**ledgers[0].seals, given.folder[0].resolve().name: given.seal}
        ledgers = [Ledger(seals, ledgers[0].invalid, ledgers[0].submitted)]
    # Python opens nothing for writing of its own accord after this: -B, or no cache of byte code.
    sys.dont_write_bytecode = True
    load_statistics(given.folder)
    confine()
    audits = [audit_folder(folder, given.root, ledger) for folder, ledger in zip(given.folder, ledgers, strict=True)]
    if given.json:
        values = [audit.to_json() for audit in audits]
        text = json.dumps(values[0] if len(values) == 1 else values, ensure_ascii=False, indent=1)
    else:
        text = "\n\n".join(map(_told, audits))
    print(scrubbed(text))
    return 1 if any(audit.verdict != "valid" for audit in audits) else 0


def _told(audit: Audit) -> str:
    lines = [f"{audit.run}: {audit.verdict}"]
    lines += [f"  {one.verdict}: {one.claim.sentence} ({one.reason})" for one in audit.claims]
    lines += [
        f"  {'!' if finding.grave else 'note:'} {finding.kind}: {finding}"
        for finding in audit.findings
        if finding.kind != "claim"
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UnweaveError as error:
        sys.exit(f"unweave audit: {error}")
