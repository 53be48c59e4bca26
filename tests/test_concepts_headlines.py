from __future__ import annotations

from unweave.studies.concept_headlines import headlines


def row(concept, score, mean, null, p):
    return {"concept": concept, "score": score, "mean": mean, "null 95 %": null, "adjusted p": p}


NUMBERS = row("numbers", "distance r", 0.78, 0.21, 0.01)
YEARS = row("years", "distance r", 0.75, 0.13, 0.01)
DAYS = [
    row("weekdays", "distance r", 0.99, 0.1, 0.01),
    row("weekdays", "ring score", 0.5, 0.6, 0.46),
    row("weekdays", "ring r", 0.92, 0.42, 0.01),
]
MONTHS = [row("months", "ring r", 0.95, 0.26, 0.01), row("months", "ring score", 0.9, 0.6, 0.02)]
LETTERS = row("letters", "distance r", 0.23, 0.22, 0.12)


def shown(rows):
    return [(each.row["concept"], each.row["score"]) for each in headlines(rows)]


def test_rings_of_days_and_months_come_first_then_what_is_farthest_above_its_null():
    assert shown([NUMBERS, LETTERS, YEARS, *MONTHS, *DAYS]) == [
        ("weekdays", "ring r"),
        ("months", "ring r"),
        ("years", "distance r"),
        ("numbers", "distance r"),
    ]
    days, months, years, _ = headlines([NUMBERS, LETTERS, YEARS, *MONTHS, *DAYS])
    assert days.note == "null 95 %: 0.42, p 0.01 (Holm); that it is a ring is not told, p 0.46"
    assert months.note == "null 95 %: 0.26, p 0.01 (Holm)"
    assert (years.table, years.column) == ("summary", "mean")
    assert years.label == "distances of years follow the known ones, r"


def test_what_is_not_told_from_its_null_is_left_out_or_says_so():
    assert shown([LETTERS, NUMBERS]) == [("numbers", "distance r")]
    (alone,) = headlines([LETTERS])
    assert alone.note == "not told from its null: null 95 %: 0.22, p 0.12 (Holm)"
    # Published rings are told of even where they are not found, and after the one that is.
    lost = row("weekdays", "ring r", 0.3, 0.42, 0.3)
    assert shown([lost, NUMBERS, *MONTHS]) == [("months", "ring r"), ("weekdays", "ring r"), ("numbers", "distance r")]
    assert headlines([lost, *MONTHS])[1].note.startswith("not told from its null")
    # A small p of one split's kind is not enough where the mean is below what the null reaches.
    assert headlines([row("odd", "distance r", 0.1, 0.2, 0.04)])[0].note.startswith("not told")


def test_a_concept_has_one_headline_and_there_are_six_at_most():
    rows = [row(f"c{place}", "distance r", 0.9 - place / 20, 0.1, 0.01) for place in range(9)]
    assert shown([*rows, row("c0", "ring r", 0.7, 0.1, 0.01)]) == [(f"c{place}", "distance r") for place in range(6)]
    assert headlines([row("c", "loop", 0.9, 0.1, 0.01), row("d", "distance r", 0.9, None, 0.01)]) == []
