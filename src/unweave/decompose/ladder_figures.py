"""Figures of a quality ladder, each drawn from a table that the run has saved."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from unweave.decompose.ladder_tables import NATS, OURS
from unweave.decompose.ruler import ALIVE_MEAN
from unweave.record.bar_chart import bars
from unweave.record.curves import lines

if TYPE_CHECKING:
    from unweave.record.figure import Figure
    from unweave.record.run import Run
    from unweave.record.table import Table

SITES_A_FIGURE = 8
POINTS_A_CURVE = 120


def draw_ladder(run: Run) -> dict[str, list[str]]:
    """Draws what the run's tables hold and returns the figures' names by part of the report."""
    parts = {
        "ladder": {"ladder": ladder_figure(run.load_table("ladder"))},
        "controls": controls_figures(run.load_table("controls")),
        "attacks": {},
        "used": {"l0": site_bars(run.load_table("sites"), "l0", "Subcomponents used by site", "importances above 0.1")},
        "hidden": {},
        "stability": {},
    }
    if run.load_table("attacks").rows:
        parts["attacks"]["attacks"] = attacks_figure(run.load_table("attacks"), run.load_table("ladder"))
    parts["used"] |= spectrum_figures(run.load_table("spectrum"))
    title = "Error of each site's output under importance masks"
    parts["hidden"]["hidden-error"] = site_bars(
        run.load_table("sites"), "hidden_error", title, "relative squared error"
    )
    if "matches" in run.tables():
        parts["stability"]["matched"] = matched_figure(run.load_table("matches"))
    for figures in parts.values():
        for name, figure in figures.items():
            run.draw(name, figure)
    return {part: list(figures) for part, figures in parts.items()}


def ladder_figure(table: Table) -> Figure:
    """Unrecovered by kind of mask, beside the SVD's; KL where the target is no better than the unigram model."""
    measured = any(value is not None for value in table.column("unrecovered"))
    left_out = ("target", "zero")
    return bars(
        table,
        "masks",
        "unrecovered" if measured else "kl",
        group="pieces",
        where={
            "masks": [masks for masks in dict.fromkeys(table.column("masks")) if masks not in left_out],
            "pieces": [pieces for pieces in dict.fromkeys(table.column("pieces")) if pieces != "random"],
        },
        title="What masks leave unrecovered",
        caption="0 is the target, 1 the better of zero masks and the unigram model. In the row `random` the "
        "decomposition's masks are drawn without regard to importance."
        if measured
        else "KL from the target's predictions; the target itself is no better than the unigram model",
        value_label="share of the cross-entropy unrecovered" if measured else f"KL, {NATS}",
        digits=3,
    )


def controls_figures(table: Table) -> dict[str, Figure]:
    """KL of the decomposition and each of its controls under the same masks, a figure for each control.

    They are drawn apart because random pieces are worse by far: on their axis all else would be nothing.
    """
    words = {"svd": "an SVD's pieces", "random": "pieces in random directions"}
    return {
        f"control-{control}": bars(
            table,
            "masks",
            "kl",
            group="pieces",
            where={"pieces": [OURS, control]},
            title=f"Against {words[str(control)]} of the same matrices",
            caption="KL from the target's predictions, low is better",
            value_label=f"KL, {NATS}",
            digits=3,
        )
        for control in dict.fromkeys(table.column("pieces"))
        if control != OURS
    }


def attacks_figure(table: Table, ladder: Table) -> Figure:
    """KL by the adversary's steps, with that of zero masks for comparison."""
    zero = ladder.rows[ladder.find({"masks": "zero", "pieces": OURS})[0]][ladder.index("kl")]
    positive = all(isinstance(kl, float) and kl > 0 for kl in (*table.column("kl"), zero))
    logarithmic = positive and min(table.column("steps")) > 0  # type: ignore[type-var]
    return lines(
        table,
        "steps",
        "kl",
        group="pieces",
        x_log=logarithmic,
        y_log=logarithmic,
        title="KL against the adversary's steps",
        caption="One mask vector for all that is read, sign steps of 0.1, the worst up to each step; controls meet 20",
        x_label="sign-gradient steps",
        y_label=f"KL, {NATS}",
        y_references=[("zero masks", float(zero))],  # type: ignore[arg-type]
    )


def site_bars(table: Table, column: str, title: str, label: str) -> Figure:
    """A bar for each site."""
    sites = [site for site in table.column("site") if site != "all"]
    return bars(table, "site", column, where={"site": sites}, title=title, caption="", value_label=label)


def spectrum_figures(table: Table) -> dict[str, Figure]:
    """Mean importances against their rank, a figure for the sites of each block, at most eight in one."""
    figures = {}
    for block, sites in _blocks(str(site) for site in dict.fromkeys(table.column("site"))):
        last = {site: len(table.find({"site": site})) for site in sites}
        ranks = {int(rank) for count in last.values() for rank in np.linspace(1, count, POINTS_A_CURVE).round()}
        figures[f"spectrum-{len(figures)}"] = lines(
            table,
            "rank",
            "mean_importance",
            group="site",
            y_log=True,
            where={"site": sites, "rank": sorted(ranks)},
            title=f"Mean importances, {block}",
            caption="Over all tokens, the largest first; the dotted line is where a subcomponent counts as alive",
            x_label="rank among the site's subcomponents",
            y_label="mean importance",
            y_references=[("alive above", ALIVE_MEAN)],
        )
    return figures


def matched_figure(table: Table) -> Figure:
    """Matched cosine by site and other decomposition."""
    return bars(
        table,
        "site",
        "matched",
        group="decomposition",
        title="Matched cosine of the pieces",
        caption="Mean over the best one-to-one matching of alive pieces, with each of the other decompositions",
        value_label="matched cosine",
        digits=3,
    )


def _blocks(sites: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Sites by the block that their names begin with (up to the first number), in parts small enough for a figure."""
    found: dict[str, list[str]] = {}
    for site in sites:
        block = re.match(r".*?\.\d+(?=\.)|", site)
        found.setdefault(block.group() if block else "", []).append(site)
    return [
        (block or "all sites", names[start : start + SITES_A_FIGURE])
        for block, names in found.items()
        for start in range(0, len(names), SITES_A_FIGURE)
    ]
