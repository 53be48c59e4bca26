"""Three studies of the planted networks, as a person would write them in a file of their own.

    unweave run benchmarks/agent/studies.py --set network=3

Each run computes: an edit on a network, and its effect on text drawn for the run's seed.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# A study in a file of its own finds the modules that lie beside it like any script does.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from planted import HARM, LABELS, LEVEL, PIECES, SITES, STRENGTHS, WORDS, measured, planted
from ways import NOTHING, ORDERS, WAYS, edit_by, selective, spent

from unweave.base.errors import UnweaveError, nearest
from unweave.base.needs import Needs
from unweave.base.seeds import numpy_generator
from unweave.studies.inquiry import Inquiry, Knob, Outcome
from unweave.studies.registry import study

if TYPE_CHECKING:
    from unweave.edit.edits import Edit
    from unweave.record.run import Run

NEEDS = Needs(threads=1, memory_gb=0.8, disk_gb=0.01, seconds=120)
NAMES = tuple(f"{site}:{index}" for site in SITES for index in range(PIECES))
_LEVEL = Outcome("level of the removed label", "outcome", "level", better="higher", bar=LEVEL, unit="ln V")
_HARM = Outcome("harm to the worst other label", "outcome", "harm", better="lower", bar=HARM, unit="nats")
_SHARED = (
    Knob("network"),
    Knob("label", words={label: label for label in LABELS}, required=True, after=("remove", "removes", "removing")),
    Knob("shuffle", words={"dealt at random": True, "dealt to labels at random": True}),
)
_REMOVE = ("remove", "removes", "removing", "removed")


@dataclass(frozen=True)
class Piece:
    """Remove a label by taking single pieces away."""

    network: int = 0
    """Which network: they are made from this number."""
    label: str = "red"
    """The label to remove."""
    pieces: tuple[str, ...] = ("gate-a:0",)
    """The pieces to take away, as site:index."""
    random: bool = False
    """Take another piece away instead, drawn at random."""
    windows: int = 8
    """Windows of eleven words for each label."""
    shuffle: bool = False
    """Deal the text to labels at random: then there is nothing to find."""
    first_seed: int = 0
    """The seed that the text is drawn by."""

    def __post_init__(self) -> None:
        for name in self.pieces:
            if name not in NAMES:
                raise UnweaveError(f"piece {name!r} is not in these networks; {nearest(name, NAMES)}")
        _check(self.label, self.windows)


@dataclass(frozen=True)
class Strength:
    """Remove a label with one factor on the piece of a site that acts most on it."""

    network: int = 0
    """Which network: they are made from this number."""
    label: str = "red"
    """The label to remove."""
    site: str = "gate-a"
    """Where."""
    factor: float = 0.0
    """What the piece is multiplied by: 1 leaves it, 0 takes it away."""
    windows: int = 8
    """Windows of eleven words for each label."""
    shuffle: bool = False
    """Deal the text to labels at random: then there is nothing to find."""
    first_seed: int = 0
    """The seed that the text is drawn by."""

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise UnweaveError(f"site {self.site!r} is not in these networks; {nearest(self.site, SITES)}")
        _check(self.label, self.windows)


@dataclass(frozen=True)
class Way:
    """Remove a label in one of several ways, each with the same text to learn from."""

    network: int = 0
    """Which network: they are made from this number."""
    label: str = "red"
    """The label to remove."""
    site: str = "gate-a"
    """Where."""
    way: str = "ablation"
    """How."""
    order: str = "forwards"
    """In which order an adapter reads its text."""
    tokens: int = 44
    """Tokens of each label to learn from."""
    windows: int = 8
    """Windows of eleven words for each label, to measure on."""
    first_seed: int = 0
    """The seed that both texts are drawn by."""

    def __post_init__(self) -> None:
        if self.way not in (*WAYS, NOTHING):
            raise UnweaveError(f"way {self.way!r} is not known; {nearest(self.way, WAYS)}")
        if self.order not in ORDERS:
            raise UnweaveError(f"order {self.order!r} is not known; {nearest(self.order, ORDERS)}")
        _check(self.label, self.windows)


@study(
    "planted-piece",
    "Which single piece removes a label without harming the others?",
    Piece,
    needs=lambda config: NEEDS,
    inquiry=Inquiry(
        topics=(*_REMOVE, "piece", "pieces"),
        effect=_LEVEL,
        knobs=(*_SHARED, Knob("pieces", values=NAMES, searched=True, joint=True)),
        harms=(_HARM,),
        null={"shuffle": True},
        control={"random": True},
        seeds=None,
        cheap={"windows": 4},
        examples=("Does any piece of network 3 remove red without harming the others?",),
    ),
)
def piece(config: Piece, run: Run | None = None) -> dict[str, float]:
    """Takes the pieces away and measures every label."""
    made = planted(config.network)
    names = config.pieces
    if config.random:
        others = [name for name in NAMES if name not in config.pieces]
        names = (str(numpy_generator(config.first_seed, "random piece", config.network).choice(others)),)
    chosen = {(name.partition(":")[0], int(name.partition(":")[2])): 0.0 for name in names}
    return _measure(
        config.network, made.edit(chosen), config.label, config.windows, config.shuffle, config.first_seed, run
    )


@study(
    "planted-strength",
    "Is there a site and a factor that removes a label without harming the others?",
    Strength,
    needs=lambda config: NEEDS,
    inquiry=Inquiry(
        topics=(*_REMOVE, "factor", "site", "strength", "number"),
        effect=_LEVEL,
        knobs=(
            *_SHARED,
            Knob("site", values=SITES, searched=True),
            Knob("factor", values=STRENGTHS, searched=True, ordered=True),
        ),
        harms=(_HARM,),
        null={"shuffle": True},
        control={"factor": 1.0},
        seeds=None,
        cheap={"windows": 4},
        examples=("Is there a site with a factor that removes red from network 3 without harming the others?",),
    ),
)
def strength(config: Strength, run: Run | None = None) -> dict[str, float]:
    """Scales the site's most selective piece and measures every label."""
    made = planted(config.network)
    index = selective(made, config.site, LABELS.index(config.label))
    edit = made.edit({(config.site, index): config.factor})
    return _measure(config.network, edit, config.label, config.windows, config.shuffle, config.first_seed, run)


