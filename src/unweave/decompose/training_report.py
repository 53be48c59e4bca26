"""The page of a training: its curves, drawn from what a run has logged, while it runs as well as afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from unweave.record.curves import lines
from unweave.record.report import Headline, Section, write_report
from unweave.record.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.record.run import Run

QUANTITIES = {
    "error": "Error of the masked output",
    "l0": "Subcomponents needed at a time (L0)",
    "alive": "Subcomponents that are used at all",
    "penalty": "Importance penalty",
    "faithfulness": "What the subcomponents leave of the matrices",
}
"""What is drawn by step, with its title. ``reconstruction`` is the whole-model method's error."""
LOGARITHMIC = ("penalty", "faithfulness")
LINES_A_FIGURE = 8
"""Sites with a curve of their own; of more of them the median and the range are drawn."""


def curves_table(metrics: Iterable[Mapping[str, Any]]) -> Table:
    """A row for each site (where there are several) and step that was logged.

    A run that was killed and went on has logged the steps since its last checkpoint twice; the later row counts.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in metrics:
        if "step" not in row:
            continue
        place = {"site": str(row.get("site", "all")), "step": int(row["step"])}
        values = {
            name: row.get("reconstruction" if name == "error" and name not in row else name) for name in QUANTITIES
        }
        found[place["site"], place["step"]] = place | values
    places = {site: number for number, site in enumerate(dict.fromkeys(site for site, _ in found))}
    rows = sorted(found.values(), key=lambda row: (places[row["site"]], row["step"]))
    known = [name for name in QUANTITIES if any(row[name] is not None for row in rows)]
    return Table.from_records("curves", rows, columns=("site", "step", *known), caption="Training by step.")


def spread_table(curves: Table) -> Table:
    """Median and range over sites at each step."""
    known = [name for name in QUANTITIES if name in curves.columns]
    by_step: dict[int, list[dict[str, Any]]] = {}
    for row in curves.records():
        by_step.setdefault(int(row["step"] or 0), []).append(row)
    rows = []
    for step, there in sorted(by_step.items()):
        spread: dict[str, Any] = {"step": step, "sites": len(there)}
        for name in known:
            values = [row[name] for row in there if row[name] is not None]
            ends = (median(values), min(values), max(values)) if values else (None, None, None)
            spread |= dict(zip((name, f"{name}, lowest", f"{name}, highest"), ends, strict=True))
        rows.append(spread)
    return Table.from_records(
        "curves-spread", rows, caption="Training by step: the median site, the lowest and highest."
    )


def draw_curves(run: Run) -> list[str]:
    """Saves what the run has logged as tables, draws them, and returns the figures' names: none before step 1."""
    curves = curves_table(run.metrics())
    if not curves.rows:
        return []
    run.save_table(curves)
    sites = set(curves.column("site"))
    table, group = curves, "site" if len(sites) > 1 else None
    if len(sites) > LINES_A_FIGURE:
        table, group = spread_table(curves), None
        run.save_table(table)
    drawn = []
    for name, title in QUANTITIES.items():
        if name not in table.columns:
            continue
        low, high = (None, None) if table is curves else (f"{name}, lowest", f"{name}, highest")
        smallest = min(float(value) for value in table.column(low or name) if value is not None)
        logarithmic = name in LOGARITHMIC and smallest > 0
        figure = lines(table, "step", name, low, high, group, title=title, y_log=logarithmic, y_label=name)
        run.draw(f"curve-{name}", figure)
        drawn.append(f"curve-{name}")
    return drawn


def write_training_report(run: Run, ended: bool = False) -> Path | None:
    """Draws the curves and writes the run's report; None when the run has logged no step yet.

    ``ended`` is for a run whose training is done and that is about to be called finished, and sealed with this report.
    """
    figures = draw_curves(run)
    if not figures:
        return None
    config, curves = run.config, run.load_table("curves")
    settings = config.get("config", {})
    single = len(set(curves.column("site"))) == 1
    latest = [row for row in run.metrics() if "step" in row][-1]
    status = "finished" if ended else run.status
    progress = f"The run is {status}"
    if status != "finished":
        of = settings.get("steps", latest["step"]) * settings.get("groups", 1)
        progress += f", {latest['step']} of {of} steps done" + ("" if single else f" at `{latest['site']}`")
    sections = [Section("Training", paragraphs=[f"{progress}."], figures=figures)]
    if "sites" in run.tables():
        sections.append(Section("Sites", tables=["sites"]))
    last = {name: curves.records()[-1][name] for name in ("site", "step")}
    shown = {"error": "error", "l0": "L0", "alive": "alive"}
    headlines = [
        Headline(label, "curves", last, name, digits=4 if name == "error" else 1)
        for name, label in shown.items()
        if name in curves.columns and single
    ]
    lead = f"A {config.get('method', 'site-local')} decomposition of the sites `{settings.get('sites', '*')}`."
    return write_report(run, f"Taking {config.get('target', 'a target')} apart", lead, sections, headlines)
