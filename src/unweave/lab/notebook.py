"""What a notebook shows of a lab: pages of runs, threads and comparisons, as small, static, escaped HTML."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from unweave.record.notebook import facts_html, rows_html

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.store.page import Page
    from unweave.lab.sweeps.comparison import Comparison
    from unweave.lab.threads.thread import Thread


def lab_html(lab: Lab) -> str:
    """What there is in a lab."""
    lab.runs.sync()
    counts = lab.runs.counts()
    by_status = ", ".join(f"{number} {status}" for status, number in counts.by_status.items())
    facts = [("runs", by_status or "none"), ("not valid", counts.invalid or None), ("threads", len(lab.threads.list()))]
    return facts_html(f"lab {lab.root.name}", facts)


def page_html(page: Page) -> str:
    """Runs, one a line."""
    rows = [
        [
            row.id,
            row.study,
            row.status if row.valid else f"{row.status}, not valid",
            row.created[:19],
            row.headline or row.note,
        ]
        for row in page.rows
    ]
    return rows_html(["run", "study", "status", "created", "what it says"], rows, more=page.total - len(page.rows))


def thread_html(thread: Thread) -> str:
    """A thread's question, what was expected, and what was concluded."""
    facts = [
        ("question", thread.question),
        ("state", thread.state),
        ("asked by", f"{thread.by}, {thread.created[:19]}"),
        *(("expected", f"{one.text} If it holds: {one.predicted}") for one in thread.hypotheses),
        ("runs", ", ".join(f"{one.run} ({one.part})" for one in thread.runs)),
        *(("tried", f"{one.what} Why it failed: {one.why}") for one in thread.tried),
        *(("concluded", one.text) for one in thread.conclusions),
        *(("review", f"{one.by}: {one.verdict}. {one.text}") for one in thread.reviews),
    ]
    return facts_html(f"thread {thread.id}", facts)


def comparison_html(comparison: Comparison) -> str:
    """The arms of a comparison, the baseline first."""
    from unweave.lab.sweeps.comparison_record import comparison_digits

    digits = comparison_digits(comparison)

    def shown(value: float | None, sign: str = "") -> str:
        return "" if value is None or math.isnan(value) else f"{value:{sign}.{digits}f}"

    rows = [
        [
            row.arm.name,
            row.mean.n,
            shown(row.mean.mean),
            shown(row.difference.mean if row.difference else None, "+"),
            shown(row.floor),
            row.verdict,
        ]
        for row in comparison.rows
    ]
    caption = f"{comparison.measure.text} of {comparison.study}, {comparison.measure.better} is better"
    return rows_html(["arm", "seeds", "mean", "difference", "floor", "verdict"], rows, caption)
