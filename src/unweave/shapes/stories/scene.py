"""Scenes: stories as a page, a picture or a file draws them, made from a run's saved tables and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json, write_json
from unweave.corpora.stories.names import EMOTIONS

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table, Value

SCENES = "scenes.json"
"""The file of a run's folder that its scenes are kept in."""
GOLD, VALENCE, LEXICON = "gold", "valence", "vader"
SENTENCES, PATHS, AXES, SURFACE = "sentences", "paths", "axes", "surface"
RATING = 10
"""What a reader sees of an emotion is its share of this."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Finite, Finite, Finite]
Row = Mapping[str, "Value"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Series(_Value):
    """One line under a story: a value after each sentence, as the table has it; null where nothing was measured."""

    name: str
    unit: str
    low: Finite
    high: Finite
    shown: Finite = Field(
        default=1.0, description="what a reader sees is a value times this: 10 for a rating from 0 to 10"
    )
    values: list[Finite | None]
    gold: list[Finite | None] | None = None
    lexicon: list[Finite | None] | None = Field(default=None, description="the same read from a list of words (VADER)")

    @model_validator(mode="after")
    def _lengths(self) -> Series:
        for name, given in (("gold", self.gold), ("lexicon", self.lexicon)):
            if given is not None and len(given) != len(self.values):
                raise ValueError(f"series {self.name!r} has {len(self.values)} values and {len(given)} of {name}")
        return self


class Ghost(_Value):
    """Another story's path, to be seen behind the one that is told."""

    id: str
    title: str
    arc: str | None
    topic: str
    kind: str
    path: list[Point]


class Mesh(_Value):
    """A sheet of ``rows`` by ``columns`` points in space, row by row."""

    rows: int = Field(ge=2)
    columns: int = Field(ge=2)
    points: list[Point]

    @model_validator(mode="after")
    def _size(self) -> Mesh:
        if len(self.points) != self.rows * self.columns:
            raise ValueError(f"a mesh of {self.rows} by {self.columns} has {len(self.points)} points")
        return self


class Scene(_Value):
    """One story: its sentences, a value of every series and a point in space after each."""

    id: str
    title: str
    arc: str | None
    topic: str
    kind: str
    sentences: list[str] = Field(min_length=1)
    series: list[Series]
    path: list[Point]
    note: str = ""

    @model_validator(mode="after")
    def _lengths(self) -> Scene:
        told = len(self.sentences)
        if len(self.path) != told:
            raise ValueError(f"story {self.id!r} has {told} sentences and {len(self.path)} points")
        for series in self.series:
            if len(series.values) != told:
                raise ValueError(f"story {self.id!r} has {told} sentences and {len(series.values)} of {series.name!r}")
        return self


class Scenes(_Value):
    """Stories in one space, with what they share: its axes, the other stories' paths and the surface that they lie on.

    ``layer`` is a depth as ``read.stream`` counts them. A scene's ghosts are those of another id than its own.
    """

    format: Literal[1] = 1
    target: str
    layer: int
    readout: str
    axes: tuple[str, str, str]
    scenes: list[Scene]
    ghosts: list[Ghost] = []
    surface: Mesh | None = None
    note: str = ""

    def scene(self, name: str) -> Scene:
        """The scene of a story's id; raises ``UnweaveError`` for an unknown one."""
        found = next((one for one in self.scenes if one.id == name), None)
        if found is None:
            raise UnweaveError(
                f"story {name!r} is not among the scenes; {nearest(name, [each.id for each in self.scenes])}"
            )
        return found

    def only(self, names: Sequence[str]) -> Scenes:
        """These stories alone, in the order given, before the ghosts of all."""
        return self.model_copy(update={"scenes": [self.scene(name) for name in names]})

    def save(self, path: Path) -> None:
        """Writes JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Scenes:
        """Reads what ``save`` wrote; raises ``UnweaveError`` for what is not scenes."""
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "its content"
            raise UnweaveError(f"{path} holds no scenes ({where}: {first['msg']}): save them again") from error


def readouts_of(columns: Sequence[str]) -> list[str]:
    """The readouts that a table of sentences has, in its order: those with a column ``<readout> valence``."""
    ending = f" {VALENCE}"
    found = [column.removesuffix(ending) for column in columns if column.endswith(ending)]
    return [name for name in found if name != GOLD]


def scenes_from_run(run: Run, layer: int | None = None, readout: str | None = None) -> Scenes:
    """The scenes of a run's tables ``sentences``, ``paths``, ``axes`` and, where there is one, ``surface``.

    ``layer`` is the first of ``paths``, and ``readout`` the first of ``sentences``, unless given. Values are the
    tables' own. Stories without a path in that layer are left out; stories of the corpus proper (kind ``arc``) are one
    another's ghosts, and all are where there are none of them. Raises ``UnweaveError`` for a run without the tables, a
    layer or a readout that they do not have, and a story with a point missing.
    """
    sentences, paths = run.load_table(SENTENCES), run.load_table(PATHS)
    readout = _chosen("readout", readout, readouts_of(sentences.columns), SENTENCES)
    layers = list(dict.fromkeys(int(str(each)) for each in paths.column("layer")))
    layer = int(_chosen("layer", None if layer is None else str(layer), [str(each) for each in layers], PATHS))
    points = {
        (str(row["story"]), int(str(row["sentence"]))): _point(row) for row in paths.records() if row["layer"] == layer
    }
    told: dict[str, list[Row]] = {}
    for row in sentences.records():
        told.setdefault(str(row["story"]), []).append(row)
    scenes = [
        _scene(name, sorted(rows, key=lambda row: int(str(row["sentence"]))), points, readout)
        for name, rows in told.items()
        if any((name, int(str(row["sentence"]))) in points for row in rows)
    ]
    proper = [one for one in scenes if one.kind == "arc"] or scenes
    return Scenes(
        target=target_of(run),
        layer=layer,
        readout=readout,
        axes=_axes(run.load_table(AXES), layer),
        scenes=scenes,
        ghosts=[
            Ghost(id=one.id, title=one.title, arc=one.arc, topic=one.topic, kind=one.kind, path=one.path)
            for one in proper
        ],
        surface=_surface(run.load_table(SURFACE), layer) if SURFACE in run.tables() else None,
        note=sentences.caption,
    )


def series_of(rows: Sequence[Row], readout: str) -> list[Series]:
    """The seven lines of a story's rows of the table ``sentences``: valence, then the six emotions."""

    def column(name: str) -> list[float | None] | None:
        values = [row.get(name) for row in rows]
        if all(value is None for value in values):
            return None
        return [None if value is None else float(value) for value in values]

    missing: list[float | None] = [None] * len(rows)
    valence = Series(
        name=VALENCE,
        unit="−1 to 1",
        low=-1,
        high=1,
        values=column(f"{readout} {VALENCE}") or missing,
        gold=column(f"{GOLD} {VALENCE}"),
        lexicon=column(LEXICON),
    )
    emotions = [
        Series(
            name=name,
            unit=f"0 to {RATING}",
            low=0,
            high=1,
            shown=RATING,
            values=column(f"{readout} {name}") or missing,
            gold=column(f"{GOLD} {name}"),
        )
        for name in EMOTIONS
    ]
    return [valence, *emotions]


