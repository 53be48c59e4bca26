"""What notebooks show: every text of others is only text there, and nothing is fetched or run."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from serving import HOSTILE
from small_lab import add_run, make_lab

from unweave.lab.sweeps.comparison import compare
from unweave.lab.sweeps.measure import Measure
from unweave.lab.threads.events import Conclusion, Note, Tried
from unweave.record import Run, Table, check_claims

ALLOWED = {"p", "b", "table", "caption", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {
    ("scope", "col"),
    ("scope", "row"),
    ("dir", "auto"),
    ("style", "text-align:right"),
    ("style", "text-align:left"),
}


class Reader(HTMLParser):
    """Every tag, attribute and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= set(attrs)

    def handle_data(self, data):
        self.text.append(data)


def inert(html):
    """The page's texts; it must hold nothing but tables of text."""
    read = Reader(html)
    assert read.tags <= ALLOWED
    assert read.attributes <= ATTRIBUTES
    assert not set(html) & set("\u202e\x1b\u2066\x07")
    return " ".join(read.text)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = make_lab(tmp_path_factory.mktemp("lab") / "runs")
    yield made
    made.close()


@pytest.fixture(scope="module")
def hostile(lab):
    """A lab whose every text is an attack."""
    run = Run.create("measure-word", {HOSTILE: HOSTILE}, lab.root, "hostile")
    table = Table("summary", ("seed", HOSTILE), ((0, HOSTILE), (1, "=1+1")), units={HOSTILE: HOSTILE}, caption=HOSTILE)
    run.save_table(table)
    run.claim(f"{HOSTILE} is {{value}}", "summary", {HOSTILE: "=1+1"}, "seed")
    run.finish("finished", HOSTILE)
    thread = lab.threads.create(HOSTILE, context=HOSTILE, id="hostile")
    lab.threads.add("hostile", Note(HOSTILE))
    lab.threads.add("hostile", Tried(HOSTILE, HOSTILE))
    lab.runs.sync()
    return run, table, lab.threads.get(thread.id)


def test_f3_16_reprs_hold_others_text_inertly(lab, hostile):
    run, table, thread = hostile
    for shown in (run, run.claims(), check_claims(run), table, thread, lab.runs.list(text="hostile"), lab.runs.list()):
        assert "</script>" in inert(shown._repr_html_()) or "hostile" in shown._repr_html_()
    assert HOSTILE[:20] in inert(table._repr_html_())
    inert(lab._repr_html_())


def test_a_run_shows_its_facts_and_its_claims(lab):
    text = inert(lab.runs.open("first")._repr_html_())
    for part in (
        "run first",
        "measure-word",
        "finished",
        "word=first",
        "summary",
        "levels",
        "Seed 1 reached 0.333 nats.",
    ):
        assert part in text


def test_a_table_shows_its_first_rows_with_units_and_digits():
    table = Table("many", ("a", "b"), tuple((row, row / 7) for row in range(1000)), {"b": "nats"}, "Many", {"b": 1})
    html = table._repr_html_()
    assert "Many a b (nats) 0 0.0 1 0.1" in " ".join(inert(html).split())
    assert html.count("<tr>") == 21
    assert "and 980 more" in html
    assert len(html) < 5_000


def test_claims_show_where_they_stand_and_their_verdicts(lab):
    run = lab.runs.open("first")
    assert "summary, level" in inert(run.claims()._repr_html_())
    assert "held" in inert(check_claims(run)._repr_html_())
    assert "no claims" in inert(type(run.claims())()._repr_html_())


def test_a_page_a_thread_a_lab_and_a_comparison(lab):
    page = lab.runs.list(limit=1)
    assert "more" in inert(page._repr_html_())
    lab.threads.add("words", Conclusion("It went.", (("first", 0),)))
    text = inert(lab.threads.get("words")._repr_html_())
    for part in ("Does a word go?", "It goes. If it holds: the level falls", "first (confirm)", "It went."):
        assert part in text
    assert "threads" in inert(lab._repr_html_())
    add_run(lab, "third", rows=6)
    compared = compare(lab, ["first", "second", "third"], Measure("level", "summary"), by=["word"])
    text = inert(compared._repr_html_())
    assert "word=second" in text
    assert "baseline" in text


def test_a_damaged_run_shows_that_it_is(lab, tmp_path):
    run = Run.create("measure-word", {}, tmp_path, "broken")
    (run.path / "run.json").write_text("[]")
    assert "damaged" in inert(run._repr_html_())
