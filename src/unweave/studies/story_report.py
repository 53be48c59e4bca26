"""What ``story-arc`` writes last: figures drawn from its tables, claims bound to them, scenes and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.studies.story_steering import DIFFERENCE, PROBE
from unweave.studies.story_tables import TESTED, VADER, VALENCE, own_arcs

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.record.report import Headline
    from unweave.record.run import Run
    from unweave.studies.story_arc import StoryArc
    from unweave.studies.story_reading import Read

GOAL = 0.7
"""The correlation with gold that was aimed at."""


def write_stories(run: Run, config: StoryArc, read: Read) -> Path:
    """Draws, claims, writes ``scenes.json``, ``stories.html`` and the report; returns the report's path."""
    from unweave.record.report import write_report
    from unweave.shapes.stories.export import STORIES_FILE, save_story_page
    from unweave.shapes.stories.scene import SCENES, scenes_from_run

    figures = _draw(run, config)
    _claim(run, config)
    scenes = scenes_from_run(run)
    scenes.save(run.path / SCENES)
    save_story_page(scenes, run.path / STORIES_FILE)
    name = read.target.name
    if config.has_text and read.own is not None:
        title = f"The arc of {read.own.stories[0].title}"
        arc = own_arcs(read, config.readouts[0])[read.own.stories[0].id]
        how = "as was given" if config.protagonist else "the name that the text uses most"
        lead = f"Read by {name}, {len(read.own)} sentences, asked about {_own_name(read)} after each ({how})."
        if arc is not None:
            lead += f" Of the six arcs its valence is nearest to {arc}; how near is not tested."
    else:
        title = f"How stories move through {name}"
        lead = (
            f"{len(read.readings.stories)} stories read sentence by sentence, {read.tokens} tokens; "
            f"{len(read.tested(config).stories)} of them tested."
        )
    lead += f" `{STORIES_FILE}`, beside this report, plays them in a browser without a server."
    run.progress.say(f"{run.path / STORIES_FILE}: the stories, played in a browser without a server")
    return write_report(run, title, lead, _sections(run, config, figures), _headlines(run, config))


def _own_name(read: Read) -> str:
    return read.own.stories[0].protagonist if read.own is not None else ""


def _sections(run: Run, config: StoryArc, figures: list[str]) -> list[Any]:
    from unweave.record.report import Section

    tables = set(run.tables())

    def section(heading: str, *paragraphs: str, drawn: tuple[str, ...] = (), shown: tuple[str, ...] = ()) -> Section:
        return Section(
            heading,
            paragraphs=paragraphs,
            figures=[each for each in drawn if each in figures],
            tables=[each for each in shown if each in tables],
        )

    main = config.readouts[0]
    found = [
        section(
            "What is read",
            f"After every sentence the target is asked for six emotions; {main} is what the rest of this report uses.",
            run.load_table("sentences").caption,
            drawn=("valence",),
            shown=("readouts",),
        ),
        section(
            "Against gold",
            "The gold is what the sentences were written to do, by one hand, no reader's ratings. VADER reads words.",
            *_verdicts(run, config),
            drawn=("agreement",),
            shown=("agreement",),
        ),
        section("Read off the states", drawn=("probe-layers",), shown=("probes",)),
        section("Arcs", drawn=("recognition",), shown=("recognition",)),
        section("Order", shown=("order",)),
        section("Distances and shape", drawn=("distance-layers",), shown=("distances", "curvature", "preservation")),
        section(
            "Steering",
            "Vectors from the calibration's stories, added over several depths at once, measured on tested stories.",
            *_steered(run),
            drawn=("steering", "off-target"),
            shown=("steering-scores", "off-target", "entanglement"),
        ),
    ]
    return [each for each in found if each.figures or each.tables]


def _verdicts(run: Run, config: StoryArc) -> list[str]:
    """Whether each readout reaches what was aimed at, and whether it says anything, by its interval."""
    if "agreement" not in run.tables():
        return []
    found = []
    for row in run.load_table("agreement").records():
        name, r, low = row["readout"], row["r"], row["low"]
        if row["part"] != TESTED or row["quantity"] != VALENCE or name not in config.readouts or r is None:
            continue
        if float(str(low)) <= 0:
            said = "says nothing of the gold that its interval tells from 0."
        elif float(str(r)) < GOAL:
            said = f"goes with the gold, and does not reach the r of {GOAL:g} that was aimed at."
        else:
            said = f"reaches the r of {GOAL:g} that was aimed at."
        found.append(f"On tested stories {name} {said}")
        if float(str(row["above low"])) <= 0:
            found.append("Its lead over VADER, if there is one, is within what the choice of stories can make.")
    return found


def _steered(run: Run) -> list[str]:
    """Which directions do what random vectors do."""
    rows = run.load_table("steering-scores").records() if "steering-scores" in run.tables() else []
    weak = [
        f"{row['direction']} by {row['way']}"
        for row in rows
        if float(str(row["slope"])) <= float(str(row["random largest"])) or float(str(row["low"])) <= 0
    ]
    if not weak:
        return []
    return [f"No more than some random vector moves it, or not surely upward: {', '.join(weak)}."]


