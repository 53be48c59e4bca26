"""Ways to remove a label, each one function from a setting, a budget and a seed to an edit; registered in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator
from unweave.decompose.decomposition import Decomposition, Subcomponent
from unweave.edit.adapters import train_factors, train_lora, train_lora_stream
from unweave.edit.closed_form import least_variance, mean_difference
from unweave.edit.edits import Edit, FactorEdit
from unweave.edit.line_search import tune_factor, tune_on_loss_alone
from unweave.edit.objective import Objective
from unweave.edit.setting import Setting
from unweave.edit.tuned import Tuning
from unweave.read.selection import Statistics, most_related

if TYPE_CHECKING:
    from unweave.edit.edits import AdapterEdit


@dataclass(frozen=True)
class Spent:
    """Tokens that one edit cost beyond the decomposition and the selection, which are counted by the study."""

    loss: int
    seen: int
    retained: int


@dataclass(frozen=True)
class Made:
    """An edit, what it cost, and what a reader of the table wants to know about how it was found."""

    edit: Edit
    spent: Spent
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One call of a method: its setting, budget, seed, tuned settings, and the statistics behind the selection."""

    setting: Setting
    statistics: Statistics
    tuning: Tuning
    budget: int
    seed: int
    progress: Progress = field(default_factory=Silent)
    strict: bool = False
    decomposition: Decomposition | None = None

    def objective(self, **options: Any) -> Objective:
        return self.setting.objective(self.budget, self.seed, strict=self.strict, **options)


@dataclass(frozen=True)
class Method:
    """A registered method. ``budgeted`` is False for those that spend no loss tokens."""

    name: str
    description: str
    function: Callable[[Task], Made]
    budgeted: bool = True
    seeded: bool = True
    local: bool = True
    """True when only the decomposed site is edited, so that everything before it is computed once."""
    reads: frozenset[str] = frozenset()
    """What it rests on besides its loss and retained text, each with tokens of its own: ``decomposition``,
    ``selection``, ``reference`` (the stopping rule's), ``tuning`` (settings found on another label)."""


METHODS: dict[str, Method] = {}
PIECES = ("decomposition", "selection")


def method(
    name: str,
    description: str,
    *,
    budgeted: bool = True,
    seeded: bool = True,
    local: bool = True,
    reads: Sequence[str] = (),
) -> Callable[[Callable[[Task], Made]], Callable[[Task], Made]]:
    """Registers a method under the name that tables and the command line use."""

    def register(function: Callable[[Task], Made]) -> Callable[[Task], Made]:
        METHODS[name] = Method(name, description, function, budgeted, seeded, local, frozenset(reads))
        return function

    return register


def find_method(name: str) -> Method:
    if name not in METHODS:
        raise UnweaveError(f"method {name!r} is not registered; {nearest(name, METHODS)}")
    return METHODS[name]


@method("factor", "one factor on the chosen subcomponent", reads=(*PIECES, "reference"))
def _factor(task: Task) -> Made:
    return _one_number(task, task.setting.piece())


@method("factor-plain", "one factor, stopped where its loss tokens alone reach ln V: no reference text", reads=PIECES)
def _factor_plain(task: Task) -> Made:
    return _one_number(task, task.setting.piece(), plain=True)


@method("factors-16", "a factor on each of the 16 subcomponents most related to the label", reads=(*PIECES, "tuning"))
def _factors_16(task: Task) -> Made:
    setting, objective = task.setting, task.objective()
    indices = most_related(task.statistics, setting.label, setting.retain, 16)
    trained = train_factors(
        setting.target,
        objective,
        [setting.pieces[index] for index in indices],
        task.tuning.descent("factors-16", task.budget),
        name="factors-16",
        seed=task.seed,
        progress=task.progress,
    )
    return Made(trained.edit, _spent(objective), {"objective": trained.losses[-1]})


@method("lora-1-here", "LoRA of rank 1 in the same matrix", reads=("tuning",))
def _lora_1_here(task: Task) -> Made:
    return _lora(task, "lora-1-here", rank=1, everywhere=False)


@method("lora-1", "LoRA of rank 1 in every matrix", local=False, reads=("tuning",))
def _lora_1(task: Task) -> Made:
    return _lora(task, "lora-1", rank=1, everywhere=True)


@method("lora-4", "LoRA of rank 4 in every matrix", local=False, reads=("tuning",))
def _lora_4(task: Task) -> Made:
    return _lora(task, "lora-4", rank=4, everywhere=True)


@method(
    "lora-1-here-kl-all",
    "LoRA of rank 1 in the same matrix, with KL on every other language's selection text",
    reads=("selection", "tuning"),
)
def _lora_kl_all(task: Task) -> Made:
    others = tuple(label for label in task.setting.selection if label != task.setting.label)
    return _lora(task, "lora-1-here-kl-all", rank=1, everywhere=False, retained=others)


