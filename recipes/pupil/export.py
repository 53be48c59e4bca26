"""Writes the trained pupil as a model folder with its card, measured on conversations that it never saw.

python recipes/pupil/export.py              # into src/unweave/models/bundled/pupil
python recipes/pupil/export.py --out X      # somewhere else, to compare
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from card import gather_facts, render
from corpus import work_folder
from safetensors.torch import load_file
from train import checkpoint_facts, checkpoint_path, make_model

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_folder, read_json, save_tensors, write_json
from unweave.base.progress import Terminal
from unweave.models.load import load_target

BUNDLED = Path(__file__).resolve().parents[2] / "src" / "unweave" / "models" / "bundled" / "pupil"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder for text, tokens and checkpoint")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    facts = export(arguments.work, arguments.out, Terminal("export"))
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    losses = {part: found["loss"] for part, found in facts["unseen"].items()}
    print(f"wrote {arguments.out.name}, identity {facts['identity']}, loss on unseen conversations {losses}")


def export(work: Path, out: Path, progress: Terminal) -> dict[str, Any]:
    checkpoint = checkpoint_path(work)
    trained = checkpoint_facts(checkpoint)
    if trained["step"] < trained["settings"]["steps"]:
        raise UnweaveError(f"{checkpoint} stands at step {trained['step']}: run train.py to its end first")
    with atomic_folder(out, replace=True) as folder:
        write_model(checkpoint, trained["settings"]["seed"], folder)
        shutil.copytree(work / "tokenizer", folder, dirs_exist_ok=True)
        facts = gather_facts(load_target(folder, device="cpu", progress=progress), work, trained, progress)
        write_json(folder / "pupil.json", facts)
        (folder / "README.md").write_text(render(facts, read_json(folder / "config.json")), encoding="utf-8")
    return facts


def write_model(checkpoint: Path, seed: int, folder: Path) -> None:
    """Configs, and the weights rounded to float16.

    The config says float32, so that the rounded weights are computed with in full precision wherever they are loaded.
    """
    model = make_model(seed)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = load_file(checkpoint)
    weights = {name: tensors[f"weight.{name}"].half() for name, _ in model.named_parameters()}
    # transformers refuses a file that does not say which framework wrote it.
    save_tensors(weights, folder / "model.safetensors", {"format": "pt"})


if __name__ == "__main__":
    main()