@study(
    "planted-way",
    "Which way of removing a label is best at equal tokens?",
    Way,
    needs=lambda config: NEEDS,
    inquiry=Inquiry(
        topics=(*_REMOVE, "way", "ways", "intervention", "interventions", "order"),
        effect=Outcome("net removal", "outcome", "net", better="higher", unit="nats"),
        knobs=(
            Knob("network"),
            Knob("label", words={label: label for label in LABELS}, required=True),
            Knob("site", words={site: site for site in SITES}),
            Knob("way", values=WAYS, searched=True),
            Knob("order", words={order: order for order in ORDERS}),
            Knob("tokens"),
        ),
        null={"way": NOTHING},
        equal=(Outcome("tokens", "outcome", "tokens", better="lower"),),
        seeds=None,
        cheap={},
        examples=("Which way of removing red from network 3 is best at equal tokens?",),
    ),
)
def way(config: Way, run: Run | None = None) -> dict[str, float]:
    """Learns the edit from the run's own text and measures every label on other text."""
    made = planted(config.network)
    label = LABELS.index(config.label)
    edit = edit_by(made, config.site, config.way, label, config.tokens, config.order, config.first_seed)
    return _measure(
        config.network,
        edit,
        config.label,
        config.windows,
        False,
        config.first_seed,
        run,
        {"tokens": spent(config.way, config.tokens)},
    )


def _measure(
    network: int,
    edit: Edit,
    name: str,
    windows: int,
    shuffle: bool,
    seed: int,
    run: Run | None,
    more: dict[str, float] | None = None,
) -> dict[str, float]:
    made, label = planted(network), LABELS.index(name)
    level, harm, change = measured(made, edit, windows, seed, shuffle, label)
    row = {
        "seed": seed,
        "level": level,
        "harm": harm,
        "net": float(change[label]) - max(harm, 0.0),
        "tokens": windows * (WORDS + 3) * len(LABELS),
        **(more or {}),
    }
    if run is not None:
        from unweave.record.table import Table

        if hasattr(run, "identify"):
            run.identify("target", f"network {network}", made.target.identity.weights)
            text = hashlib.sha256(f"planted text {network}".encode()).hexdigest()
            run.identify("held-out", "text", text)
        units = {"level": "ln V", "harm": "nats", "net": "nats"}
        run.save_table(Table.from_records("outcome", [row], units=units, digits=dict.fromkeys(units, 3)))
    return row


def _check(label: str, windows: int) -> None:
    if label not in LABELS:
        raise UnweaveError(f"label {label!r} is not in these networks; {nearest(label, LABELS)}")
    if windows < 1:
        raise UnweaveError(f"windows is {windows}, and it must be at least 1")
