"""What the reading room's live views are asked and what they answer, as typed values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=20_000)]
FeatureName = Annotated[str, Field(min_length=3, max_length=300, description="site:index")]
Confidence = Literal["clear", "weak", "unclear"]
SITE = "a group by name or a part of one, or a pattern with * and ?"


class Request(BaseModel):
    """A question to a view: a field that no view knows is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """What a view says. A number that is not known is null, never NaN."""

    model_config = ConfigDict(frozen=True)


class OverviewRequest(Request):
    """Nothing to choose."""


class GroupSummary(Answer):
    name: str
    features: int
    alive: int = Field(description="features that fired at least once in the harvest")


class CorpusLabel(Answer):
    name: str
    tokens: int


class LabelTotals(Answer):
    labeler: str
    clear: int
    weak: int
    unclear: int
    median_detection: float | None = Field(description="balanced accuracy on held-out examples, over scored labels")


class Available(Answer):
    """Whether something can be asked of this subject, and why not."""

    available: bool
    reason: str = ""

    @classmethod
    def unless(cls, reason: str) -> Available:
        """Available where there is no reason against it."""
        return cls(available=not reason, reason=reason)


class OverviewAnswer(Answer):
    id: str
    title: str
    target: str
    target_digest: str
    kind: str = Field(description="subcomponents, sae, transcoder or probe")
    dictionary: str
    dictionary_digest: str
    features: int
    alive: int
    tokens: int
    windows: int
    length: int
    fires: float = Field(description="a feature fires where its importance is above this")
    groups: list[GroupSummary]
    corpus_labels: list[CorpusLabel]
    labels: LabelTotals | None
    labels_note: str = Field("", description="why labels that are beside the harvest are not shown")
    live: Available = Field(description="fires: typed text through the target")
    graph: Available
    edit: Available = Field(description="factor, edits, make-edit, undo-edit, redo-edit, drop-edit")


Column = Annotated[
    str,
    Field(
        max_length=100,
        description="row, name, group, label, confidence, density, importance, activation, detection, fuzzing, "
        "contrast, match, or on:LABEL for the mean importance on a corpus label",
    ),
]


class FeaturesRequest(Request):
    query: str = Field(
        "", max_length=500, description="parts of the label or of a feature's name, or a corpus label's name; all hold"
    )
    group: str | None = Field(None, max_length=300, description=SITE)
    confidence: list[Confidence] = Field([], description="keep these only; empty keeps all")
    min_density: float = Field(0.0, ge=0.0, le=1.0)
    max_density: float = Field(1.0, ge=0.0, le=1.0)
    alive: bool = Field(False, description="only features that fired at least once")
    contrast: str | None = Field(None, max_length=200, description="de (against all others) or de:en")
    sort: Column = "row"
    descending: bool = False
    offset: int = Field(0, ge=0)
    limit: int = Field(50, ge=1, le=500)


class FeatureRow(Answer):
    row: int
    name: str
    group: str
    label: str = Field(description="empty where nothing was labelled")
    confidence: Confidence | None
    density: float = Field(description="share of all tokens on which it fires")
    firing: int
    importance: float | None = Field(description="mean where it fires")
    activation: float | None = Field(description="mean where it fires; signed")
    detection: float | None
    fuzzing: float | None
    contrast: float | None = Field(description="mean importance on the contrast's label minus the largest other")
    by_label: list[float | None] = Field(description="mean importance on each corpus label, in their order")


class FeaturesAnswer(Answer):
    total: int = Field(description="features that pass the filters")
    offset: int
    corpus_labels: list[str]
    rows: list[FeatureRow]


class FeatureRequest(Request):
    name: FeatureName
    examples: int = Field(12, ge=0, le=100, description="of each kind, shown and held")
    tokens: int = Field(20, ge=0, le=200)
    partners: int = Field(10, ge=0, le=100)


