from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from unweave.base.errors import UnweaveError
from unweave.record import Figure, FigureSpec, Table, audit_figure, bars, lines, scatter
from unweave.record.figure import marker_path
from unweave.record.svg import clean, shorten, text_width, wrap

ROWS = (
    ("factor", "de", 7.2, 7.0, 7.4),
    ("factor", "en", -0.004, -0.02, 0.01),
    ("lora", "de", None, None, None),
    ("lora", "en", 0.3, 0.2, 0.45),
)
TABLE = Table("effects", ("method", "language", "change", "low", "high"), ROWS, {"change": "nats"}, "Held-out text.")


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - drawn in this test


def texts(svg: str, class_: str) -> list[str]:
    root = parse(svg)
    return ["".join(one.itertext()) for one in root.iter() if class_ in one.get("class", "").split()]


def both(figure: Figure) -> tuple[str, str]:
    return figure.svg, figure.narrow


def test_a_figure_is_accessible_scalable_and_carries_its_text_as_text():
    for svg in both(bars(TABLE, "method", "change", "low", "high", "language", title="German <removed>")):
        root = parse(svg)
        assert root.get("role") == "img"
        title, description = root[0], root[1]
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.text == "German <removed>"
        assert "table effects" in (description.text or "")
        assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
        assert texts(svg, "axis-label") == ["change (nats)"]
        assert texts(svg, "key-label") == ["de", "en"]
        assert "prefers-color-scheme:dark" in svg


def test_a_missing_value_is_printed_and_draws_no_bar():
    svg = bars(TABLE, "method", "change", "low", "high", "language", signed=True).svg
    assert sorted(texts(svg, "value")) == sorted(["+7.200", "−0.004", "–", "+0.300"])
    assert len(re.findall(r'<rect class="bar[^>]*data-row', svg)) == 3


def test_series_differ_without_colour():
    table = Table("t", ("g", "m", "x"), tuple((f"g{i}", "m", 1.0 + i) for i in range(16)))
    svg = bars(table, "m", "x", group="g").svg
    patterns = re.findall(r'<pattern id="[^"]*-p(\d+)"[^>]*>(.*?)</pattern>', svg)
    drawn = [re.sub(r'class="s\d+"', "", content) for _, content in patterns]
    assert len(set(drawn)) == len(drawn) == 15
    shapes = {marker_path(series, 0, 0, 4) for series in range(1, 8)}
    assert len(shapes) == 7
    with pytest.raises(UnweaveError, match="17 series in column 'g'"):
        bars(Table("t", ("g", "m", "x"), tuple((f"g{i}", "m", 1.0) for i in range(17))), "m", "x", group="g")


def test_marker_corners_have_their_mean_at_the_point():
    for series in range(1, 8):
        corners = [tuple(map(float, pair.split())) for pair in marker_path(series, 30, 40, 5)[1:-1].split("L")]
        assert sum(x for x, _ in corners) / len(corners) == pytest.approx(30, abs=1e-3)
        assert sum(y for _, y in corners) / len(corners) == pytest.approx(40, abs=1e-3)


def test_drawing_is_the_same_every_time():
    assert bars(TABLE, "method", "change", where={"language": "en"}) == bars(
        TABLE, "method", "change", where={"language": "en"}
    )


def test_specification_survives_json():
    figure = scatter(TABLE, "low", "change", "method", "language", x_references=[("limit", 0.06)])
    assert FigureSpec.from_json(figure.spec.to_json()) == figure.spec
    with pytest.raises(UnweaveError, match="not a figure's specification"):
        FigureSpec.from_json({"kind": "bars"})


HOSTILE = "<script>alert(1)</script>&\"'\u202e\x00\x1b]]>\ud800" + "W" * 400


def test_hostile_text_stays_text_and_inside_the_drawing():
    safe = HOSTILE.replace("\ud800", "")
    table = Table("t", (safe, "x", "y"), ((safe, 1.0, 2.0), ("b" * 300, 2.0, 3.0)), {"x": safe}, safe)
    figures = [
        bars(table, safe, "x", title=HOSTILE, references=[(HOSTILE, 1.5)]),
        bars(table, safe, "x", group=safe, orientation="vertical", title=HOSTILE),
        scatter(table, "x", "y", safe, safe, title=HOSTILE, x_label=HOSTILE),
        lines(table, "x", "y", group=safe, title=HOSTILE),
    ]
    for figure in figures:
        for svg in both(figure):
            root = parse(svg)
            assert {one.tag.rpartition("}")[2] for one in root.iter()}.isdisjoint({"script"})
            assert "\u202e" not in svg
            assert "\x1b" not in svg
            assert audit_figure(svg, table, figure.spec) == []


def test_text_is_wrapped_and_cut_to_its_width():
    assert wrap("a few words that need lines", 60, 12, most=3)[0] == "a few"
    cut = wrap("x" * 100, 60)
    assert cut[0].endswith("…")
    assert text_width(cut[0]) <= 60
    assert shorten("short", 100) == "short"
    assert clean("a\x00b\u202ec\ufffe") == "a\ufffdb\ufffdc\ufffd"


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: bars(TABLE, "metod", "change"), "nearest: 'method'"),
        (lambda: bars(TABLE, "method", "language"), "holds text: value needs numbers"),
        (lambda: bars(TABLE, "method", "change", "low"), "only one of low and high"),
        (lambda: bars(TABLE, "method", "change"), "would draw one bar"),
        (lambda: bars(TABLE, "method", "change", where={"language": "fr"}), "no row of table 'effects' matches"),
        (lambda: bars(TABLE, "method", "change", group="language", orientation="up"), "orientation 'up'"),
        (lambda: bars(TABLE, "method", "change", where={"method": "lora", "language": "de"}), "no value to draw"),
        (lambda: scatter(TABLE, "change", "high", x_log=True), "logarithmic axis cannot show"),
    ],
)
def test_refusals_name_what_is_wrong(draw, words):
    with pytest.raises(UnweaveError, match=words):
        draw()
