"""Tables of ``remove-language``: medians over seeds, every cell, the second genre, and what it cost."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.removal_bench import Bench
    from unweave.studies.remove_language import Removal, RemoveLanguage


def save_cells(run: Run, config: RemoveLanguage, removal: Removal, labels: list[str]) -> None:
    """Saves what the finished cells say so far, so that an interrupted run has its tables too."""
    run.save_table(seeds_table(config, removal, labels))
    run.save_table(summary_table(config, removal, labels))
    run.save_table(effects_table(removal, labels))


def by_effect(rows: list[dict[str, Any]], label: str, what: str) -> list[dict[str, Any]]:
    """Cells by rising ``change`` or ``edited`` of a label."""
    return sorted(rows, key=lambda row: row["effects"][label][what])


def median_row(ranked: list[dict[str, Any]]) -> dict[str, Any]:
    """The cell in the middle; of an even number the higher of the two."""
    return ranked[len(ranked) // 2]


def median_cell(rows: list[dict[str, Any]], language: str, budget: int | None = None) -> dict[str, Any]:
    """The cell that stands for a method: at the smallest budget, or the one given, the seed of the median level."""
    wanted = budget or min(row["budget"] for row in rows)
    return median_row(by_effect([row for row in rows if row["budget"] == wanted], language, "edited"))


def other_labels(labels: list[str], config: RemoveLanguage) -> list[str]:
    return [label for label in labels if label not in (config.language, config.retain)]


def _few(removal: Removal) -> str:
    fewest = min((len({row["seed"] for row in found}) for found in _groups(removal).values()), default=0)
    return "" if fewest > 2 else " Rows of fewer than three seeds show what happened, not which method is better."


def _groups(removal: Removal) -> dict[tuple[str, int, bool], list[dict[str, Any]]]:
    groups: dict[tuple[str, int, bool], list[dict[str, Any]]] = {}
    for row in removal.cells:
        # One pass over the decomposition's text costs more than the budget that it stands beside.
        groups.setdefault((row["method"], row["loss_tokens"], row["strict"]), []).append(row)
    return groups


def _title(name: str, strict: bool) -> str:
    return f"{name}, strict" if strict else name


def _reference(removal: Removal, name: str) -> int:
    from unweave.edit.methods import find_method

    return removal.reference_tokens if "reference" in find_method(name).reads else 0


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
                "reference": _reference(removal, name),
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
            f"change on any other label. Reference: further tokens of the removed label, from the decomposition part, "
            f"on which the base model alone was run for the stopping rule.{_few(removal)}"
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


def effects_table(
    removal: Removal, labels: list[str], name: str = "effects", text: str = "held-out text", prefix: str = ""
) -> Table:
    """Change by method, budget and label: the median seed's value with its interval over windows."""
    from unweave.record.table import Table

    rows = []
    for (method, budget, strict), found in _groups(removal).items():
        for label in labels:
            ranked = by_effect(found, label, "change")
            middle = median_row(ranked)["effects"][label]
            rows.append(
                {
                    "method": _title(method, strict),
                    "tokens": budget,
                    "tokens seen": found[0]["seen_tokens"],
                    "label": label.removeprefix(prefix),
                    "base": middle["base"],
                    "change": middle["change"],
                    "low": middle["low"],
                    "high": middle["high"],
                    "lowest seed": ranked[0]["effects"][label]["change"],
                    "highest seed": ranked[-1]["effects"][label]["change"],
                    "entropy": middle["entropy"],
                    "series": f"{_title(method, strict)}, {budget} tokens",
                }
            )
    return Table.from_records(
        name,
        rows,
        units=dict.fromkeys(("base", "change", "low", "high", "lowest seed", "highest seed", "entropy"), "nats"),
        caption=f"Change in cross-entropy on {text}: median seed, 95 % interval over windows, range over seeds",
        digits=dict.fromkeys(("base", "change", "low", "high", "lowest seed", "highest seed", "entropy"), 3),
    )


def seeds_table(config: RemoveLanguage, removal: Removal, labels: list[str]) -> Table:
    from unweave.record.table import Table

    rows = []
    others = other_labels(labels, config)
    for row in removal.cells:
        effects = row["effects"]
        rows.append(
            {
                "method": _title(row["method"], row["strict"]),
                "tokens": row["loss_tokens"],
                "tokens seen": row["seen_tokens"],
                "seed": row["seed"],
                "level": effects[config.language]["edited"] / removal.ceiling,
                "retained": effects[config.retain]["change"],
                "worst other": max((effects[label]["change"] for label in others), default=None),
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
        digits={
            "level": 3,
            "retained": 3,
            "worst other": 3,
            **{f"change {label}": 3 for label in labels if label != config.language},
        },
    )


def cost_table(config: RemoveLanguage, bench: Bench, removal: Removal) -> Table:
    from unweave.edit.methods import find_method
    from unweave.record.table import Table

    rows = []
    several = len(bench.decomposition.sites) > 1
    for (name, budget, strict), found in _groups(removal).items():
        method = find_method(name)
        # What edits the chosen matrix rests on its choice, and among several that was made with the selection text.
        reads = method.reads | ({"selection"} if several and method.local else set())
        spent = {purpose: count if purpose in reads else 0 for purpose, count in bench.spent.items()}
        rows.append(
            {
                "method": _title(name, strict),
                "tokens": budget,
                "loss": found[0]["loss_tokens"],
                "seen": found[0]["seen_tokens"],
                "retained": found[0]["retained_tokens"],
                "reference": _reference(removal, name),
                "selection": spent["selection"],
                "labels": spent["labels"],
                "decomposition": spent["decomposition"],
                "tuning on another label": spent["tuning"],
            }
        )
    return Table.from_records(
        "cost",
        rows,
        caption=(
            "Tokens spent, by purpose; labels are read off the selection text. Reference: text of the removed label "
            "from the decomposition part on which the base model alone was run, for the stopping rule of one number. "
            "Which tokens of a window are in the loss was decided with the chosen piece for every method; that use of "
            "it is charged to none."
            + (" Every method in the chosen matrix is charged the selection text that chose it." if several else "")
        ),
    )


def label_name(label: str) -> str:
    from unweave.base.errors import UnweaveError
    from unweave.corpora.bundled import language_name

    try:
        return language_name(label)
    except (UnweaveError, KeyError):
        return label
