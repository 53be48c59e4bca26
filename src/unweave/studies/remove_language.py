"""Can one number remove a language (or any label) from a model, and what else changes?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress, Silent
from unweave.studies.registry import study
from unweave.studies.removal_bench import WINDOW, Bench, prepare
from unweave.studies.removal_inquiry import INQUIRY
from unweave.studies.removal_needs import removal_needs

if TYPE_CHECKING:
    from unweave.edit.edits import Edit
    from unweave.edit.methods import Made
    from unweave.edit.off_target import Effect
    from unweave.models.target import Target
    from unweave.record.run import Run

QUICK_WINDOWS = 16
QUICK = ("factor", "ablation", "lora-1-here", "lora-1", "least-variance", "random-subcomponent")
RECORD = (
    "factor",
    "factor-plain",
    "ablation",
    "least-variance",
    "mean-difference",
    "random-subcomponent",
    "always-on-subcomponent",
    "lora-1-here",
    "lora-1-here-scaled",
    "lora-1-here-kl-all",
    "factors-16",
    "lora-1",
    "lora-4",
    "lora-1-here-equal-total",
)
RELATIVES = ("nl", "sv", "da", "nb", "af", "lb", "pt", "ca", "gl", "ro", "la", "pl", "tr", "zh")


@dataclass(frozen=True)
class RemoveLanguage:
    """Remove one label from a target, compare methods, and measure every other label."""

    language: str = "de"
    """The label to remove: a language, or any label of your own corpus."""
    tokens: tuple[int, ...] = (4,)
    """Budgets: tokens of the removed label in the loss."""
    seeds: int = 3
    """Seeds, each with its own training text."""
    first_seed: int = 0
    """The first of them: what confirms a finding uses seeds that nothing else has used."""
    target: str = "smollm2"
    """A name, a Hugging Face folder or id, or a GGUF file."""
    decomposition: str | None = None
    """A folder made by ``unweave decompose``; the bundled one by default."""
    corpus: str = "parallel"
    """``parallel``, ``declaration``, or a folder or .jsonl file of your own text by label."""
    also: tuple[str, ...] = ()
    """Labels of the Universal Declaration added to the contrast, for relatives that were hurt."""
    retain: str = "en"
    """The label whose predictions the objective keeps."""
    methods: tuple[str, ...] = QUICK
    """Methods to compare."""
    windows: int = QUICK_WINDOWS
    """Held-out windows of 64 tokens for each label."""
    selection_windows: int = 24
    """Selection windows of 64 tokens for each label."""
    left_out: tuple[str, ...] = RELATIVES
    """Languages of the Declaration to measure that nothing else has read; ``all`` for every one."""
    strict: bool = True
    """Also tune the factor on a window of exactly the smallest budget, if 2 to 64: tokens seen equal loss tokens."""
    persistence: bool = False
    """Also measure other contexts, relearning by fine-tuning, long text and code."""
    shuffle: bool = False
    """The null case: deal the text to labels at random, by ``first_seed``; no subcomponent must be found, and what
    needs none learns from text that means nothing."""
    setting: Literal["quick", "record"] = "quick"
    """``record`` compares every method on twice the held-out windows, with persistence and every left-out language."""
    device: str | None = None
    """cpu, cuda or mps; the best there is by default."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        if self.retain == self.language:
            raise UnweaveError(f"retain is {self.retain!r}, the label to be removed: choose another label to retain")
        if not self.tokens or min(self.tokens) < 1:
            raise UnweaveError(f"tokens is {self.tokens}, and each budget must be at least 1")
        if list(self.tokens) != sorted(set(self.tokens)):
            raise UnweaveError(f"tokens is {self.tokens}: give each budget once, the smallest first")
        for name in ("seeds", "windows", "selection_windows"):
            if getattr(self, name) < 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be at least 1")
        if self.first_seed < 0:
            raise UnweaveError(f"first_seed is {self.first_seed}, and it must be at least 0")
        if not self.methods:
            raise UnweaveError(f"methods is empty: give at least one of {', '.join(RECORD)}")
        for name in self.methods:
            if name not in RECORD:
                raise UnweaveError(f"method {name!r} is not registered; {nearest(name, RECORD)}")

    def resolved(self) -> RemoveLanguage:
        """The config with what ``setting`` stands for filled in."""
        if self.setting == "quick":
            return self
        changed: dict[str, Any] = {"persistence": True}
        if self.left_out == RELATIVES:
            changed["left_out"] = ("all",)
        if self.methods == QUICK:
            changed["methods"] = RECORD
        if self.windows == QUICK_WINDOWS:
            changed["windows"] = 2 * QUICK_WINDOWS
        return replace(self, **changed)


