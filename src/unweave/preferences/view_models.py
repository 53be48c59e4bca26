"""What the preference room's live views are asked and what they answer, as typed values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unweave.preferences.firing_sides import Side
from unweave.preferences.prediction_tables import MapOf
from unweave.read.view_models import Answer, Available, Request

ColumnName = Annotated[str, Field(min_length=1, max_length=200, description="a behaviour, or cluster:<k>")]
TopicName = Annotated[str, Field(max_length=500)]
PairId = Annotated[str, Field(min_length=1, max_length=1000)]
ColumnOrder = Literal["rank", "column", "kind", "change", "p", "half", "lean", "topic"]
MOST_POINTS = 3000


class PreferencesOverviewRequest(Request):
    """Nothing to choose."""


class TopicEntry(Answer):
    name: str
    rows: int | None


class MapEntry(Answer):
    of: MapOf
    points: int


class PreferencesOverviewAnswer(Answer):
    id: str
    title: str
    run: str
    data: str
    target: str
    target_digest: str
    layer: int
    dictionary: str | None
    dictionary_digest: str | None
    features: int
    clusters: int
    pairs: int
    prompts: int = Field(description="different prompts, which pairs hang together by")
    columns: int
    stands: int = Field(description="columns that are said to change")
    kinds: list[str]
    topics: list[TopicEntry]
    maps: list[MapEntry]
    removed: int = Field(description="rows that the cleaned data lack")
    cleaned: bool = Field(description="cleaned.jsonl lies in the run's folder")
    unit: str = Field(description="of a predicted change; empty where it is not known")
    by: str = Field(description="the predictor that ranks columns and whose shares rows are ranked by")
    caption: str = Field(description="what the run says of its predictions")
    texts: Available = Field(description="the pairs' texts")
    tokens: Available = Field(description="what fires on each token of a pair, by the target")


class PreferencesColumnsRequest(Request):
    query: str = Field("", max_length=200, description="parts of the name, the meaning or the topic; all hold")
    kind: str | None = Field(None, max_length=100)
    stands: bool | None = None
    leans: Side | None = None
    sort: ColumnOrder = "rank"
    descending: bool = False
    offset: int = Field(0, ge=0)
    limit: int = Field(100, ge=1, le=1000)


class ColumnEntry(Answer):
    rank: int
    column: str
    kind: str
    meaning: str
    change: float | None = Field(description="predicted, in the run's unit")
    low: float | None
    high: float | None
    stands: bool | None
    p: float | None = Field(description="that labels say nothing, adjusted over columns")
    agrees: bool | None = Field(description="both halves of the prompts point the same way")
    topic: str | None
    half: int | None = Field(description="the fewest rows that hold half of all pushes with the change")
    leans: Side | None = Field(description="which replies have more of it, by the lean's interval")
    lean: float | None = Field(description="of the pairs that differ in it, the share with more in the chosen reply")
    lean_low: float | None
    lean_high: float | None


class PreferencesColumnsAnswer(Answer):
    total: int
    offset: int
    most: float = Field(description="the largest size of a change or an interval's end, over all columns")
    rows: list[ColumnEntry]


class PreferencesColumnRequest(Request):
    column: ColumnName
    rows: int = Field(20, ge=0, le=200, description="of those that push it most")


class PredictorEntry(Answer):
    name: str
    meaning: str
    change: float | None = Field(description="in the predictor's own units")


class SidesEntry(Answer):
    chosen: int = Field(description="pairs in which it fires on the chosen reply alone")
    rejected: int
    both: int
    neither: int
    more_chosen: int
    more_rejected: int
    lean: float | None
    lean_low: float | None
    lean_high: float | None


class TopicSides(Answer):
    topic: str
    rows: int = Field(description="of the topic, among those whose topic is known")
    sides: SidesEntry


class PushingRow(Answer):
    row: int
    id: str
    rank: int
    share: float | None = Field(description="what the row adds to the change")
    topic: str | None
    side: Side | None
    removed: bool
    prompt: str
    chosen: float | None
    rejected: float | None


class PreferencesColumnAnswer(Answer):
    column: ColumnEntry
    unit: str
    predictors: list[PredictorEntry]
    sides: SidesEntry | None
    topics: list[TopicSides]
    topics_of: int = Field(description="rows whose topic is known")
    rows: list[PushingRow]
    removed: int = Field(description="rows removed for this column")
    features: list[str] = Field(description="of a cluster, the first hundred by name")
    feature_count: int


class PreferencesPairsRequest(Request):
    column: ColumnName | None = None
    side: Side | None = Field(None, description="where the column fires; needs one")
    topic: TopicName | None = None
    removed: bool | None = None
    text: str = Field("", max_length=200, description="words of the prompt, a reply or the id; all hold")
    offset: int = Field(0, ge=0)
    limit: int = Field(50, ge=1, le=200)


class PairEntry(Answer):
    row: int
    id: str
    topic: str | None
    side: Side | None = Field(description="where the column fires")
    removed: bool
    prompt: str = Field(description="the beginning of what the user said last")
    chosen: str
    rejected: str


class PreferencesPairsAnswer(Answer):
    total: int
    offset: int
    texts: Available
    rows: list[PairEntry]


class PreferencesPairRequest(Request):
    id: PairId | None = Field(None, description="the data's own; of several rows of one id the first")
    row: int | None = Field(None, ge=0, description="its place among the pairs, instead of the id")
    column: ColumnName | None = Field(None, description="shades its words (a behaviour) or tokens (a cluster)")
    tokens: bool = Field(False, description="without a column: which clusters fire on each token, by the target")


class FiringCluster(Answer):
    column: str
    share: float = Field(description="of the cluster's features, those that fire on the token")
    activation: float = Field(description="the largest of them by size")


class TextPart(Answer):
    text: str
    value: float = Field(description="what a behaviour has more with the word than without; the cluster's share")
    firing: list[FiringCluster]


class SpanAnswer(Answer):
    parts: list[TextPart]
    cut: bool = Field(description="some of the text was not read for the shading")


class TurnAnswer(Answer):
    role: str
    content: str
    cut: bool


class PairValue(Answer):
    column: str
    kind: str
    chosen: float
    rejected: float
    stands: bool | None
    change: float | None


class PreferencesPairAnswer(Answer):
    row: int
    id: str
    topic: str | None
    side: Side | None
    removed: bool
    why: list[str] = Field(description="why it is not in the cleaned data")
    pairs: int = Field(description="of the data, numbered from 0")
    turns: list[TurnAnswer]
    read: Literal["words", "tokens", "nothing"] = Field(description="what the parts are")
    note: str = Field(description="why nothing is shaded")
    prompt: SpanAnswer | None = Field(description="of tokens, as the target reads the whole conversation")
    chosen: SpanAnswer
    rejected: SpanAnswer
    values: list[PairValue] = Field(description="columns that are not 0 on both sides, in the order of their rank")


class PreferencesRemovedRequest(Request):
    offset: int = Field(0, ge=0)
    limit: int = Field(50, ge=1, le=500)


class RemovedEntry(Answer):
    row: int
    id: str
    column: str | None
    share: float | None
    why: str


class PreferencesRemovedAnswer(Answer):
    total: int
    offset: int
    rows: list[RemovedEntry]


class PreferencesMapRequest(Request):
    of: MapOf
    limit: int = Field(MOST_POINTS, ge=1, le=MOST_POINTS)


class MapPoint(Answer):
    x: float
    y: float
    name: str = Field(description="a row's id, or a feature")
    row: int | None = Field(description="of a row, its place among the pairs")
    label: str = Field(description="how the row's prompt begins, or the words of the feature's cluster")
    group: str | None = Field(description="its topic, or its cluster")
    lean: float | None = Field(
        description="what a row adds to the changes that stand, each counted the way it goes; of a feature, the share "
        "of pairs with it in the chosen reply less that with it in the rejected one"
    )


class MapGroup(Answer):
    name: str
    points: int
    lean: float | None = Field(description="the mean over its points")


class PreferencesMapAnswer(Answer):
    of: MapOf
    total: int = Field(description="points that the run drew; those shown are the first")
    caption: str
    points: list[MapPoint]
    groups: list[MapGroup]