def _draw(run: Run, config: StoryArc) -> list[str]:
    from unweave.record.bar_chart import bars
    from unweave.record.curves import lines
    from unweave.record.table import Table

    tables, main, drawn = set(run.tables()), config.readouts[0], []

    def draw(name: str, figure: Any) -> None:
        run.draw(name, figure)
        drawn.append(name)

    sentences = run.load_table("sentences")
    first = str(sentences.rows[0][sentences.index("story")])
    story = [row for row in sentences.records() if row["story"] == first]
    records = [
        {"sentence": row["sentence"], "read by": who, "valence": row[column]}
        for who, column in ((main, f"{main} valence"), ("gold", "gold valence"), (VADER, VADER))
        for row in story
        if row[column] is not None
    ]
    table = Table.from_records("first-story", records, digits={"valence": 2})
    run.save_table(table)
    title = f"Valence after each sentence of {story[0]['title']}"
    draw("valence", lines(table, "sentence", "valence", group="read by", title=title, y_label="valence, -1 to 1"))
    if "agreement" in tables:
        agreed = run.load_table("agreement")
        where = {
            "quantity": VALENCE,
            "part": list(dict.fromkeys(row["part"] for row in agreed.records() if row["r"] is not None)),
        }
        if agreed.find(where):
            draw(
                "agreement",
                bars(
                    agreed,
                    "part",
                    "r",
                    "low",
                    "high",
                    group="readout",
                    where=where,
                    title="Valence against gold",
                    caption="Pearson's r over sentences, with intervals over stories.",
                    value_label="r",
                    references=(("aimed at", GOAL),),
                ),
            )
    if "probe-layers" in tables:
        draw(
            "probe-layers",
            lines(
                run.load_table("probe-layers"),
                "layer",
                "r",
                group="quantity",
                title="What probes read off the states, depth by depth",
                caption="r with gold within topics that the probes never saw. The depth is chosen elsewhere.",
            ),
        )
    if "recognition" in tables:
        draw(
            "recognition",
            bars(
                run.load_table("recognition"),
                "way",
                "accuracy",
                "low",
                "high",
                title="Arcs told rightly",
                value_label="share of stories",
                references=(("one in six", 1 / 6),),
            ),
        )
    if "distance-layers" in tables:
        draw(
            "distance-layers",
            lines(
                run.load_table("distance-layers"),
                "layer",
                "r",
                group="distances",
                title="Distances in states against distances as read",
            ),
        )
    if "steering" in tables:
        draw(
            "steering",
            lines(
                run.load_table("steering"),
                "dose",
                "change",
                "low",
                "high",
                group="direction",
                where={"way": DIFFERENCE},
                title="The steered feeling by dose",
                y_label="change, before calibration",
            ),
        )
    return drawn


def _claim(run: Run, config: StoryArc) -> None:
    tables, main = set(run.tables()), config.readouts[0]
    read_by = _compared(run) if "agreement" in tables else []
    for name in read_by:
        row = {"part": TESTED, "readout": name, "quantity": VALENCE}
        run.claim(f"On tested stories the valence of {name} has r {{value:+}} with the gold", "agreement", row, "r")
    if main in read_by:
        row = {"part": TESTED, "readout": main, "quantity": VALENCE}
        run.claim(f"The r of {main} less VADER's is {{value:+}}", "agreement", row, "above vader")
    if "probes" in tables:
        row = {"quantity": VALENCE}
        run.claim("Probes of the states read valence in unseen topics with r {value:+}", "probes", row, "r")
        run.claim("Their RMSE is {value}", "probes", row, "rmse")
        run.claim("Predicting the mean has RMSE {value}", "probes", row, "mean rmse")
    if "recognition" in tables:
        for way in run.load_table("recognition").column("way"):
            run.claim(f"By {way} the share of arcs told rightly is {{value}}", "recognition", {"way": way}, "accuracy")
    if "order" in tables and run.load_table("order").rows:
        row = {"readout": main, "measure": "fit to its own arc"}
        run.claim(
            f"Shuffled, the fit of {main} to a story's own arc changes by {{value:+}}", "order", row, "difference"
        )
    if "distances" in tables:
        for each in run.load_table("distances").records():
            row = {"distances": each["distances"]}
            where = "" if each["layer"] is None else " at the depth chosen by it"
            run.claim(f"Distances of {each['distances']}: r {{value:+}}{where}", "distances", row, "r")
            run.claim("Its p is {value} among orders of what is compared", "distances", row, "p")
    if "steering-scores" in tables:
        for way in (DIFFERENCE, PROBE):
            row = {"direction": VALENCE, "way": way}
            run.claim(f"Steered by {way}, valence has rho {{value:+}} with the dose", "steering-scores", row, "rho")
            run.claim(f"Steered by {way}, valence changes by {{value:+}} a dose", "steering-scores", row, "slope")
        for against in run.load_table("entanglement").column("against"):
            row = {"against": against}
            run.claim(f"Entanglement against distances of {against}: r {{value:+}}", "entanglement", row, "r")
            run.claim("Its p, adjusted over all that it is held against, is {value}", "entanglement", row, "p (Holm)")


def _compared(run: Run) -> list[str]:
    """Whose valence was compared with gold on tested stories; with a single story nobody's is."""
    return [
        str(row["readout"])
        for row in run.load_table("agreement").records()
        if row["part"] == TESTED and row["quantity"] == VALENCE and row["r"] is not None
    ]


def _headlines(run: Run, config: StoryArc) -> list[Headline]:
    from unweave.record.report import Headline

    tables, main = set(run.tables()), config.readouts[0]
    found = []
    if "agreement" in tables:
        for name in (main, VADER):
            if name in _compared(run):
                row = {"part": TESTED, "readout": name, "quantity": VALENCE}
                found.append(Headline(f"r of {name} with gold, {TESTED}", "agreement", row, "r"))
    if "probes" in tables:
        found.append(Headline("r of probes, unseen topics", "probes", {"quantity": VALENCE}, "r"))
    if "recognition" in tables:
        found.append(
            Headline(f"arcs told by {main}", "recognition", {"way": main}, "accuracy", note="1 in 6 is chance")
        )
    return found