@dataclass(frozen=True)
class Removal:
    """The study's typed result: what was chosen, every measured cell, and where the report is."""

    label: str
    site: str
    index: int
    plain_label: str
    ceiling: float
    cells: tuple[dict[str, Any], ...]
    reference_tokens: int = 0
    """Tokens of the label's decomposition text that the stopping rule of one number refers to."""
    report: str | None = None

    def __repr__(self) -> str:
        return f"Removal({self.label} by {self.site}:{self.index}, {len(self.cells)} cells, report {self.report})"


@study(
    "remove-language",
    "Can one number remove a language, and what else changes?",
    RemoveLanguage,
    removal_needs,
    INQUIRY,
)
def remove_language(config: RemoveLanguage, run: Run | None = None, target: Target | None = None) -> Removal:
    """Selects the label's own subcomponent, tunes its factor, compares methods, and measures every other label.

    With a run, every finished cell is kept at once and a repeated call continues where it stopped; tables, figures,
    claims and the report are written at the end. Without one, the typed result is returned and nothing is written.
    ``target`` is a loaded one, a live module's for example; then ``config.target`` is only its name.
    Raises ``NothingFound`` when the chosen subcomponent does not beat what shuffled windows give, unless the text is
    shuffled and no method needs one.
    """
    from unweave.studies.removal_report import write_removal
    from unweave.studies.removal_tables import save_cells

    config = config.resolved()
    progress = run.progress if run is not None else Silent()
    if run is not None:
        run.use_seeds(*_seeds(config))
    bench = prepare(config, progress, run, target)
    cells: list[dict[str, Any]] = []

    def removal() -> Removal:
        chosen, ceiling = bench.selection, bench.setting.ceiling
        reference = bench.setting.reference_windows.size
        return Removal(config.language, chosen.site, chosen.index, bench.plain_label, ceiling, tuple(cells), reference)

    labels = [label for label in bench.yardstick.prefixes if "/" not in label]
    for name, budget, seed, strict in plan(config):
        cells.append(_cell(bench, config, run, progress, name, budget, seed, strict))
        if run is not None:
            save_cells(run, config, removal(), labels)
            run.stop_if_cancelled()
    if run is None:
        return removal()
    return replace(removal(), report=str(write_removal(run, config, bench, removal(), progress)))


def _seeds(config: RemoveLanguage) -> tuple[list[int], bool]:
    """The seeds that the methods draw with, and whether none of them draws at all: then all seeds are one."""
    from unweave.edit.methods import find_method

    drawn = {seed for name, _, seed, _ in plan(config) if find_method(name).seeded}
    return sorted(drawn) or [config.first_seed + seed for seed in range(config.seeds)], not drawn


def plan(config: RemoveLanguage) -> list[tuple[str, int, int, bool]]:
    """(method, budget, seed, strict) for every cell, the factor first, so that a killed run has what matters most."""
    from unweave.edit.methods import find_method

    cells: list[tuple[str, int, int, bool]] = []
    for budget in config.tokens:
        for name in config.methods:
            if name == "lora-1-here-equal-total" and budget != config.tokens[0]:
                continue
            method = find_method(name)
            if not method.budgeted and budget != config.tokens[0]:
                continue
            seeds = config.seeds if method.seeded else 1
            if name == "lora-1-here-equal-total":
                seeds = min(seeds, 2)  # a pass over the decomposition's text takes minutes
            # The largest budgets of a record are for the question of scale: two seeds, the factor and the LoRAs.
            if config.setting == "record" and budget > 256:
                if name not in ("factor", "lora-1-here", "lora-1", "lora-4"):
                    continue
                seeds = min(seeds, 2)
            cells += [(name, budget, config.first_seed + seed, False) for seed in range(seeds)]
        if config.strict and 2 <= min(config.tokens) == budget <= WINDOW and "factor" in config.methods:
            cells += [("factor", budget, config.first_seed + seed, True) for seed in range(config.seeds)]
    return cells


