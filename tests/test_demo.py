from __future__ import annotations

from unweave.record.table import Table
from unweave.studies.demo import changes_lines, continuation_lines


def test_changes_are_a_row_a_method_with_the_removed_label_before_and_after():
    rows = [
        {"method": method, "label": label, "base": base, "change": change}
        for method, changes in (("factor", (6.1, -0.0012)), ("lora-1-here", (2.25, 1.5)))
        for label, base, change in (("de", 4.7, changes[0]), ("en", 3.5, changes[1]))
    ]
    lines = changes_lines(Table.from_records("effects", rows), "de")
    assert lines[1].split() == ["method", "de", "before,", "after", "en"]
    assert lines[2].split() == ["factor", "4.70,", "10.80", "-0.001"]
    assert lines[3].split() == ["lora-1-here", "4.70,", "6.95", "+1.500"]
    assert len({len(line) for line in lines[1:]}) == 1, "columns stand under their headings"


def test_one_continuation_a_language_on_one_line_each():
    rows = [
        {
            "label": label,
            "prompt": f"Und er\nsprach {number}",
            "before": "zu ihnen:\n  Gehet",
            "after": "x" * 200,
            "verdict_before": label,
            "verdict_after": "en",
        }
        for label in ("de", "fr")
        for number in range(2)
    ]
    lines = continuation_lines(Table.from_records("continuations", rows))
    assert lines[1:4] == ["de  …Und er sprach 0", "    before [de] zu ihnen: Gehet", f"    after  [en] {'x' * 90}"]
    assert len(lines) == 7
