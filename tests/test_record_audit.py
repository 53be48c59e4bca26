from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unweave.record import Run, Section, Table, audit_figure, audit_run, bars, lines, scatter, write_report

METHODS, LANGUAGES = ("one factor", "LoRA rank 1", "ablation"), ("German", "English", "French")
VALUES = (0.93, 0.02, 0.004, 0.5, -0.21, 0.3, 0.7, 0.11, 0.06)
RECORDS = [
    {
        "method": m,
        "language": g,
        "change": VALUES[3 * i + j],
        "low": VALUES[3 * i + j] - 0.03,
        "high": VALUES[3 * i + j] + 0.05,
    }
    for i, m in enumerate(METHODS)
    for j, g in enumerate(LANGUAGES)
]
EFFECTS = Table.from_records("effects", RECORDS, units={"change": "nats"}, caption="Change on held-out text.")
SWEEP = Table.from_records(
    "sweep",
    [
        {"language": g, "factor": 1 - 0.25 * step, "change": (k + 1) * 0.1 * 1.3**step, "low": 0.05, "high": 9.0}
        for k, g in enumerate(LANGUAGES)
        for step in range(15)
    ],
)
BARS = bars(EFFECTS, "method", "change", "low", "high", "language", title="Effects", references=[("limit", 0.06)])
STANDING = bars(EFFECTS, "language", "change", "low", "high", "method", orientation="vertical", title="Effects")
POINTS = scatter(
    EFFECTS, "low", "change", "method", "language", y_low="low", y_high="high", connect=True, x_references=[("0", 0.0)]
)
LINES = lines(SWEEP, "factor", "change", "low", "high", "language", y_log=True, title="Sweep")
FIGURES = [(BARS, EFFECTS), (STANDING, EFFECTS), (POINTS, EFFECTS), (LINES, SWEEP)]


def moved(svg: str, pattern: str, attribute: str, distance: float, count: int = 0) -> str:
    """``svg`` with an attribute of every element that matches moved by ``distance``."""

    def move(element: re.Match[str]) -> str:
        return re.sub(
            rf' {attribute}="(-?[\d.]+)"', lambda one: f' {attribute}="{float(one[1]) + distance:.4f}"', element[0]
        )

    changed = re.sub(rf"<{pattern}[^>]*>", move, svg, count=count)
    assert changed != svg
    return changed


def scale_of(svg: str) -> float:
    """Coordinates per unit of the horizontal axis, from its first two ticks."""
    positions = [float(x) for x in re.findall(r'class="tick-label" x="([\d.]+)"', svg)]
    labels = [float(text.replace("−", "-")) for text in re.findall(r'class="tick-label"[^>]*>([^<]+)<', svg)]
    return (positions[1] - positions[0]) / (labels[1] - labels[0])


@pytest.mark.parametrize(("figure", "table"), FIGURES)
def test_an_honest_figure_passes_at_both_widths(figure, table):
    assert audit_figure(figure.svg, table, figure.spec) == []
    assert audit_figure(figure.narrow, table, figure.spec) == []


@pytest.mark.parametrize("svg", [BARS.svg, BARS.narrow])
def test_bars_shifted_by_a_hundredth_of_a_nat_are_seen(svg):
    nat = scale_of(svg)
    shifted = audit_figure(moved(svg, 'rect class="bar[^>]*data-row', "x", 0.01 * nat), EFFECTS, BARS.spec)
    assert len(shifted) == len(RECORDS)
    longer = audit_figure(moved(svg, 'rect class="bar[^>]*data-row', "width", 0.01 * nat), EFFECTS, BARS.spec)
    assert "draws 0 to 0.94" in re.sub(r"draws -?\d\.\d+e-\d+", "draws 0", longer[0])
    assert len(longer) == len(RECORDS)


def test_a_hundredth_is_seen_beside_a_long_bar():
    table = Table("t", ("m", "x"), (("a", 10.5), ("b", 0.03)))
    figure = bars(table, "m", "x")
    for svg in (figure.svg, figure.narrow):
        nat = scale_of(svg)
        assert (
            len(audit_figure(moved(svg, 'rect class="bar[^>]*data-row', "width", 0.01 * nat), table, figure.spec)) == 2
        )


def test_values_drawn_from_another_table_are_seen():
    other = Table.from_records(
        "effects", [{**one, "change": one["change"] + 0.01} for one in RECORDS], units={"change": "nats"}
    )
    svg = bars(other, "method", "change", "low", "high", "language", title="Effects", references=[("limit", 0.06)]).svg
    assert len([one for one in audit_figure(svg, EFFECTS, BARS.spec) if one.startswith("draws")]) >= len(RECORDS)


@pytest.mark.parametrize("wrong", [0, 1, 2, -1])
@pytest.mark.parametrize("figure", [BARS, STANDING])
def test_a_wrong_tick_label_is_seen(figure, wrong):
    labels = re.findall(r'class="tick-label"[^>]*>([^<]+)<', figure.svg)
    label = labels[wrong]
    svg = re.sub(rf'(class="tick-label"[^>]*>){re.escape(label)}<', r"\g<1>0.45<", figure.svg)
    assert any("'0.45'" in one for one in audit_figure(svg, EFFECTS, figure.spec))


