from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from browser import browsing, chromium
from lab_places import ANN, BOB, CARL, small_lab

from unweave.base.errors import UnweaveError
from unweave.lab.static_copy import markdown_html, static_copy
from unweave.lab.threads import Approval, Conclusion, Hypothesis, Link, Note, Plan, Review, ThreadRun, Tried
from unweave.record import Run, Table, bars

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "[click](javascript:alert(3))",
    "![x](http://example.invalid/x.png)",
    "[x]: javascript:alert(4)",
    "<javascript:alert(5)>",
    '" onmouseover="alert(6)',
    "a\u202eb",
    "\x1b]0;owned\x07\x1b[31m",
    "a | b\nc",
)
EVERY = " ".join(HOSTILE)
MALICIOUS_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="alert(10)">'
    '<script>alert(11)</script><image href="http://example.invalid/x.png"/><a xlink:href="javascript:alert(12)">'
    "<text>x</text></a><desc><![CDATA[</desc></svg><script>alert(13)</script>]]></desc></svg>"
)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self._skipped = set(), [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self._skipped = tag == "style"

    def handle_endtag(self, tag):
        self._skipped = False

    def handle_data(self, data):
        self.text += "" if self._skipped else data

    @property
    def addresses(self):
        return [value for name, value in self.attributes if name in ("href", "src", "action", "xlink:href", "srcset")]


@pytest.fixture
def lab(tmp_path):
    with small_lab(tmp_path, first=0.98) as lab:
        yield lab


@pytest.fixture
def thread(lab):
    """A thread in which every text is hostile."""
    with Run.create("remove-language", {"language": EVERY}, root=lab.root, name="hostile") as run:
        rows = tuple((text, float(number)) for number, text in enumerate(HOSTILE))
        run.save_table(Table("effects", ("method", "change"), rows, {"change": EVERY}, EVERY))
        run.draw("change", bars(run.load_table("effects"), "method", "change", title=EVERY))
        run.claim(f"{EVERY} It is {{value}}.", "effects", {"method": HOSTILE[1]}, "change")
    other = lab.threads.create(EVERY, by=ANN, id="other").id
    id = lab.threads.create(EVERY, context=EVERY, by=ANN, id="thread").id
    lab.threads.add(id, Hypothesis(EVERY, EVERY, "<b>"), CARL)
    lab.threads.add(id, Plan({EVERY: [EVERY, {"</script>": 1}]}), CARL)
    lab.threads.add(id, Approval(lab.threads.get(id).plan.sha256, EVERY), BOB)
    for run in ("first", "hostile"):
        lab.threads.add(id, ThreadRun(run, "screen", "<i>"), CARL)
    lab.threads.add(id, Note(EVERY), CARL)
    lab.threads.add(id, Tried(EVERY, EVERY), CARL)
    lab.threads.add(id, Conclusion("Seed 0 is at {{first#0}} ln V, <b>bold</b>.", (("first", 0),)), CARL)
    lab.threads.add(id, Review("revise", EVERY), BOB)
    lab.threads.add(other, Link("contradicts", id, EVERY), CARL)
    return id


def test_a_run_has_its_claims_with_verdicts_its_tables_figures_and_settings(lab, tmp_path):
    path = static_copy(lab, "first", tmp_path / "first.html")
    page = Page(path.read_text())
    assert "finds the run valid" in page.text
    assert "Seed 0 leaves German at 0.970 ln V." in page.text
    assert page.text.count("Held") == 3
    assert "0.970" in page.text
    assert '"language": "de"' in page.text
    assert lab.runs.open("first").load_table("seeds").sha256 in page.text
    assert len([src for src in page.addresses if src.startswith("data:image/svg+xml;base64,")]) == 2
    with pytest.raises(UnweaveError, match="already exists"):
        static_copy(lab, "first", path)
    assert static_copy(lab, "first", tmp_path / "folder") == tmp_path / "folder" / "index.html"
    with pytest.raises(UnweaveError, match=r"no run or thread 'frist'.*nearest: 'first'"):
        static_copy(lab, "frist", tmp_path / "x.html")


def test_f3_30_a_changed_run_says_so_on_its_page(lab, tmp_path):
    lab.runs.sync()
    table = lab.root / "first" / "tables" / "seeds.csv"
    table.write_text(table.read_text().replace("0.98", "0.99"))
    page = Page(static_copy(lab, "first", tmp_path / "first.html").read_text())
    assert "finds the run invalid" in page.text
    assert "tables/seeds.csv was changed" in page.text
    assert "Table seeds cannot be shown" in page.text


def test_a_thread_has_all_that_was_said_and_its_runs(lab, thread, tmp_path):
    page = Page(static_copy(lab, thread, tmp_path / "thread.html").read_text())
    for heading in (
        "Conclusions", "What was expected", "Plans", "Runs", "Tried, and failed", "Notes", "Reviews", "Other threads",
        "History", "Run first", "Run hostile",
    ):  # fmt: skip
        assert heading in page.text
    assert "Seed 0 is at 0.970 ln V, <b>bold</b>." in page.text
    assert "approved by bob" in page.text
    assert "other contradicts this thread" in page.text
    assert lab.threads.get(thread).head in page.text


def test_f3_16_hostile_text_of_a_thread_and_its_runs_stays_text(lab, thread, tmp_path):
    text = static_copy(lab, thread, tmp_path / "thread.html").read_text()
    page = Page(text)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'" in text
    assert not page.tags & {"script", "iframe", "object", "embed", "form", "base", "link", "b>", "svg", "input", "i"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(re.match(r"#|data:image/svg\+xml;base64,|https?://", address) for address in page.addresses)
    assert not {"\u202e", "\x1b", "\x07", "\0"} & set(text)
    for each in HOSTILE[:7]:
        assert each in page.text


@chromium
def test_f3_17_the_copy_opens_from_its_file_and_asks_for_nothing_else(lab, thread, tmp_path):
    figures = lab.root / "hostile" / "figures"
    for name in ("change.svg", "change.narrow.svg"):
        (figures / name).write_text(MALICIOUS_SVG)
    path = static_copy(lab, thread, tmp_path / "thread.html")
    asked, said = [], []
    with browsing() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("console", lambda message: said.append(message.text))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        drawn = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        shown = page.inner_text("body")
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert said == []
    assert wide <= 0
    assert max(drawn) > 300
    assert "<script>alert(1)</script>" in shown


def test_a_figure_that_is_gone_or_damaged_is_said(lab, tmp_path):
    figures = lab.root / "first" / "figures"
    (figures / "levels.svg").unlink()
    (figures / "levels.svg").symlink_to("/etc/passwd")
    page = Page(static_copy(lab, "first", tmp_path / "first.html").read_text())
    assert "Figure levels cannot be shown" in page.text
    assert "root:" not in page.text


def test_a_long_table_is_cut_and_says_so(lab, tmp_path):
    with Run.create("s", {}, root=lab.root, name="long") as run:
        run.save_table(Table.from_records("many", [{"x": number} for number in range(501)], caption="Many."))
    page = Page(static_copy(lab, "long", tmp_path / "long.html").read_text())
    assert "Many. The first 500 rows of 501" in page.text


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one\ntwo</p>\n<p>three</p>\n"),
        ("# A\n### B", "<h4>A</h4>\n<h6>B</h6>\n"),
        ("- a\n- b *c*\n  more", "<ul><li>a</li><li>b <em>c</em>\nmore</li></ul>\n"),
        ("1. a\n2) b", "<ol><li>a</li><li>b</li></ol>\n"),
        ("- a\n1. b", "<ul><li>a</li></ul>\n<ol><li>b</li></ol>\n"),
        ("> so it is", "<blockquote><p>so it is</p></blockquote>\n"),
        ("```py\n<b>*x*\n```\nafter", "<pre><code>&lt;b&gt;*x*</code></pre>\n<p>after</p>\n"),
        ("```\nopen", "<pre><code>open</code></pre>\n"),
        ("a `<b>` and **b** c", "<p>a <code>&lt;b&gt;</code> and <strong>b</strong> c</p>\n"),
        ("2 * 3 * 4, snake_case_name", "<p>2 * 3 * 4, snake_case_name</p>\n"),
        (
            "[here](https://a.b/c?d=1&e)",
            '<p><a href="https://a.b/c?d=1&amp;e" rel="noopener noreferrer nofollow">here</a> (https://a.b/c?d=1&amp;e)</p>\n',
        ),
        ("", ""),
    ],
)
def test_the_signs_that_markdown_has_here(text, html):
    assert markdown_html(text) == html


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE,
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](java\tscript:alert(1))",
        "[a](data:text/html,<script>alert(1)</script>)",
        "[a](vbscript:x)",
        "[a](//evil.invalid)",
        "[a](file:///etc/passwd)",
        '[a](https://a.b/" onclick="alert(1))',
        "[a](https://a.b/' onclick='alert(1))",
        '[a"onmouseover=alert(1)](https://a.b)',
        "![x](https://a.b/x.png)",
        "<https://a.b>",
        "[a][b]\n\n[b]: javascript:alert(1)",
        "**<img src=x onerror=alert(1)>**",
        "# <script>alert(1)</script>",
        "- <svg/onload=alert(1)>",
        "```</code></pre><script>alert(1)</script>\n```",
        "`</code><script>alert(1)</script>`",
        "*a **b* c**",
    ],
)
def test_f3_16_markdown_has_no_html_and_no_other_address(text):
    page = Page(markdown_html(text))
    allowed = {"p", "ul", "ol", "li", "em", "strong", "code", "pre", "blockquote", "a", "h4", "h5", "h6"}
    assert page.tags <= allowed
    assert {name for name, _ in page.attributes} <= {"href", "rel"}
    assert all(re.fullmatch(r"https?://[^\s\"'<>]+", address) for address in page.addresses)


def test_markdown_takes_no_longer_than_its_length():
    for piece in ("[", "*a", "**", "`", "[a](", "[a](https://", "- ", "> ", "#", "```\n", "1. ", "\n", "[]("):
        started = time.monotonic()
        markdown_html(piece * (200_000 // len(piece)))
        assert time.monotonic() - started < 3, piece
