from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from unweave.base.errors import UnweaveError
from unweave.record import Continuation, Headline, Run, Section, Table, audit_run, bars, write_report

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e&amp;`<i>`'
ROWS = ((HOSTILE, 7.2, 4), ("lora", -0.004, 12000), ("none", None, None))


class Page(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


@pytest.fixture
def run(tmp_path):
    run = Run.create("remove-language", {"language": HOSTILE, "tokens": 4}, root=tmp_path)
    table = Table("effects", ("method", "change", "tokens"), ROWS, {"change": "nats", "tokens": HOSTILE}, HOSTILE)
    run.save_table(table)
    run.draw("change", bars(table, "method", "change", title=HOSTILE))
    run.claim("LoRA moved it by {value} nats. " + HOSTILE, "effects", {"method": "lora"}, "change")
    return run


def write(run, **changes):
    section = Section(
        HOSTILE,
        paragraphs=[HOSTILE, "Run `unweave <x>` now."],
        facts=[(HOSTILE, HOSTILE)],
        figures=["change"],
        tables=["effects"],
        continuations=[Continuation(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)],
    )
    headlines = [Headline(HOSTILE, "effects", {"method": "lora"}, "change", 3, True, HOSTILE)]
    arguments = {"title": HOSTILE, "lead": HOSTILE, "sections": [section], "headlines": headlines}
    return write_report(run, **{**arguments, **changes}).read_text(encoding="utf-8")


def test_hostile_text_stays_text(run):
    page = write(run)
    elements = Page(page).elements
    tags = {tag for tag, _ in elements}
    assert tags.isdisjoint({"script", "img", "i", "link", "iframe", "object", "form", "base"})
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    assert "\u202e" not in page
    assert "<code>unweave &lt;x&gt;</code>" in page


def test_the_page_loads_nothing(run):
    page = write(run)
    policy = next(a["content"] for tag, a in Page(page).elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    addresses = [a.get(name) for _, a in Page(page).elements for name in ("href", "src", "action") if a.get(name)]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    assert re.findall(r"url\((?!#)", page) == []
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}


def test_the_page_shows_saved_values_and_what_the_audit_found(run):
    page = write(run)
    assert '<td class="number">7.200</td>' in page
    assert '<td class="number">12,000</td>' in page
    assert '<td class="number">–</td>' in page
    assert "<dd>−0.004 " in page
    assert "Everything agrees with the saved tables." in page
    assert 'class="alarm"' not in page
    assert "<b>Held</b>" in page
    assert run.load_table("effects").sha256 in page
    assert audit_run(run) == []


def test_a_difference_is_shown_at_the_head(run):
    path = run.path / "figures" / "change.svg"
    path.write_text(path.read_text(encoding="utf-8").replace(">7.200<", ">7.300<"), encoding="utf-8")
    page = write(run)
    assert "The audit found 1 difference</strong>" in page
    assert "prints &#x27;7.300&#x27; for row 0" in page
    assert "Everything agrees" not in page


def test_both_widths_of_a_figure_are_on_the_page_exactly_as_saved(run):
    page = write(run)
    for file in ("change.svg", "change.narrow.svg"):
        assert (run.path / "figures" / file).read_text(encoding="utf-8").strip() in page


def test_ids_are_unique(run):
    ids = [attributes["id"] for _, attributes in Page(write(run)).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sections": [Section("x", tables=["effect"])]}, "nearest: 'effects'"),
        ({"sections": [Section("x", figures=["chang"])]}, "has no figure 'chang'; nearest: 'change'"),
        ({"headlines": [Headline("x", "effects", {"method": "nobody"}, "change")]}, "0 rows of 'effects' match"),
        ({"headlines": [Headline("x", "effects", {"method": "lora"}, "chnge")]}, "nearest: 'change'"),
    ],
)
def test_refusals_name_what_is_wrong_and_leave_no_page(run, changes, words):
    with pytest.raises(UnweaveError, match=words):
        write(run, **changes)
    assert not (run.path / "report.html").exists()