def test_an_axis_that_is_wrong_throughout_is_seen():
    svg = re.sub(
        r'(class="tick-label"[^>]*>)([^<]+)<',
        lambda one: f"{one[1]}{float(one[2].replace('−', '-')) + 0.01:.2f}<",
        BARS.svg,
    )
    assert any("draws" in one for one in audit_figure(svg, EFFECTS, BARS.spec))


def test_a_moved_tick_is_seen():
    assert audit_figure(moved(BARS.svg, 'line class="tick"', "x1", 2.0, 1), EFFECTS, BARS.spec)
    assert audit_figure(moved(BARS.svg, 'text class="tick-label"', "x", 2.0, 1), EFFECTS, BARS.spec)


@pytest.mark.parametrize(
    ("figure", "pattern", "attribute", "distance"),
    [
        (BARS, 'line class="zero"', "x1", 1.0),
        (BARS, 'line class="reference"', "x2", 1.0),
        (BARS, 'text class="value"', "y", 17.0),
        (BARS, 'text class="interval"', "y", 17.0),
        (STANDING, 'rect class="bar[^>]*data-row', "height", 1.0),
        (STANDING, 'rect class="bar[^>]*data-row', "x", 230.0),
        (POINTS, 'circle class="point', "cx", 0.5),
        (POINTS, 'circle class="point', "cy", 0.5),
        (POINTS, 'line class="spread along', "y1", 0.5),
        (POINTS, 'line class="spread along', "x1", 0.5),
        (POINTS, 'text class="label', "y", 120.0),
        (POINTS, 'line class="reference"', "x1", 1.0),
        (LINES, 'circle class="point', "cy", 0.5),
    ],
)
def test_a_mark_out_of_its_place_is_seen(figure, pattern, attribute, distance):
    table = SWEEP if figure is LINES else EFFECTS
    assert audit_figure(moved(figure.svg, pattern, attribute, distance, 1), table, figure.spec)


@pytest.mark.parametrize("class_", ["whisker", "under", "curve s0", "band s1", "point s1 solid"])
def test_a_bent_path_is_seen(class_):
    figure = next(figure for figure in (BARS, LINES) if f'<path class="{class_}"' in figure.svg)
    svg = re.sub(
        rf'(<path class="{class_}" d="M)([\d.]+) ([\d.]+)',
        lambda one: f"{one[1]}{float(one[2]) + 6:.4f} {float(one[3]) + 6:.4f}",
        figure.svg,
        count=1,
    )
    assert svg != figure.svg
    assert audit_figure(svg, SWEEP if figure is LINES else EFFECTS, figure.spec)


@pytest.mark.parametrize(
    ("figure", "old", "new", "words"),
    [
        (BARS, ">0.930<", ">0.920<", "prints '0.920' for row 0"),
        (BARS, ">0.900 to 0.980<", ">0.900 to 0.990<", "prints the interval"),
        (BARS, ">LoRA rank 1<", ">LoRA rank 4<", "at the label 'LoRA rank 4'"),
        (BARS, ">English<", ">Englisch<", "has the legend"),
        (BARS, ">limit<", ">Limit<", "draws the reference"),
        (BARS, ">change (nats)<", ">change (bits)<", "axis labelled"),
        (BARS, ">Effects</tspan>", ">Affects</tspan>", "is titled"),
        (BARS, 'class="bar s1" x', 'class="bar s2" x', "the colour of another series"),
        (BARS, "-p1)", "-p2)", "the hatching of another series"),
        (BARS, 'data-row="0"', 'data-row="99"', "no row of the table asks for"),
        (STANDING, ">French<", ">Frisian<", "at the label 'Frisian'"),
        (POINTS, ">one factor<", ">two factors<", "labels row"),
        (POINTS, 'class="point s0', 'class="point s1', "the marker of another series"),
        (LINES, 'class="curve s1" d', 'class="curve s2" d', "curve"),
    ],
)
def test_wrong_words_and_colours_are_seen(figure, old, new, words):
    assert old in figure.svg
    found = audit_figure(figure.svg.replace(old, new), SWEEP if figure is LINES else EFFECTS, figure.spec)
    assert any(words in one for one in found), found


@pytest.mark.parametrize("figure", [BARS, STANDING])
def test_one_mark_in_the_colour_of_another_series_is_seen(figure):
    svg = re.sub(r'class="bar s1"( [^>]*-)p1(\)" data-row)', r'class="bar s2"\1p2\2', figure.svg, count=1)
    assert svg != figure.svg
    (found,) = audit_figure(svg, EFFECTS, figure.spec)
    assert found.endswith("in the colour of another series")