def whose(protagonist: str, found: bool) -> str:
    """Whose feelings a story's lines are, and whether a reader named them; empty where nobody is known."""
    if not protagonist:
        return ""
    return f"What {protagonist}{', the name that the text uses most,' if found else ''} is taken to feel."


def _scene(name: str, rows: list[Row], points: Mapping[tuple[str, int], Point], readout: str) -> Scene:
    places = [(name, int(str(row["sentence"]))) for row in rows]
    lost = [sentence for story, sentence in places if (story, sentence) not in points]
    if lost:
        raise UnweaveError(f"story {name!r} has no point after sentence {lost[0]} in table {PATHS!r}: run it again")
    first = rows[0]
    return Scene(
        id=name,
        title=str(first["title"] or name),
        arc=str(first["arc"]) if first["arc"] else None,
        topic=str(first["topic"] or ""),
        kind=str(first["kind"] or ""),
        sentences=[str(row["text"]) for row in rows],
        series=series_of(rows, readout),
        path=[points[place] for place in places],
        note=whose(str(first.get("protagonist") or ""), bool(first.get("found"))),
    )


def _point(row: Mapping[str, Any]) -> Point:
    return float(row["x"]), float(row["y"]), float(row["z"])


def _chosen(what: str, wanted: str | None, known: Sequence[str], table: str) -> str:
    if not known:
        raise UnweaveError(f"table {table!r} of the run has no {what}: run the study again")
    if wanted is not None and wanted not in known:
        raise UnweaveError(f"{what} {wanted!r} is not in table {table!r}; {nearest(wanted, known)}")
    return known[0] if wanted is None else wanted


def target_of(run: Run) -> str:
    """What the run calls its target; of a path on this machine only the last part."""
    named = [one["name"] for one in run.state().get("identities", []) if one["kind"] == "target"]
    name = str(named[0] if named else run.config.get("target", ""))
    return Path(name).name if Path(name).is_absolute() else name


def _axes(table: Table, layer: int) -> tuple[str, str, str]:
    """Captions of the three axes: what each is, and how much of the variance it explains."""
    rows = [row for row in table.records() if row.get("layer", layer) == layer]
    if len(rows) < 3:
        raise UnweaveError(f"table {table.name!r} has {len(rows)} axes of layer {layer}, and three are drawn")
    captions = []
    for number, row in enumerate(rows[:3], 1):
        name, explained = str(row["axis"]), row["explained"]
        name = f"PC{number}" if name in ("xyz"[number - 1], str(number), str(number - 1)) else name
        captions.append(name if explained is None else f"{name} ({float(explained):.0%} of variance)")
    return captions[0], captions[1], captions[2]


def _surface(table: Table, layer: int) -> Mesh | None:
    """The sheet of a table with one row a point: ``u`` and ``v`` number its rows and columns, ``x``, ``y``, ``z``."""
    rows = [row for row in table.records() if row.get("layer", layer) == layer]
    if not rows:
        return None
    across, down = {row["v"] for row in rows}, {row["u"] for row in rows}
    if len(rows) != len(across) * len(down):
        raise UnweaveError(
            f"table {table.name!r} has {len(rows)} points, not {len(down)} by {len(across)}: save it whole"
        )
    ordered = sorted(rows, key=lambda row: (float(str(row["u"])), float(str(row["v"]))))
    return Mesh(rows=len(down), columns=len(across), points=[_point(row) for row in ordered])
