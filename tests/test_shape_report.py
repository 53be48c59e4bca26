from __future__ import annotations

from unweave.studies.shape_report import most_undone


def test_the_dose_that_leaves_least_is_named_not_the_one_that_turns_the_change_round():
    changes = {-1.0: 1.6, 0.0: 0.8, 0.5: 0.5, 1.0: -0.1, 2.0: -0.9}
    rows = [{"dose": dose, "change": change, "undone": 1 - change / 0.8} for dose, change in changes.items()]
    assert most_undone(rows)["dose"] == 1.0
    assert most_undone([row for row in rows if row["dose"] in (0, 0.5)])["dose"] == 0.5
