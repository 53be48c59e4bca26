"""A quality ladder as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unweave.decompose.ladder import Ladder, Rung
from unweave.decompose.stability import Compared
from unweave.record.table import Table

OURS = "decomposition"
"""The decomposition's own name in the column ``pieces``, beside those of its controls."""
NATS = "nats a token"
SHUFFLED = "shuffled weights"
"""What a decomposition of the shuffled target is called beside ours."""
COSINES = ("matched", "weighted", "nearest", "nearest_back", "chance")


def rungs_table(ladder: Ladder) -> Table:
    """A row for each kind of mask, of the decomposition and then of its controls."""
    rows = [_rung(rung, OURS) for rung in ladder.rungs]
    rows += [_rung(rung, control.pieces) for control in ladder.controls for rung in control.rungs]
    return Table.from_records(
        "ladder",
        rows,
        units={"cross_entropy": NATS, "kl": NATS},
        digits={"cross_entropy": 3, "kl": 4, "unrecovered": 3},
        caption=f"Predictions under masks, {ladder.tokens:,} held-out tokens. Unrecovered is measured against the "
        f"better of zero masks and the unigram model ({ladder.unigram_cross_entropy:.3f} nats).",
    )


def controls_table(ladder: Ladder) -> Table:
    """A row for each kind of mask and each of decomposition, SVD and random pieces; ``times`` is KL over ours."""
    active = {OURS: sum(site.nonzero for site in ladder.sites)}
    active |= {control.pieces: control.active for control in ladder.controls}
    found: dict[str, dict[str, float]] = {}
    for masks in ("importance", "stochastic"):
        found[masks] = {OURS: ladder.rung(masks).kl}
        found[masks] |= {control.pieces: control.rung(masks).kl for control in ladder.controls}
    for steps in sorted({steps for control in ladder.controls for steps in control.attacks}):
        found[f"adversary, {steps} steps"] = {
            OURS: ladder.attacks[steps],
            **{control.pieces: control.attacks[steps] for control in ladder.controls},
        }
    rows = [
        {
            "masks": masks,
            "pieces": pieces,
            "active": active[pieces],
            "kl": kl,
            "times": kl / by[OURS] if by[OURS] > 0 else None,
        }
        for masks, by in found.items()
        for pieces, kl in by.items()
    ]
    return Table.from_records(
        "controls",
        rows,
        columns=("masks", "pieces", "active", "kl", "times"),
        units={"active": "a token", "kl": NATS},
        digits={"active": 1, "kl": 3, "times": 2},
        caption="The same masks on other pieces of the same matrices: those of an SVD, where a site's pieces that act "
        "most in a row are on, and pieces in random directions of the same sizes with the decomposition's own "
        f"importances.{_attacked(ladder)}",
    )


def attacks_table(ladder: Ladder) -> Table:
    """A row for each number of adversary steps, of the decomposition and then of its controls."""
    every = {OURS: ladder.attacks} | {control.pieces: control.attacks for control in ladder.controls}
    return Table.from_records(
        "attacks",
        [{"pieces": pieces, "steps": n, "kl": kl} for pieces, attacks in every.items() for n, kl in attacks.items()],
        columns=("pieces", "steps", "kl"),
        units={"kl": NATS},
        digits={"kl": 3},
        caption="KL on the tokens that a fresh adversary reads with one mask vector for all of them, the worst up to "
        f"each step.{_attacked(ladder)}",
    )


def sites_table(ladder: Ladder) -> Table:
    """A row for each site, and one for all of them."""
    rows = [asdict(site) for site in ladder.sites]
    sums = ("subcomponents", "l0", "nonzero", "alive_mean", "alive_fires")
    rows.append({"site": "all", **{name: sum(row[name] for row in rows) for name in sums}})
    return Table.from_records(
        "sites",
        rows,
        digits={"l0": 2, "nonzero": 2, "faithfulness": 6, "hidden_error": 3},
        caption="Subcomponents by site: importances above 0.1 (l0) and above 0 (nonzero) a token, subcomponents with a "
        "mean importance above 1e-6 and with one above 0.1 anywhere, the delta's share of the matrix, and the error of "
        "the site's output under importance masks.",
    )


