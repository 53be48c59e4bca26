from __future__ import annotations

import pytest

from unweave.decompose.training_report import LINES_A_FIGURE, curves_table, draw_curves, write_training_report
from unweave.record import Run
from unweave.record.audit import audit_run

WHOLE = {"reconstruction": 0.5, "l0": 12.0, "alive": 30.0, "penalty": 3.0, "faithfulness": 1e-3, "loss": 9.0}
SITE = {"error": 0.5, "l0": 2.0, "faithfulness": 1e-3, "gamma": 0.5}
CONFIG = {"target": "tiny", "method": "whole-model", "config": {"sites": "*", "steps": 400}}


@pytest.fixture
def run(tmp_path):
    return Run.create("decompose", CONFIG, tmp_path)


def logged(run, steps, sites=(None,), scale=1.0):
    for step in steps:
        for site in sites:
            row = {name: value * scale for name, value in (WHOLE if site is None else SITE).items()}
            run.log(step, **row, **({} if site is None else {"site": site}))


def test_a_row_holds_a_step_with_the_quantities_that_were_measured(run):
    logged(run, (50, 100))
    run.log(other=1)  # no step
    table = curves_table(run.metrics())
    assert table.columns == ("site", "step", "error", "l0", "alive", "penalty", "faithfulness")
    assert table.records()[0] == {
        "site": "all", "step": 50, "error": 0.5, "l0": 12.0, "alive": 30.0, "penalty": 3.0, "faithfulness": 1e-3
    }  # fmt: skip


def test_steps_that_a_resumed_run_made_again_are_there_once_as_they_were_made_last(run):
    """Killed after step 150 with a checkpoint of step 50."""
    logged(run, (50, 100, 150))
    logged(run, (100, 150, 200), scale=2.0)
    table = curves_table(run.metrics())
    assert table.column("step") == (50, 100, 150, 200)
    assert table.column("l0") == (12.0, 24.0, 24.0, 24.0)


def test_sites_have_curves_of_their_own_in_the_order_of_their_first_row(run):
    logged(run, (50, 100), sites=("up", "down"))
    table = curves_table(run.metrics())
    assert [(row["site"], row["step"]) for row in table.records()] == [
        ("up", 50), ("up", 100), ("down", 50), ("down", 100)
    ]  # fmt: skip
    assert draw_curves(run) == ["curve-error", "curve-l0", "curve-faithfulness"]
    assert run.tables() == ["curves"]
    assert "100 of 400 steps done at <code>down</code>." in write_training_report(run).read_text(encoding="utf-8")


def test_many_sites_are_drawn_as_their_median_and_range(run):
    for place in range(LINES_A_FIGURE + 1):
        logged(run, (50, 100), sites=(f"h.{place}",), scale=place + 1)
    assert draw_curves(run) == ["curve-error", "curve-l0", "curve-faithfulness"]
    row = run.load_table("curves-spread").records()[0]
    assert (row["step"], row["sites"]) == (50, 9)
    assert (row["l0, lowest"], row["l0"], row["l0, highest"]) == (2.0, 10.0, 18.0)
    assert not audit_run(run)


def test_a_run_that_goes_on_can_be_looked_at_and_its_figures_agree_with_its_tables(run):
    assert write_training_report(run) is None
    logged(run, (50, 100, 150))
    page = write_training_report(run)
    assert "The run is running, 150 of 400 steps done." in page.read_text(encoding="utf-8")
    assert run.figures() == sorted(f"curve-{name}" for name in ("error", "l0", "alive", "penalty", "faithfulness"))
    logged(run, (200, 250))
    assert "250 of 400 steps done" in write_training_report(run).read_text(encoding="utf-8")
    assert not audit_run(run)
    assert "The run is finished." in write_training_report(run, ended=True).read_text(encoding="utf-8")
    run.finish()


def test_a_quantity_that_reaches_0_is_drawn_on_a_plain_axis(run):
    logged(run, (50, 100))
    logged(run, (150,), scale=0.0)
    assert "curve-faithfulness" in draw_curves(run)
    assert not audit_run(run)