def cell_key(name: str, budget: int, seed: int, strict: bool) -> str:
    return f"{name}/{budget}/{seed}" + ("/strict" if strict else "")


def edit_path(run: Run, key: str) -> Path:
    """Where a run keeps a cell's edit."""
    return run.path / "edits" / f"{key.replace('/', '-')}.safetensors"


def _cell(
    bench: Bench,
    config: RemoveLanguage,
    run: Run | None,
    progress: Progress,
    name: str,
    budget: int,
    seed: int,
    strict: bool,
) -> dict[str, Any]:
    import time

    from unweave.edit.methods import Task, find_method
    from unweave.edit.off_target import effects
    from unweave.edit.store import save_edit

    key = cell_key(name, budget, seed, strict)
    kept = run.cells("cells") if run is not None else {}
    if key in kept:
        return _unpacked(kept[key])
    method = find_method(name)
    task = Task(
        bench.setting, bench.selection.statistics, bench.tuning, budget, seed, progress, strict, bench.decomposition
    )
    started = time.monotonic()
    made: Made = method.function(task)
    seconds = time.monotonic() - started
    measured = effects(bench.target, made.edit, bench.yardstick, local=method.local)
    row = {
        "method": name,
        "budget": budget if method.budgeted else 0,
        "seed": seed,
        "strict": strict,
        "loss_tokens": made.spent.loss,
        "seen_tokens": made.spent.seen,
        "retained_tokens": made.spent.retained,
        "seconds": round(seconds, 2),
        "detail": made.detail,
        "effects": {label: asdict(effect) for label, effect in measured.items()},
    }
    progress.say(f"{_said(row, config, bench)} in {seconds:.0f} s")
    if run is not None:
        save_edit(made.edit, edit_path(run, key))
        run.put_cell("cells", key, {**row, "detail": json.dumps(made.detail), "effects": json.dumps(row["effects"])})
    return row


def _unpacked(row: Any) -> dict[str, Any]:
    return {**row, "detail": json.loads(row["detail"]), "effects": json.loads(row["effects"])}


def _said(row: dict[str, Any], config: RemoveLanguage, bench: Bench) -> str:
    effects: dict[str, Effect] = row["effects"]
    own = effects[config.language]["edited"] / bench.setting.ceiling  # type: ignore[index]
    others = [
        f"{label} {found['change']:+.3f}"  # type: ignore[index]
        for label, found in effects.items()
        if label != config.language and "/" not in label
    ]
    what = f"{row['method']}{' (strict)' if row['strict'] else ''}, {row['budget']} tokens, seed {row['seed']}"
    factor = row["detail"].get("factor")
    return f"{what}: {config.language} {own:.2f} ln V, {', '.join(others)}" + (
        f", factor {factor:.1f}" if factor else ""
    )


def edits_of(run: Run, method: str = "factor", budget: int | None = None) -> tuple[Target, list[Edit], dict[str, int]]:
    """The target of a finished run, the edit to export (the seed of the median level), and the tokens it cost."""
    from unweave.edit.store import load_edit
    from unweave.models.load import load_target
    from unweave.studies.removal_tables import median_cell

    cells = [{**_unpacked(row), "key": key} for key, row in run.cells("cells").items()]
    fitting = [row for row in cells if row["method"] == method and not row["strict"]]
    if not fitting:
        raise UnweaveError(
            f"run {run.id!r} has no edit by {method!r}; {nearest(method, {row['method'] for row in cells})}"
        )
    if budget and budget not in {row["budget"] for row in fitting}:
        raise UnweaveError(f"run {run.id!r} has no edit by {method!r} at {budget} tokens")
    chosen = median_cell(fitting, run.config["language"], budget)
    edit = load_edit(edit_path(run, chosen["key"]))
    target = load_target(run.config["target"], device=run.config["device"], dtype=run.config["dtype"])
    row = {"method": chosen["method"], "tokens": chosen["loss_tokens"]}
    costs = run.load_table("cost").records() if "cost" in run.tables() else []
    cost = next((found for found in costs if row.items() <= found.items()), {})
    spent = {name: int(value) for name, value in cost.items() if name not in row and isinstance(value, int)}
    return target, [edit], spent
