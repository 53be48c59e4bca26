"""The page of a quality ladder: verdict, figures, tables and claims in the run's report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unweave.decompose.card import limits
from unweave.decompose.controls import CONTROLS
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.ladder import Ladder
from unweave.decompose.ladder_figures import draw_ladder
from unweave.decompose.ladder_tables import (
    OURS,
    attacks_table,
    compared_table,
    controls_table,
    matches_table,
    rungs_table,
    sites_table,
    spectrum_table,
)
from unweave.decompose.stability import Compared
from unweave.record.report import Headline, Section, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.record.run import Run
    from unweave.record.table import Table


def save_ladder(run: Run, name: str, ladder: Ladder, compared: Mapping[str, Compared]) -> list[Table]:
    """Saves all tables of a ladder and returns those that a person reads, in order."""
    tables = [rungs_table(ladder), controls_table(ladder), attacks_table(ladder), sites_table(ladder)]
    if compared:
        tables.append(compared_table(name, ladder, compared))
    if any(each.stability for each in compared.values()):
        tables.append(matches_table(compared))
    for table in (*tables, spectrum_table(ladder)):
        run.save_table(table)
    return tables


def write_ladder(
    run: Run, made: Decomposition, name: str, ladder: Ladder, compared: Mapping[str, Compared] | None = None
) -> Path:
    """Draws the figures from the tables that ``save_ladder`` saved, makes the claims, and writes the report."""
    figures = draw_ladder(run)
    _claim(run, ladder)
    count = sum(map(len, made.sites.values()))
    verdict = [f"It fails: {failure}." for failure in ladder.failures]
    if ladder.controls and not verdict:
        kinds = "importance masks, stochastic masks and the 20-step adversary"
        verdict = [f"It passes: under {kinds} it is better than its controls."]
    read = ", ".join(
        f"{key} {value if isinstance(value, (int, str)) else ', '.join(value)}" for key, value in ladder.text.items()
    )
    sections = [
        Section(
            "Predictions under masks",
            paragraphs=[*verdict, f"Measured on {ladder.tokens:,} tokens ({read})."],
            figures=figures["ladder"],
            tables=["ladder"],
        ),
        Section(
            "Against controls",
            paragraphs=[
                "The SVD has its own importances: in every row a site's pieces that act most there are on, as many as "
                "the decomposition has importances above 0 at that site, on average and rounded up. The random pieces "
                "have the decomposition's importances and sizes, and other directions."
            ],
            figures=figures["controls"],
            tables=["controls"],
        ),
        Section("The adversary", figures=figures["attacks"], tables=["attacks"]),
        Section("What is used", figures=figures["used"], tables=["sites"]),
        Section(
            "Hidden activations",
            paragraphs=["Squared error of each site's output over its squared size, with all sites masked at once."],
            figures=figures["hidden"],
        ),
    ]
    if compared:
        tables = ["compared", *(["matches"] if "matches" in run.tables() else [])]
        sections.append(Section("Beside other decompositions", figures=figures["stability"], tables=tables))
    sections.append(Section("Limits", paragraphs=limits(ladder, compared)))
    return write_report(
        run,
        f"A decomposition of {made.target_name or made.target}, measured",
        f"{count:,} subcomponents of {len(made.sites)} sites under masks from gentle to adversarial, beside an SVD and "
        "pieces in random directions.",
        sections,
        _headlines(run, ladder),
    )


def _headlines(run: Run, ladder: Ladder) -> list[Headline]:
    ours = {"pieces": OURS}
    found = [Headline("L0 a token", "sites", {"site": "all"}, "l0", 0, note=f"of {ladder.alive:,} alive")]
    if ladder.rung("importance").unrecovered is not None:
        found.append(
            Headline(
                "unrecovered", "ladder", {"masks": "importance", **ours}, "unrecovered", 3, note="importance masks"
            )
        )
    found.append(Headline("KL, stochastic masks", "ladder", {"masks": "stochastic", **ours}, "kl", 2))
    if 20 in ladder.attacks:
        found.append(Headline("KL, 20-step adversary", "attacks", {"steps": 20, **ours}, "kl", 2))
    return found


def _claim(run: Run, ladder: Ladder) -> None:
    for masks in ("importance", "stochastic"):
        where = {"masks": masks, "pieces": OURS}
        run.claim(f"Under {masks} masks KL is {{value}} nats a token.", "ladder", where, "kl")
        for control in ladder.controls:
            where = {"masks": masks, "pieces": control.pieces}
            run.claim(
                f"KL of {CONTROLS[control.pieces].described}, under {masks} masks is {{value}} nats a token.",
                "ladder",
                where,
                "kl",
            )