def spectrum_table(ladder: Ladder) -> Table:
    """Mean importances by site, the largest first; a subcomponent that was never needed has no row."""
    rows = [
        {"site": site, "rank": rank, "mean_importance": mean}
        for site, means in ladder.mean_importances.items()
        for rank, mean in enumerate(sorted(means, reverse=True), start=1)
        if mean > 0
    ]
    return Table.from_records(
        "spectrum",
        rows,
        columns=("site", "rank", "mean_importance"),
        caption="Mean importance of every subcomponent over all tokens, by site, the largest first; those that are 0 "
        "everywhere are left out.",
    )


def compared_table(name: str, ladder: Ladder, others: Mapping[str, Compared]) -> Table:
    """The decomposition and others of the same target, or of the shuffled one: how many pieces, how good, how alike."""
    cosines = COSINES if any(compared.stability for compared in others.values()) else ()
    rows = [_summary(name, ladder)]
    for other, compared in others.items():
        stability = compared.stability.as_dict() if compared.stability else {}
        rows.append(_summary(other, compared.ladder) | {key: stability.get(key) for key in cosines})
    said = ["Unrecovered is under importance masks, and importance_of_zero their KL over that of zero masks."]
    if cosines:
        said.append(
            f"Cosines of the alive rank-one pieces with those of {name}: mean over the best one-to-one matching, the "
            "same weighted by size, mean of the largest both ways, and the matching with pieces in random directions."
        )
    if any(compared.stability is None for compared in others.values()):
        said.append(
            f"{SHUFFLED.capitalize()}: the target with every matrix's entries in random order, in which training left "
            "no mechanisms; its cross-entropy is another one, so compare KL as a share of zero masks'."
        )
    return Table.from_records(
        "compared",
        rows,
        columns=(*rows[0], *cosines),
        units={"stochastic_kl": NATS},
        digits={"l0": 1, **dict.fromkeys(("unrecovered", "importance_of_zero", "stochastic_kl", *cosines), 3)},
        caption=" ".join(said),
    )


def matches_table(others: Mapping[str, Compared]) -> Table:
    """Cosines by site and other decomposition of the same target."""
    rows = [
        {"decomposition": name, **asdict(site)}
        for name, compared in others.items()
        if compared.stability
        for site in compared.stability.sites
    ]
    return Table.from_records(
        "matches",
        rows,
        digits=dict.fromkeys(COSINES, 3),
        caption="Cosines of the alive pieces by site; columns as above, with the numbers of pieces on both sides.",
    )


def _attacked(ladder: Ladder) -> str:
    """A sentence behind a caption; none where there was no adversary."""
    if not ladder.attacks:
        return ""
    read = f"{ladder.attack_windows:,} window{'s' * (ladder.attack_windows != 1)}"
    return f" The adversary reads {read}: {ladder.attack_tokens:,} of the {ladder.tokens:,} tokens."


def _rung(rung: Rung, pieces: str) -> dict[str, Any]:
    return {"masks": rung.masks, "pieces": pieces, **{k: v for k, v in asdict(rung).items() if k != "masks"}}


def _summary(name: str, ladder: Ladder) -> dict[str, Any]:
    return {
        "decomposition": name,
        "subcomponents": sum(site.subcomponents for site in ladder.sites),
        "alive": ladder.alive,
        "l0": ladder.l0,
        "unrecovered": ladder.rung("importance").unrecovered,
        "importance_of_zero": ladder.importance_of_zero,
        "stochastic_kl": ladder.rung("stochastic").kl,
        "adversary_20": ladder.attacks.get(20),
    }
