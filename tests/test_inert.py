"""What a model or a file supplies stays text wherever it is written, and damaged files are a line and nothing else."""

from __future__ import annotations

import csv
import io
import json
import struct
from html.parser import HTMLParser

import pytest
from browser import browsing, chromium

from unweave.base.errors import UnweaveError
from unweave.base.files import file_hash
from unweave.cli.shared import grid
from unweave.decompose.decomposition import Decomposition
from unweave.record import Continuation, Run, Section, Table, bars, write_report

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "'=1",
    "''+x",
    '=HYPERLINK("http://evil.com")',
]
INNOCENT = ["a=b", "'quoted'", "", " =1", "1-2", "–", "'", "x\n=1"]
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "[click](javascript:alert(3))",
    "![x](http://evil.com/x.png)",
    "[x]: javascript:alert(4)",
    "[x][y]",
    "<javascript:alert(5)>",
    "a\u202eb",
    "\x1b]0;owned\x07\x1b[31m",
    "a | b\nc",
]


# 14: damaged decompositions


@pytest.fixture
def folder(llama, decomposed, tmp_path):
    decomposed(llama, "model.layers.1.mlp.down_proj").save(tmp_path / "one.decomp")
    return tmp_path / "one.decomp"


def rewritten(folder, content):
    """The tensors' file replaced, and its hash in the description with it, as somebody who means harm would."""
    (folder / "decomposition.safetensors").write_bytes(content)
    described = json.loads((folder / "decomposition.json").read_text())
    described["sha256"] = file_hash(folder / "decomposition.safetensors")
    (folder / "decomposition.json").write_text(json.dumps(described))
    return folder


def packed(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_f3_14_a_wrong_sha256_is_refused(folder):
    path = folder / "decomposition.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(UnweaveError, match="its sha256 is not the one in"):
        Decomposition.load(folder)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -4, -1])
def test_f3_14_a_truncated_file_is_refused_whatever_its_hash(folder, kept):
    content = (folder / "decomposition.safetensors").read_bytes()
    with pytest.raises(UnweaveError, match="is not valid safetensors") as caught:
        Decomposition.load(rewritten(folder, content[:kept]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 100_000_001])
def test_f3_14_a_header_longer_than_any_file_is_refused(folder, length):
    content = (folder / "decomposition.safetensors").read_bytes()
    with pytest.raises(UnweaveError, match="is not valid safetensors"):
        Decomposition.load(rewritten(folder, struct.pack("<Q", length) + content[8:]))


@pytest.mark.parametrize(
    "offsets",
    [[(0, 48), (40, 100)], [(0, 48), (0, 48)], [(0, 48), (48, 9999)], [(48, 0), (48, 108)], [(0, 48), (60, 120)]],
)
def test_f3_14_overlapping_or_impossible_offsets_are_refused(folder, offsets):
    shapes = ([4, 3], [3, 5])
    header = {
        f"h.0/{name}": {"dtype": "F32", "shape": shape, "data_offsets": list(span)}
        for name, shape, span in zip("VU", shapes, offsets, strict=True)
    }
    with pytest.raises(UnweaveError, match="is not valid safetensors"):
        Decomposition.load(rewritten(folder, packed(header, b"\0" * 120)))


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"h.0/V": 1},
        {"h.0/V": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
        {"h.0/V": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}},
    ],
)
def test_f3_14_a_header_that_makes_no_sense_is_refused(folder, header):
    with pytest.raises(UnweaveError):
        Decomposition.load(rewritten(folder, packed(header, b"\0" * 4)))


def test_f3_14_a_refused_file_leaves_nothing_behind(folder):
    before = sorted(path.name for path in folder.parent.rglob("*"))
    with pytest.raises(UnweaveError):
        Decomposition.load(rewritten(folder, b"\xff" * 64))
    assert sorted(path.name for path in folder.parent.rglob("*")) == before


# 16: tables


@pytest.mark.parametrize("text", FORMULAS)
def test_f3_16_a_csv_cell_is_no_formula_and_comes_back_as_it_was(tmp_path, text):
    table = Table("t", ("text", text), ((text, 1), ("x", 2)))
    table.save(tmp_path)
    (header, first, _) = csv.reader(io.StringIO(table.csv.decode(), newline=""))
    assert header[1] == first[0] == f"'{text}"
    assert Table.load(tmp_path, "t") == table


def test_innocent_cells_are_written_as_they_are_and_numbers_keep_their_sign():
    table = Table("t", ("text", "n"), tuple((text, -1) for text in INNOCENT))
    rows = list(csv.reader(io.StringIO(table.csv.decode(), newline="")))[1:]
    assert rows == [[text, "-1"] for text in INNOCENT]


@pytest.mark.parametrize("text", HOSTILE)
def test_f3_16_markdown_has_no_html_no_link_and_no_control_character(text):
    table = Table("t", ("text", f"u{text}"), ((text, 1),), {"text": text}, caption=text)
    written = table.to_markdown()
    for active in ("<script", "<img", "<java", "](", "][", "]:", "\u202e", "\x1b", "\x07"):
        assert active not in written.replace("\\<", "").replace("]\\", "")
    assert len(written.splitlines()) == 5


def test_markdown_of_intervals_and_names_stays_readable():
    written = Table("t", ("site", "interval"), (("h.0.mlp.down_proj:3", "[0.1, 0.2]"),)).to_markdown()
    assert "| h.0.mlp.down_proj:3 | [0.1, 0.2] |" in written


def test_f3_16_the_command_lines_grid_shows_hostile_cells_inertly():
    table = Table(
        "t", ("token", "count"), tuple((text, number) for number, text in enumerate(HOSTILE)), {"token": "\x1b[1m"}
    )
    lines = grid(table)
    assert len(lines) == len(HOSTILE) + 1
    assert not [line for line in lines if not line.isprintable()]
    assert "\\x1b]0;owned\\x07\\x1b[31m" in "\n".join(lines)
    assert len({line.rstrip().rfind(" ") for line in lines[1:]}) == 1


# 16 and 17: the exported report


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.handlers = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        addresses = {"href", "src", "action", "xlink:href", "style"}
        self.handlers += [value for name, value in attrs if name in addresses and "javascript:" in (value or "")]


@pytest.fixture
def report(tmp_path):
    every = " ".join(HOSTILE)
    run = Run.create("remove-language", {"language": every}, root=tmp_path)
    rows = tuple((text, float(number)) for number, text in enumerate(HOSTILE))
    run.save_table(Table("effects", ("method", "change"), rows, {"change": every}, every))
    run.draw("change", bars(run.load_table("effects"), "method", "change", title=every))
    said = Continuation(every, every, every, every, every, every)
    section = Section(every, [every], [(every, every)], ["change"], ["effects"], [said])
    return write_report(run, every, every, [section])


def test_f3_16_the_report_and_its_figures_hold_hostile_text_inertly(report):
    for path in (report, *(report.parent / "figures").glob("*.svg")):
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert not page.tags & {"script", "img", "iframe", "object", "embed", "form", "base", "link"}
        assert page.handlers == []
        assert not {"\u202e", "\x1b", "\x07"} & set(text)


@chromium
def test_f3_17_the_report_opens_from_its_file_and_asks_for_nothing_else(report):
    asked, said = [], []
    with browsing() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("console", lambda message: said.append(message.text))
        page.goto(report.as_uri())
        page.wait_for_load_state("networkidle")
        shown = page.inner_text("body")
    assert asked == [report.as_uri()]
    assert said == []
    assert "<script>alert(1)</script>" in shown
