"""Writes the trained pupil as a model folder with its card, measured on conversations that it never saw.

python recipes/pupil/export.py              # into src/unweave/models/bundled/pupil
python recipes/pupil/export.py --out X      # somewhere else, to compare
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
    arguments = export_arguments(__doc__, "pupil", work_folder())
    facts = export("pupil", arguments.work, arguments.out, make_model, gather_facts, render, Terminal("export"))
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    losses = {part: found["loss"] for part, found in facts["unseen"].items()}
    print(f"wrote {arguments.out.name}, identity {facts['identity']}, loss on unseen conversations {losses}")


if __name__ == "__main__":
    main()
