"""A quality ladder as tables."""

from __future__ import annotations

from dataclasses import asdict

from unweave.decompose.ladder import Ladder
from unweave.record.table import Table


def rungs_table(ladder: Ladder) -> Table:
    """A row for each kind of mask."""
    return Table.from_records(
        "ladder",
        [asdict(rung) for rung in ladder.rungs],
        units={"cross_entropy": "nats a token", "kl": "nats a token"},
        digits={"cross_entropy": 3, "kl": 4, "unrecovered": 3},
        caption=f"Predictions under masks, {ladder.tokens:,} held-out tokens. Unrecovered is measured against the "
        f"better of zero masks and the unigram model ({ladder.unigram_cross_entropy:.3f} nats).",
    )


def attacks_table(ladder: Ladder) -> Table:
    """A row for each number of adversary steps."""
    return Table.from_records(
        "attacks",
        [{"steps": steps, "kl": kl} for steps, kl in ladder.attacks.items()],
        columns=("steps", "kl"),
        units={"kl": "nats a token"},
        digits={"kl": 3},
        caption="KL under a fresh adversary that has one mask vector for all tokens, the worst up to each step.",
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
