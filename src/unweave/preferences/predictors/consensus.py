"""Consensus: the mean of three predictors that look at the same change from three sides.

What a reply says (``mean-difference``), where its mean state lies along a column's direction (``persona``), and what a
regression on mean states makes of it (``embedding-ridge``). Training moves most what the model's own states tell apart,
and text alone overrates the rest. Weights are equal: such means are hard to beat (Bates and Granger, "The combination
of forecasts", 1969; Clemen's review of 1989). Chosen after three datasets of SmolLM2 had been seen
(``docs/results/preferences.md``).
"""

from __future__ import annotations

from unweave.preferences.predictors.registry import combination

combination(
    "consensus",
    "mean of mean-difference, persona and embedding-ridge",
    ("mean-difference", "persona", "embedding-ridge"),
)
