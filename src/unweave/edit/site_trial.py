"""Which site to take apart, or which piece to edit: an edit tried at each, on text that is not the evaluation's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.corpora.text import Corpus
from unweave.corpora.windows import windows_by_label
from unweave.decompose.decomposition import Decomposition, Subcomponent
from unweave.edit.closed_form import least_variance
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.line_search import Probe, search
from unweave.edit.measure import make_yardstick, uniform_cross_entropy
from unweave.edit.off_target import effects
from unweave.models.capture import inputs_by_label
from unweave.models.sites import Site
from unweave.models.target import Target
from unweave.read.selection import Selection, Statistics, candidates, select
from unweave.record.table import Table

OF_EACH_SITE = 3
"""Subcomponents of a site that are tried, the most selective first."""
MARGIN = 1.05
"""A candidate is tried at so many ln V. A stopping rule that reads four tokens ends some hundredths of ln V too high or
too low; where a piece's effect has nearly reached its limit, those hundredths are a much larger factor and its harm."""


@dataclass(frozen=True)
class SiteTrial:
    """What an edit at one site does once it has brought the label to the wanted level.

    ``level`` in units of ln V; ``changes`` in nats per token by label, the removed one left out; ``index`` of the
    subcomponent that was turned, -1 for a direction that is none.
    """

    site: Site
    strength: float
    level: float
    reached: bool
    changes: dict[str, float]
    index: int = -1

    @property
    def worst(self) -> float:
        return max(self.changes.values())


def try_sites(
    target: Target,
    corpus: Corpus,
    label: str,
    sites: Sequence[Site],
    *,
    windows: int = 16,
    length: int = 64,
    progress: Progress | None = None,
) -> list[SiteTrial]:
    """Removes ``label`` at each site in closed form and measures every other label, best site first.

    A scan says how far apart a site's outputs stand; whether one direction there can be turned without touching the
    other labels is another question, and the same rank does not answer it. The direction is read from the selection
    part; the level (ln V) and the changes are measured on the tuning part, so the evaluation part stays unread.
    """
    progress = progress or Silent()
    if not sites:
        return []
    labels = [name for name in corpus.labels("selection") if name in corpus.labels("tuning")]
    if label not in labels or len(labels) < 2:
        raise UnweaveError(f"{label!r} and another label need text in the tuning part, where trials are measured")
    read = windows_by_label(target.tokenizer, corpus, "selection", labels, length, at_most=3 * windows // 2)
    drawn = windows_by_label(target.tokenizer, corpus, "tuning", labels, length, at_most=windows)
    held_out = {name: torch.as_tensor(part) for name, part in drawn.items()}
    found = []
    for done, site in enumerate(sites):
        progress.update(done, len(sites), f"trying {site.name}")
        found.append(_try(target, site, label, read, held_out))
    progress.update(len(sites), len(sites), "sites tried")
    return ranked(found)


def ranked(trials: Sequence[SiteTrial]) -> list[SiteTrial]:
    """Those that reached the level first, by the worst change on another label; then the others by how far they got."""
    return sorted(trials, key=lambda trial: (not trial.reached, trial.worst if trial.reached else -trial.level))


def _try(
    target: Target, site: Site, label: str, read: dict[str, np.ndarray], held_out: dict[str, torch.Tensor]
) -> SiteTrial:
    piece = least_variance(site.name, target.weight(site), inputs_by_label(target, site, read), label)
    return try_piece(target, piece, label, held_out)


def try_piece(
    target: Target, piece: Subcomponent, label: str, held_out: Mapping[str, torch.Tensor], wanted: float = 1.0
) -> SiteTrial:
    """Turns a piece down until the label's realised cross-entropy is ``wanted`` ln V, and measures the other labels."""
    edit, site = FactorEdit.on_pieces([(piece, 1.0)], target.identity.digest), target.site(piece.site)
    yardstick = make_yardstick(target, held_out, site.layer)
    ceiling = uniform_cross_entropy(target)

    def realised(strength: float) -> Probe:
        with applied(target, edit.with_factor(1.0 + strength)):
            return Probe(strength, yardstick.measure(target, [label])[label].mean()[0], 0.0)

    tuned = search(realised, wanted * ceiling)
    measured = effects(target, edit.with_factor(tuned.factor), yardstick, local=True)
    changes = {name: effect.change for name, effect in measured.items() if name != label}
    level = measured[label].edited / ceiling
    return SiteTrial(site, tuned.strength, level, tuned.stopped == "reached", changes, piece.index)


def choose_piece(
    target: Target,
    decomposition: Decomposition,
    statistics: Sequence[Statistics],
    label: str,
    windows: Mapping[str, np.ndarray],
    progress: Progress | None = None,
) -> tuple[Selection, list[SiteTrial]]:
    """The subcomponent that is about a label; where several sites have some, the least harmful, with the trials.

    ``windows`` are those that the statistics were read from. Without anything that beats the control, or with one site
    alone, it is the most selective one and nothing is tried.
    """
    selection = select(statistics, label)
    able = candidates(statistics, selection, OF_EACH_SITE)
    if len({one.site for one in able}) < 2:
        return selection, []
    return least_harm(target, decomposition, able, windows, progress)


def least_harm(
    target: Target,
    decomposition: Decomposition,
    candidates: Sequence[Selection],
    windows: Mapping[str, np.ndarray],
    progress: Progress | None = None,
) -> tuple[Selection, list[SiteTrial]]:
    """Of candidates at several sites, the one that takes its label away with the least harm to the others.

    All of them are about the label and no other; what turning them does further on in the model is another question.
    They are tried a little past ln V (``MARGIN``). ``windows`` are the selection's own, so no other text is read.
    Returns the trials as well, best first.
    """
    progress = progress or Silent()
    held_out = {label: torch.as_tensor(tokens) for label, tokens in windows.items()}
    tried: list[tuple[Selection, SiteTrial]] = []
    for done, one in enumerate(candidates):
        progress.update(done, len(candidates), f"trying {one.site}:{one.index}")
        piece = decomposition.subcomponent(one.site, one.index)
        tried.append((one, try_piece(target, piece, one.label, held_out, MARGIN)))
    progress.update(len(candidates), len(candidates), "pieces tried")
    order = ranked([trial for _, trial in tried])
    best = next(one for one, trial in tried if trial is order[0])
    return best, order


def trials_table(
    trials: Sequence[SiteTrial],
    label: str,
    caption: str = "A closed-form edit that removes {} at each of the best-ranked sites, on the tuning part",
) -> Table:
    """One row a site, best first; ``{}`` in the caption is the label."""
    rows = [
        {
            "site": trial.site.name,
            **({"subcomponent": trial.index} if any(one.index >= 0 for one in trials) else {}),
            "level": trial.level,
            "worst other": trial.worst,
            **{f"change {name}": change for name, change in trial.changes.items()},
            "strength": trial.strength,
        }
        for trial in trials
    ]
    digits = {"level": 2, "worst other": 3, "strength": 1}
    digits |= {column: 3 for column in (rows[0] if rows else ()) if column.startswith("change ")}
    return Table.from_records(
        "trials",
        rows,
        units={"level": "ln V", "worst other": "nats"},
        digits=digits,
        caption=caption.format(label),
    )