@method(
    "lora-1-here-scaled",
    "the same LoRA's direction, its strength by the factor's search and stopping rule",
    reads=("reference", "tuning"),
)
def _lora_scaled(task: Task) -> Made:
    trained = _lora(task, "lora-1-here", rank=1, everywhere=False)
    ((site, (A, B)),) = cast("AdapterEdit", trained.edit).matrices.items()
    found = _one_number(task, Subcomponent(site, -1, -B[:, 0], A[0]))
    return Made(found.edit, found.spent, {**trained.detail, **found.detail})


@method(
    "lora-1-here-equal-total",
    "LoRA of rank 1 in the same matrix, one pass over as much text as the factor cost",
    reads=("tuning",),
)
def _lora_equal_total(task: Task) -> Made:
    """As many windows of every label as decomposition and selection read of it: one raised, the others kept by KL."""
    setting = task.setting
    read = task.decomposition.card.get("windows", {}) if task.decomposition else {}
    counts = {label: int(read.get(label, 0)) + len(found) for label, found in setting.selection.items()}
    removed, retained = setting.streamed_texts(counts, task.seed)
    descent = task.tuning.descent("lora-1-here", 64)
    trained = train_lora_stream(
        setting.target,
        removed,
        retained,
        setting.ceiling,
        [setting.site],
        1,
        descent,
        name="lora-1-here-equal-total",
        seed=task.seed,
        progress=task.progress,
    )
    spent = Spent(removed[:, 1:].numel(), removed.numel(), retained.numel())
    return Made(trained.edit, spent, {"objective": trained.losses[-1]})


@method("ablation", "the chosen subcomponent removed (factor 0)", budgeted=False, seeded=False, reads=PIECES)
def _ablation(task: Task) -> Made:
    edit = FactorEdit.on_pieces([(task.setting.piece(), 0.0)], task.setting.target.identity.digest, "ablation")
    return Made(edit, Spent(0, 0, 0), {"factor": 0.0})


@method("mean-difference", "rank-one edit along the difference of mean inputs", reads=("selection", "reference"))
def _mean_difference(task: Task) -> Made:
    setting = task.setting
    weight = setting.target.weight(setting.site)
    return _one_number(task, mean_difference(setting.site.name, weight, setting.inputs, setting.label))


@method(
    "least-variance",
    "rank-one edit that is silent on the other labels' means and least variable otherwise",
    reads=("selection", "reference"),
)
def _least_variance(task: Task) -> Made:
    setting = task.setting
    weight = setting.target.weight(setting.site)
    return _one_number(task, least_variance(setting.site.name, weight, setting.inputs, setting.label))


@method(
    "random-subcomponent",
    "one factor on a subcomponent drawn at random among the living ones",
    reads=(*PIECES, "reference"),
)
def _random_subcomponent(task: Task) -> Made:
    alive = torch.nonzero(task.statistics.importance.max(0).values > 0.01).flatten().tolist()
    others = [index for index in alive if index != task.setting.chosen]
    index = int(numpy_generator(task.seed, "random subcomponent").choice(others))
    return _one_number(task, task.setting.piece(index))


@method(
    "always-on-subcomponent",
    "one factor on the subcomponent that every label needs most",
    reads=(*PIECES, "reference"),
)
def _always_on(task: Task) -> Made:
    return _one_number(task, task.setting.piece(int(task.statistics.importance.min(0).values.argmax())))


def _one_number(task: Task, piece: Subcomponent, plain: bool = False) -> Made:
    setting, objective = task.setting, task.objective()
    start = FactorEdit.on_pieces([(piece, 1.0)], setting.target.identity.digest)
    if plain:
        tuned = tune_on_loss_alone(setting.target, start, objective)
    else:
        tuned = tune_factor(setting.target, start, objective, setting.reference(piece))
    edit = FactorEdit.on_pieces([(piece, tuned.factor)], setting.target.identity.digest)
    detail = {
        "factor": tuned.factor,
        "stopped": tuned.stopped,
        "subcomponent": piece.index,
        "forwards": len(tuned.path),
    }
    return Made(edit, _spent(objective), detail)


def _lora(task: Task, name: str, *, rank: int, everywhere: bool, retained: tuple[str, ...] = ()) -> Made:
    setting = task.setting
    objective = task.objective(whole=everywhere, retained=retained)
    trained = train_lora(
        setting.target,
        objective,
        setting.target.sites() if everywhere else [setting.site],
        rank,
        task.tuning.descent(name, task.budget),
        name=name,
        seed=task.seed,
        progress=task.progress,
    )
    return Made(trained.edit, _spent(objective), {"objective": trained.losses[-1]})


def _spent(objective: Objective) -> Spent:
    return Spent(objective.removed.tokens, objective.removed.tokens_seen, objective.retained.tokens_seen)