def test_a_mark_left_out_or_drawn_twice_is_seen():
    bar = re.search(r'<rect class="bar[^>]*data-row="4"/>', BARS.svg)
    assert bar
    assert "lacks the bar of row 4" in audit_figure(BARS.svg.replace(bar[0], ""), EFFECTS, BARS.spec)
    assert audit_figure(BARS.svg.replace(bar[0], bar[0] * 2), EFFECTS, BARS.spec)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<g class="axis x">', '<g class="axis x" transform="translate(4)">'),
        ('<rect class="bar', '<rect style="transform:translate(4px)" class="bar'),
        ("</style>", ".bar{transform:translate(4px)}</style>"),
        ("</style>", "</style><style>.bar{x:0}</style>"),
        ("</svg>", '<use href="#a"/></svg>'),
        ("</svg>", '<image href="data:,"/></svg>'),
        ('viewBox="0 0', 'viewBox="4 0'),
        ("<svg", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg"),
        ("</svg>", ""),
    ],
)
def test_what_could_move_a_mark_behind_the_audits_back_is_refused(old, new):
    assert old in BARS.svg
    assert len(audit_figure(BARS.svg.replace(old, new, 1), EFFECTS, BARS.spec)) == 1


amounts = st.one_of(st.none(), st.floats(-1e6, 1e6), st.floats(-1e-3, 1e-3), st.integers(-9, 9).map(float))


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=6), st.sampled_from(["horizontal", "vertical"]))
@example([(5e-324, None), (-1e-9, 1e-12)], "horizontal")
@example([(1e6, 1e-6), (1e6, 0.0)], "vertical")
@settings(max_examples=60, deadline=None)
def test_every_chart_of_bars_passes_its_audit(rows, orientation):
    if all(value is None for value, _ in rows):
        rows = [*rows, (1.0, None)]
    table = Table(
        "t",
        ("m", "x", "low", "high"),
        tuple(
            (f"m{k}", x, None if None in (x, d) else x - abs(d), None if None in (x, d) else x + abs(d))
            for k, (x, d) in enumerate(rows)
        ),
    )
    figure = bars(table, "m", "x", "low", "high", orientation=orientation)
    assert audit_figure(figure.svg, table, figure.spec) == []
    assert audit_figure(figure.narrow, table, figure.spec) == []


@given(
    st.lists(st.tuples(st.floats(1e-6, 1e6), st.floats(-1e4, 1e4), st.sampled_from("abc")), min_size=1, max_size=20),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_every_scatter_and_every_line_passes_its_audit(rows, x_log, connect):
    table = Table("t", ("x", "y", "g"), tuple(rows))
    for figure in (
        scatter(table, "x", "y", "g", "g", x_log=x_log, connect=connect),
        lines(table, "x", "y", group="g", x_log=x_log),
    ):
        assert audit_figure(figure.svg, table, figure.spec) == []
        assert audit_figure(figure.narrow, table, figure.spec) == []


@pytest.fixture
def run(tmp_path):
    run = Run.create("s", {}, root=tmp_path)
    run.save_table(EFFECTS)
    run.save_table(SWEEP)
    for name, figure in (("effects", BARS), ("standing", STANDING), ("points", POINTS), ("sweep", LINES)):
        run.draw(name, figure)
    run.claim("German rose by {value}.", "effects", {"method": "one factor", "language": "German"}, "change")
    write_report(run, "Title", "Lead", [Section("All", figures=run.figures(), tables=["effects"])])
    return run


def replace_in(path, old, new):
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new), encoding="utf-8")


def test_an_honest_run_passes(run):
    assert audit_run(run) == []


@pytest.mark.parametrize("file", ["effects.svg", "effects.narrow.svg"])
def test_the_audit_of_a_run_covers_every_saved_drawing(run, file):
    replace_in(run.path / "figures" / file, ">0.930<", ">0.920<")
    found = {one.where for one in audit_run(run)}
    assert found == {"figure effects", "report"}


def test_the_audit_of_a_run_covers_claims_tables_and_the_report(run):
    replace_in(run.path / "claims.json", "0.930", "0.931")
    assert [str(one).partition(":")[0] for one in audit_run(run)] == ["claim 'German rose by 0.931.'", "report"]
    replace_in(run.path / "claims.json", "0.931", "0.930")
    replace_in(run.path / "report.html", ">0.930</td>", ">0.931</td>")
    assert [str(one) for one in audit_run(run)] == ["report: shows other values than table 'effects'"]
    replace_in(run.path / "report.html", ">0.931</td>", ">0.930</td>")
    replace_in(run.path / "tables" / "sweep.csv", "0.1,", "0.2,")
    assert {one.where for one in audit_run(run)} == {"table sweep", "figure sweep"}


def test_a_damaged_or_stray_figure_is_listed_not_raised(run):
    specification = run.path / "figures" / "points.json"
    described = json.loads(specification.read_text())
    described["options"].pop("connect")
    specification.write_text(json.dumps(described))
    (run.path / "figures" / "effects.svg").unlink()
    (run.path / "figures" / "stray.svg").write_text("<svg/>")
    (run.path / "claims.json").write_text("[1]")
    assert {one.where for one in audit_run(run)} == {
        "figure points",
        "figure effects",
        "figure stray",
        "claims",
        "report",
    }
