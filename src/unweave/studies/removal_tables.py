"""Tables of ``remove-language``: medians over seeds, every cell, the second genre, and what it cost."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.remove_language import Bench, Removal, RemoveLanguage


def save_cells(run: Run, config: RemoveLanguage, removal: Removal, labels: list[str]) -> None:
    """Saves what the finished cells say so far, so that an interrupted run has its tables too."""
    run.save_table(seeds_table(config, removal, labels))
    run.save_table(summary_table(config, removal, labels))
    run.save_table(effects_table(config, removal, labels))


def median_cell(config: RemoveLanguage, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The cell that stands for the run: the factor (or the first method) at the first budget, its median seed."""
    name = "factor" if "factor" in config.methods else config.methods[0]
    fitting = [row for row in cells if row["method"] == name and not row["strict"]]
    smallest = min(row["budget"] for row in fitting)
    fitting = sorted(
        (row for row in fitting if row["budget"] == smallest), key=lambda row: row["effects"][config.language]["edited"]
    )
    return fitting[len(fitting) // 2]


def other_labels(labels: list[str], config: RemoveLanguage) -> list[str]:
    return [label for label in labels if label not in (config.language, config.retain)]


def _groups(removal: Removal) -> dict[tuple[str, int, bool], list[dict[str, Any]]]:
    groups: dict[tuple[str, int, bool], list[dict[str, Any]]] = {}
    for row in removal.cells:
        groups.setdefault((row["method"], row["budget"], row["strict"]), []).append(row)
    return groups


def _title(name: str, strict: bool) -> str:
    return f"{name}, strict" if strict else name


def summary_table(config: RemoveLanguage, removal: Removal, labels: list[str]) -> Table:
    from unweave.record.table import Table

    rows = []
    others = other_labels(labels, config)
    for (name, budget, strict), found in _groups(removal).items():
        levels = [row["effects"][config.language]["edited"] / removal.ceiling for row in found]
        retained = [row["effects"][config.retain]["change"] for row in found]
        worst = [max((row["effects"][label]["change"], label) for label in others) for row in found] if others else []
        rows.append(
            {
                "method": _title(name, strict),
                "tokens": budget,
                "tokens seen": found[0]["seen_tokens"],
                "level": statistics.median(levels),
                "lowest level": min(levels),
                "highest level": max(levels),
                "retained": statistics.median(retained),
                "worst retained": max(retained),
                "worst other": statistics.median([value for value, _ in worst]) if worst else None,
                "worst other, worst seed": max(worst)[0] if worst else None,
                "which": max(worst)[1] if worst else None,
                "seeds": len(found),
                "seconds": statistics.median([row["seconds"] for row in found]),
            }
        )
    return Table.from_records(
        "summary",
        rows,
        units={"level": "ln V", "retained": "nats", "worst other": "nats"},
        caption=(
            f"Held-out text, median over seeds. Level: cross-entropy on {label_name(config.language)} in units of "
            f"ln V = {removal.ceiling:.2f} nats. Retained: change on {label_name(config.retain)}. Worst other: largest "
            f"change on any other label."
        ),
        digits={
            "level": 3,
            "lowest level": 3,
            "highest level": 3,
            "retained": 3,
            "worst retained": 3,
            "worst other": 3,
            "worst other, worst seed": 3,
            "seconds": 1,
        },
    )


def effects_table(config: RemoveLanguage, removal: Removal, labels: list[str]) -> Table:
    """Change by method, budget and label: the median seed's value with its interval over windows."""
    from unweave.record.table import Table

    rows = []
    for (name, budget, strict), found in _groups(removal).items():
        for label in labels:
            ranked = sorted(found, key=lambda row, label=label: row["effects"][label]["change"])
            middle = ranked[(len(ranked) - 1) // 2]["effects"][label]
            rows.append(
                {
                    "method": _title(name, strict),
                    "tokens": budget,
                    "label": label,
                    "base": middle["base"],
                    "change": middle["change"],
                    "low": middle["low"],
                    "high": middle["high"],
                    "lowest seed": ranked[0]["effects"][label]["change"],
                    "highest seed": ranked[-1]["effects"][label]["change"],
                    "entropy": middle["entropy"],
                    "series": f"{_title(name, strict)}, {budget} tokens",
                }
            )
    return Table.from_records(
        "effects",
        rows,
        units=dict.fromkeys(("base", "change", "low", "high", "lowest seed", "highest seed", "entropy"), "nats"),
        caption="Change in cross-entropy on held-out text: median seed, 95 % interval over windows, range over seeds",
        digits=dict.fromkeys(("base", "change", "low", "high", "lowest seed", "highest seed", "entropy"), 3),
    )


def second_table(config: RemoveLanguage, removal: Removal, second: list[str]) -> Table:
    from unweave.record.table import Table

    rows = []
    for (name, budget, strict), found in _groups(removal).items():
        record: dict[str, Any] = {"method": _title(name, strict), "tokens": budget}
        for label in second:
            values = [row["effects"][label]["change"] for row in found]
            record[label.removeprefix("udhr/")] = statistics.median(values)
        rows.append(record)
    return Table.from_records(
        "second-genre",
        rows,
        caption="Change in cross-entropy on the Universal Declaration, nats per token, median over seeds",
        digits={label.removeprefix("udhr/"): 3 for label in second},
    )


def seeds_table(config: RemoveLanguage, removal: Removal, labels: list[str]) -> Table:
    from unweave.record.table import Table

    rows = []
    for row in removal.cells:
        effects = row["effects"]
        rows.append(
            {
                "method": _title(row["method"], row["strict"]),
                "tokens": row["budget"],
                "seed": row["seed"],
                "level": effects[config.language]["edited"] / removal.ceiling,
                **{f"change {label}": effects[label]["change"] for label in labels if label != config.language},
                "factor": row["detail"].get("factor"),
                "stopped": row["detail"].get("stopped"),
                "seconds": row["seconds"],
            }
        )
    return Table.from_records(
        "seeds",
        rows,
        units={"level": "ln V"},
        caption="Every cell: one method, budget and seed",
        digits={"level": 3, **{f"change {label}": 3 for label in labels if label != config.language}},
    )


def cost_table(config: RemoveLanguage, bench: Bench, removal: Removal) -> Table:
    from unweave.record.table import Table

    needs_decomposition = ("factor", "factors-16", "ablation", "random-subcomponent", "always-on-subcomponent")
    needs_selection = (*needs_decomposition, "mean-difference", "least-variance", "lora-1-here-kl-all")
    tuned = ("factor", "factors-16", "mean-difference", "least-variance")
    rows = []
    for (name, budget, strict), found in _groups(removal).items():
        rows.append(
            {
                "method": _title(name, strict),
                "tokens": budget,
                "loss": found[0]["loss_tokens"],
                "seen": found[0]["seen_tokens"],
                "retained": found[0]["retained_tokens"],
                "selection": bench.spent["selection"] if name in needs_selection else 0,
                "labels": bench.spent["labels"] if name in needs_decomposition else 0,
                "decomposition": bench.spent["decomposition"] if name in needs_decomposition else 0,
                "tuning on another label": bench.spent["tuning"] if name in tuned or name.startswith("lora") else 0,
            }
        )
    return Table.from_records("cost", rows, caption="Tokens spent, by purpose; labels are read off the selection text")


def label_name(label: str) -> str:
    from unweave.base.errors import UnweaveError
    from unweave.corpora.bundled import language_name

    try:
        return language_name(label)
    except (UnweaveError, KeyError):
        return label