class Label(Answer):
    text: str
    reads: str = Field(description="what fires it")
    writes: str = Field(description="what it promotes or suppresses")
    confidence: Confidence
    reason: str = Field(description="what the confidence rests on")
    predicate: Any = Field(description="the label as a test of a token in its text, or null")
    labeler: str
    scores: dict[str, float] = Field(
        description="detection, fuzzing, intruder, intruder_control, each with _low, _high and _trials, as far as "
        "measured"
    )


class Histogram(Answer):
    edges: list[float] = Field(description="one more than counts")
    counts: list[int]


class TokenRow(Answer):
    token: int
    text: str
    count: int
    precision: float | None = Field(description="in: share of this token's occurrences on which it fires")
    recall: float | None = Field(description="in: share of its firings on this token")
    pmi: float | None = Field(description="natural logarithm")


class LabelDensity(Answer):
    label: str
    tokens: int
    firing: int
    density: float | None
    importance: float | None


class TokenReading(Answer):
    token: int
    text: str
    importance: float
    activation: float


class ExampleWindow(Answer):
    window: int
    position: int = Field(description="of the firing token in its window")
    offset: int = Field(description="index of the firing token in tokens")
    label: str
    held: bool = Field(description="held-out windows score labels; labellers never see them")
    tokens: list[TokenReading]


class Partner(Answer):
    row: int
    name: str
    label: str
    together: int
    jaccard: float
    pmi: float | None


class Neighbour(Answer):
    row: int
    name: str
    label: str
    cosine: float


class PlaceAnswer(Answer):
    module: str
    side: Literal["input", "output"]
    width: int


class FeatureAnswer(Answer):
    feature: FeatureRow
    corpus_labels: list[str]
    label: Label | None
    activation_positive: float | None = Field(description="share of firings with activation above 0")
    importance_histogram: Histogram = Field(description="all tokens with importance above 0")
    activation_histogram: Histogram = Field(description="tokens where it fires")
    background_histogram: Histogram = Field(description="sampled tokens where it does not")
    tokens_in: list[TokenRow] = Field(description="tokens it fires on; shown windows")
    tokens_out: list[TokenRow] = Field(description="what the model predicts where it fires; shown windows")
    shown_tokens: int = Field(description="tokens of the shown windows, which tokens_in and tokens_out are counted on")
    by_label: list[LabelDensity]
    by_position: list[int] = Field(description="firings at each position of a window")
    examples: list[ExampleWindow]
    partners: list[Partner]
    pool_tokens: int = Field(description="tokens of the pool, which partners are counted on")
    reads: PlaceAnswer | None = Field(
        description="null where the dictionary cannot be opened; directions_note says why"
    )
    writes: PlaceAnswer | None
    nearest_read: list[Neighbour]
    nearest_write: list[Neighbour]
    directions_note: str


class FiresRequest(Request):
    text: Text
    limit: int = Field(8, ge=1, le=100, description="features for each token, by what they tell")
    group: str | None = Field(None, max_length=300, description=SITE)
    with_edits: bool = Field(False, description="with the active edits applied")
    trace: FeatureName | None = Field(
        None, description="a feature to read at every token, whether it fires there or not"
    )


class Firing(Answer):
    row: int
    name: str
    label: str
    importance: float
    activation: float
    density: float = Field(description="share of the harvest's tokens on which it fires")


class FiringToken(Answer):
    token: int
    text: str
    firing: int = Field(description="how many features fire here in all")
    features: list[Firing]


class GroupFiring(Answer):
    name: str
    firing: list[int] = Field(description="features firing at each token")


class TextFeature(Answer):
    row: int
    name: str
    label: str
    tokens: int = Field(description="tokens of the text on which it fires")
    importance: float = Field(description="largest over the text")
    activation: float = Field(description="where the importance is largest")
    density: float = Field(description="share of the harvest's tokens on which it fires")


class TracedFeature(Answer):
    name: str
    importance: list[float] = Field(description="at each token")
    activation: list[float] = Field(description="at each token")


class FiresAnswer(Answer):
    tokens: list[FiringToken]
    traced: TracedFeature | None = Field(description="the feature that was asked for by trace")
    groups: list[GroupFiring]
    features: list[TextFeature] = Field(
        description="those that tell most first: importance over all tokens times -ln density; at most 100"
    )
    truncated: bool = Field(description="the text was longer than a window, and only its beginning was read")
    edits: list[str] = Field(description="names of the edits that were applied")


