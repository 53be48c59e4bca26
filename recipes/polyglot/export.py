"""Writes the trained polyglot target as a model folder with its card, measured on text that it never saw.

python recipes/polyglot/export.py              # into src/unweave/models/bundled/polyglot
python recipes/polyglot/export.py --out X      # somewhere else, to compare
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from card import gather_facts, render
from corpus import work_folder
from train import make_model

from unweave.base.progress import Terminal

sys.path.append(str(Path(__file__).resolve().parents[1]))
from bundled_target import export, export_arguments


def main() -> None:
    arguments = export_arguments(__doc__, "polyglot", work_folder())
    facts = export("polyglot", arguments.work, arguments.out, make_model, gather_facts, render, Terminal("export"))
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    losses = {label: found["loss"] for label, found in facts["held_out"]["mark"].items()}
    print(f"wrote {arguments.out.name}, identity {facts['identity']}, held-out loss {losses}")


if __name__ == "__main__":
    main()
