"""Writes the tables of ``remove-language`` and ``scan`` runs to docs/results, with date, commit and machine.

python recipes/smollm2/results.py runs/de runs/fr ...
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from unweave.base.configs import plain_config
from unweave.corpora.bundled import parallel
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.record.run import Run
from unweave.studies.remove_language import RemoveLanguage

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
SITES = 20
SHOWN = (
    "trials",
    "scan",
    "summary",
    "effects",
    "second-genre",
    "contexts",
    "relearning",
    "cost",
    "related",
    "left-out-top",
    "left-out",
    "seeds",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    written = []
    RESULTS.mkdir(parents=True, exist_ok=True)
    for path in arguments.runs:
        run = Run.open(path)
        state = run.state()
        made = state["environment"]
        name, title, command, made_of = _scan_facts(run.config) if run.study == "scan" else _removal_facts(run.config)
        lines = [
            f"# {title}",
            "",
            f"{state['created'][:10]}, commit {', '.join(_commits(state))}, {made['platform'].split('-')[0]}, "
            f"{made['cpus']} cores; run {run.status}.",
            "",
            f"`{command}`",
            "",
            *made_of,
        ]
        if run.status != "finished":
            lines += ["**Partial**: the run was stopped before all cells were measured. What is here was measured.", ""]
        for table_name in SHOWN:
            if table_name in run.tables():
                table = run.load_table(table_name)
                if table_name == "scan":
                    table = replace(
                        table, rows=table.rows[:SITES], caption=f"The first {SITES} of {len(table.rows)} sites"
                    )
                lines += [f"## {table_name}", "", table.to_markdown(), ""]
        for figure in run.figures():
            lines += [f"![{figure}]({name}-{figure}.svg)", ""]
            drawn = (run.path / "figures" / f"{figure}.svg").read_text(encoding="utf-8")
            (RESULTS / f"{name}-{figure}.svg").write_text(drawn, encoding="utf-8")
        (RESULTS / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
        written.append(name)
    if arguments.json:
        json.dump({"written": written}, sys.stdout)
    else:
        print("\n".join(written))


def _scan_facts(config: dict[str, Any]) -> tuple[str, str, str, list[str]]:
    label = config["contrast"].rpartition("=")[2]
    command = f"unweave scan {config['target']} --contrast {config['contrast']} --try {config['try']}"
    return f"scan-{label}-{config['target']}", f"scan: {label} in {config['target']}", command, []


def _removal_facts(config: dict[str, Any]) -> tuple[str, str, str, list[str]]:
    name = f"remove-{config['language']}-{config['target']}" + ("-and-".join(["", *config["also"]]))
    title = f"remove-language: {config['language']} from {config['target']}"
    return name, title, f"unweave run remove-language {_settings(config)}", _decomposition_lines(config)


def _decomposition_lines(config: dict[str, object]) -> list[str]:
    """What the run's decomposition is of, and how it did at the logits; nothing when its folder is gone."""
    named = config.get("decomposition")
    folder = Path(str(named)) if named else bundled(str(config["target"]))
    if not folder.is_dir():
        return []
    lines = []
    card = Decomposition.load(folder).card
    also = "".join(f" --also {label}" for label in card["labels"] if label not in parallel().labels())
    for name, entry in card["sites"].items():
        made = f"unweave decompose {config['target']} --sites {name}{also} --out {folder.name}"
        lines.append(f"`{made if named else 'recipes/smollm2/decompose.py'}` ({name})")
        if "quality" in entry:
            found = entry["quality"]
            kinds = ("importance", "stochastic", "adversarial")
            shown = ["/".join(f"{found[who][kind]:.3f}" for kind in kinds) for who in ("ours", "svd", "random")]
            lines.append(
                f"took {entry['training_seconds']:.0f} s of training: L0 {found['l0']:.1f}, KL at the logits under "
                f"{'/'.join(kinds)} masks {shown[0]} nats, an SVD's {shown[1]}, random masks' {shown[2]}."
            )
    return [*lines, ""]


def _commits(state: dict[str, Any]) -> list[str]:
    """The commit of the start and of every resumption; a changed tree is told."""
    made = [state["environment"], *(one["environment"] for one in state["resumed"])]
    return list(dict.fromkeys(f"{str(one['commit'])[:7]}{' with changes' if one['modified'] else ''}" for one in made))


def _settings(config: dict[str, Any]) -> str:
    usual = plain_config(RemoveLanguage())
    values = {name: value for name, value in config.items() if name == "language" or value != usual[name]}
    # The path of a decomposition is the machine's own.
    if "decomposition" in values:
        values["decomposition"] = Path(str(values["decomposition"])).name
    return " ".join(
        f"--set {name}={','.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in values.items()
    )


if __name__ == "__main__":
    main()