class SearchRequest(Request):
    words: str = Field("", max_length=500)
    token: str | None = Field(None, max_length=200, description="fires on this token")
    site: str | None = Field(None, max_length=300, description=SITE)
    contrast: str | None = Field(None, max_length=200, description="de (against all others) or de:en")
    like: FeatureName | None = Field(None, description="features whose direction is like this one's")
    by: Literal["read", "write"] = "read"
    co_fires: FeatureName | None = Field(None, description="features that fire together with this one")
    limit: int = Field(20, ge=1, le=500)


class SearchHit(Answer):
    row: int
    name: str
    label: str
    confidence: Confidence | None
    density: float
    score: float = Field(description="what the hits are ordered by")
    match: float | None = Field(description="of the words with the label's text")
    token: float | None = Field(description="share of its firings on the token")
    contrast: float | None
    cosine: float | None
    jaccard: float | None = Field(description="co-firing")
    why: str = Field(description="one line for a person")


class SearchAnswer(Answer):
    total: int
    hits: list[SearchHit]
    note: str = Field(description="why there are no hits, where that can be said")


GraphId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]


class GraphRequest(Request):
    text: Text
    answer: str | None = Field(None, max_length=200, description="the next token to explain; the likeliest by default")
    nodes: int = Field(60, ge=1, le=500, description="features kept, by their effect on the answer")
    edges: int = Field(200, ge=1, le=5000, description="edges kept, the strongest")
    attention: bool = Field(True, description="through attention patterns too; else these count as given")
    with_edits: bool = False


class GraphNode(Answer):
    id: str
    kind: Literal["token", "feature", "answer"]
    name: str = Field(description="site:index for a feature, the token's text for a token or the answer")
    row: int | None
    label: str
    group: str
    layer: int | None
    position: int = Field(description="index of its token")
    importance: float | None
    activation: float | None
    contribution: float | None = Field(
        description="how far it moves the answer's logit by all ways together, as a size; null for the answer"
    )
    shown: float | None = Field(
        description="share of all that flows into it that the edges here show; null for a token"
    )


class GraphEdge(Answer):
    source: str
    target: str
    weight: float = Field(description="what the source adds to the target's activation, past no other feature")
    strength: float = Field(
        description="how much the edge matters: its share of all that flows into its target, times how far the target "
        "moves the answer; unlike weights, strengths compare across targets"
    )


class GraphAnswer(Answer):
    tokens: list[str]
    answer: str
    answer_token: int
    probability: float
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    all_nodes: int = Field(description="features that fire in the text, a position each, before the limit on nodes")
    method: str = Field(description="how the edges were measured, for a person")
    edits: list[str]


class GraphsRequest(Request):
    """Nothing to choose."""


class SavedGraph(Answer):
    id: str
    title: str
    text: str
    saved: str = Field(description="UTC, ISO 8601")
    nodes: int


class GraphsAnswer(Answer):
    graphs: list[SavedGraph]


class SaveGraphRequest(Request):
    title: str = Field(min_length=1, max_length=120)
    request: GraphRequest
    graph: GraphAnswer
    hidden: list[str] = Field([], max_length=5000, description="ids of nodes that were pruned by hand")
    places: dict[str, tuple[float, float]] = Field({}, max_length=5000, description="where nodes were put, by id")
    pins: list[str] = Field([], max_length=5000, description="names of features that no limit prunes")
    keep: int = Field(40, ge=0, le=500, description="features shown, those that move the answer most")
    least: float = Field(0.02, ge=0.0, le=1.0, description="weakest edge shown, as a share of the strongest")


class LoadGraphRequest(Request):
    id: GraphId


class DropGraphRequest(Request):
    id: GraphId


class GraphDocument(Answer):
    id: str
    title: str
    saved: str
    request: GraphRequest
    graph: GraphAnswer
    hidden: list[str]
    places: dict[str, tuple[float, float]]
    pins: list[str]
    keep: int
    least: float
