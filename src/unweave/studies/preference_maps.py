"""Two maps: rows by what their replies are about, features by the replies in which they fire."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from unweave.base.seeds import derive, numpy_generator
from unweave.base.threads import one_thread
from unweave.studies.preference_reading import both_sides
from unweave.studies.preference_tables import SHOWN, plain_text

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from unweave.record.table import Table
    from unweave.studies.preference_forecast import Forecast
    from unweave.studies.preference_reading import PreferenceReading

MOST_POINTS = 3000
FEWEST_FOR_TSNE = 12
DIMENSIONS = 30
PERPLEXITY = 30.0
COLOURS = 6
"""Groups with a colour of their own; a figure tells eight series apart."""
LEAST_FIRING = 5
"""Sampled replies in which a feature on the map fires."""
OTHER = "other"


def plane(values: Float32[np.ndarray, "n d"], seed: int) -> Float32[np.ndarray, "n 2"]:
    """A place in the plane for each row: t-SNE of principal components, those alone where rows are few.

    Source: van der Maaten and Hinton, 2008; begun at the first two components, which keeps what is far apart so
    (Kobak and Berens, 2019).
    """
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, d = values.shape
    kept = min(DIMENSIONS, n, d)
    if kept < 2 or float(np.ptp(values, axis=0).max()) == 0:
        return np.pad(values[:, :1] - values[:, :1].mean(0), ((0, 0), (0, 1))).astype(np.float32)
    placed = PCA(kept, svd_solver="full").fit_transform(values.astype(np.float64))
    if n < FEWEST_FOR_TSNE:
        return placed[:, :2].astype(np.float32)
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    with one_thread():
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=derive(seed, "map") % 2**32)
        return found.fit_transform(placed).astype(np.float32)


def row_map(reading: PreferenceReading, forecast: Forecast, seed: int) -> Table:
    """Rows, ``MOST_POINTS`` of them at most, by the clusters of features of both replies, else by their mean states."""
    import numpy as np

    from unweave.record.table import Table

    rows = _sampled(len(reading), seed, "rows")
    if reading.clusters is not None:
        values = both_sides(reading.store, reading.clusters)[rows]
    else:
        values = (reading.evidence.chosen.embedding[rows] + reading.evidence.rejected.embedding[rows]) / 2
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    places = plane(np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0), seed)
    names = [reading.topic_name(int(label)) for label in reading.labels[rows]]
    colours = _coloured(names)
    standing = forecast.standing_names()
    columns = [forecast.column(name) for name in standing]
    pushes = forecast.leading.shares[rows][:, columns] * np.sign(forecast.leading.change[columns])
    ids = reading.store.ids
    points = []
    for at, row in enumerate(rows):
        point: dict[str, Any] = {
            "id": plain_text(ids[row]),
            "row": int(row),
            "x": _rounded(places[at, 0]),
            "y": _rounded(places[at, 1]),
            "topic": names[at],
            "colour": colours[at],
            "lean": float(pushes[at].sum() / len(reading)) if standing else None,
            "column": standing[int(pushes[at].argmax())] if standing and pushes[at].max() > 0 else None,
            "label": plain_text(reading.skim.prompts[row][:SHOWN]),
        }
        points.append(point)
    by = "clusters of features of both replies" if reading.clusters is not None else "mean states of both replies"
    return Table.from_records(
        "row-map",
        points,
        units={"lean": forecast.unit},
        caption=f"{len(rows)} of {len(reading)} rows{_drawn(len(rows), len(reading), seed)}, by {by}; neighbours are "
        "alike, and distances across the map mean little. 'lean' is what a row adds to all changes that stand, each "
        "counted the way that it goes; 'column' is the one that it pushes most.",
    )


def feature_map(reading: PreferenceReading, seed: int) -> Table | None:
    """Features that fire in some sampled replies, by those replies; None where no features were read."""
    import numpy as np
    from scipy.sparse import vstack

    from unweave.preferences.features.firings import binary, column_sums, csr
    from unweave.record.table import Table

    store = reading.store
    if not store.features:
        return None
    sampled = np.array(list(reading.skim.sample))
    chosen, rejected = (binary(store.fired(side)[sampled].astype(np.float32)) for side in store.SIDES)
    counts = column_sums(chosen) + column_sums(rejected)
    firing = np.flatnonzero(counts >= LEAST_FIRING)
    if not len(firing):
        return None
    features = firing[_sampled(len(firing), seed, "features")]
    profiles = csr(vstack([chosen, rejected])).T.tocsr()[features]
    places = plane(_reduced(profiles, counts[features], seed), seed)
    lean = (column_sums(chosen) - column_sums(rejected))[features] / len(sampled)
    clusters = reading.clusters.labels()[features] if reading.clusters is not None else np.full(len(features), -1)
    names = [f"cluster:{number}" if number >= 0 else "in no cluster" for number in clusters]
    colours = _coloured(names)
    points = [
        {
            "feature": store.feature_name(int(feature)),
            "x": _rounded(places[at, 0]),
            "y": _rounded(places[at, 1]),
            "cluster": names[at],
            "colour": colours[at],
            "lean": float(lean[at]),
            "fires": int(counts[feature]),
            "label": plain_text(reading.meanings.get(names[at], "")),
        }
        for at, feature in enumerate(features)
    ]
    return Table.from_records(
        "feature-map",
        points,
        units={"fires": "replies"},
        digits={"lean": 4},
        caption=f"{len(features)} of {len(firing)} features that fire in at least {LEAST_FIRING} of {2 * len(sampled)} "
        f"sampled replies{_drawn(len(features), len(firing), seed)}, by the replies that they fire in. 'lean' is the "
        "share of pairs with it in the chosen reply less that with it in the rejected one.",
    )


def _reduced(profiles: Any, counts: np.ndarray, seed: int) -> Float32[np.ndarray, "f d"]:
    """Profiles of length 1 in their leading directions: features by replies are too many numbers to be filled in."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD

    scaled = profiles.multiply(1 / np.sqrt(counts)[:, None]).tocsr()
    kept = min(DIMENSIONS, min(scaled.shape) - 1)
    if kept < 2:
        return scaled.toarray().astype(np.float32)
    found = TruncatedSVD(kept, random_state=derive(seed, "profiles") % 2**32).fit_transform(scaled)
    return found.astype(np.float32)


def _sampled(count: int, seed: int, what: str) -> np.ndarray:
    import numpy as np

    if count <= MOST_POINTS:
        return np.arange(count)
    return np.sort(numpy_generator(seed, "map", what).choice(count, MOST_POINTS, replace=False))


def _drawn(shown: int, all_of_them: int, seed: int) -> str:
    return f", drawn with seed {seed}" if shown < all_of_them else ""


def _coloured(names: list[str]) -> list[str]:
    """The names of the largest groups, and one for all others."""
    kept = {name for name, _ in Counter(names).most_common(COLOURS)}
    return [name if name in kept else OTHER for name in names]


def _rounded(value: Any) -> float:
    return round(float(value), 3)
