from __future__ import annotations

import numpy as np
import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.corpora.text import Corpus
from unweave.corpora.windows import windows_by_label
from unweave.read.site_scan import SHUFFLES, _group_weights, scan

OUTPUTS = "model.layers.*.[om]*_proj"


@pytest.fixture(scope="module")
def found(planted_target, planted_text):
    return scan(planted_target, planted_text, planted.REMOVED)


def dealt_at_random(seed):
    """Short planted documents of every language, given to four labels by lot."""
    documents = [planted.text(label, 3, 1000 + number) for label in planted.LABELS for number in range(20)]
    order = numpy_generator(seed, "lot").permutation(len(documents))
    groups = np.array_split(order, 4)
    dealt = {f"g{number}": tuple(documents[index] for index in rows) for number, rows in enumerate(groups)}
    return Corpus("lot", {"selection": dealt})


def test_the_site_that_carries_the_label_is_the_first(found):
    assert found.sites[0].site.name == planted.SITE
    assert found.found
    assert found.p_value == pytest.approx(1 / (SHUFFLES + 1))
    assert found.sites[0].score > 2 * max(found.null_maxima)
    assert [score.score for score in found.sites] == sorted((score.score for score in found.sites), reverse=True)
    assert found.tokens == 4 * 16 * 64


@pytest.mark.parametrize("label", planted.LABELS)
def test_every_label_is_found(planted_target, planted_text, label):
    found = scan(planted_target, planted_text, label, sites=planted.SITE, windows=12)
    assert found.found


def test_a_site_that_writes_nothing_scores_nothing(found):
    """The attention of blocks 0 and 2 was planted as zero."""
    scores = {score.site.name: score.score for score in found.sites}
    assert scores["model.layers.0.self_attn.o_proj"] == scores["model.layers.2.self_attn.o_proj"] == 0


def test_the_score_is_the_product_of_the_halves_differences_over_the_token_variance(planted_target, planted_text):
    """Computed here with all outputs in memory."""
    found = scan(planted_target, planted_text, "qb", sites=planted.SITE, windows=8, seed=3)
    text = windows_by_label(planted_target.tokenizer, planted_text, "selection", planted.LABELS, 64, 8, 3)
    outputs = []
    module = planted_target.module.get_submodule(planted.SITE)
    handle = module.register_forward_hook(lambda _, __, output: outputs.append(output[:, 1:]))
    with torch.no_grad():
        planted_target.logits(torch.as_tensor(np.concatenate(list(text.values()))))
    handle.remove()
    owner = np.repeat(np.arange(4), 8)
    first, second = _group_weights(owner, 1, 0, 3)[0]
    outputs = outputs[0].double()
    means = outputs.mean(1).numpy()
    variance = float(outputs.flatten(0, 1).var(0, correction=0).sum())
    assert found.sites[0].score == pytest.approx(float((first @ means) @ (second @ means)) / variance, rel=1e-3)


def test_the_halves_part_the_windows_and_take_the_label_against_the_rest():
    owner = np.repeat(np.arange(3), 6)
    for dealt, (first, second) in enumerate(_group_weights(owner, 2, 4, seed=0)):
        assert not (first.astype(bool) & second.astype(bool)).any()
        for half in (first, second):
            assert half[half > 0].sum() == pytest.approx(1)
            assert half[half < 0].sum() == pytest.approx(-1)
            assert (half > 0).sum() == 3
            assert (half < 0).sum() == 6
        positive = np.flatnonzero(first + second > 0)
        assert (positive.tolist() == list(range(12, 18))) == (dealt == 0)


def test_labels_given_by_lot_are_not_found(planted_target):
    """Six lots: each may exceed twenty shuffles by chance once in twenty-one."""
    results = [scan(planted_target, dealt_at_random(seed), "g1", sites=OUTPUTS, seed=seed) for seed in range(6)]
    assert sum(result.found for result in results) <= 1
    scores = np.array([score.score for result in results for score in result.sites if score.score])
    heights = np.array([result.null_maxima for result in results])
    # Without a difference the score has no bias: it falls on both sides of 0, and shuffling reaches as high.
    assert scores.min() < 0
    assert abs(scores.mean()) < 0.5 * heights.mean()


def test_the_null_is_taken_over_all_sites(found):
    assert len(found.null_maxima) == SHUFFLES
    assert max(found.null_maxima) == pytest.approx(max(score.null_maximum for score in found.sites))


def test_batches_and_seeds(planted_target, planted_text):
    """Sums are streamed: the batch changes nothing but rounding, and the seed decides the windows and the shuffles."""
    options = {"sites": planted.SITE, "windows": 6}
    small, large = (scan(planted_target, planted_text, "qb", batch=batch, **options) for batch in (5, 24))
    assert small.sites[0].score == pytest.approx(large.sites[0].score, rel=1e-4)
    assert small.null_maxima == pytest.approx(large.null_maxima, rel=1e-3, abs=1e-6)
    assert scan(planted_target, planted_text, "qb", batch=24, **options).null_maxima == large.null_maxima
    other = scan(planted_target, planted_text, "qb", seed=1, **options)
    assert other.sites[0].score != pytest.approx(large.sites[0].score, rel=1e-4)


def test_the_table_lists_every_site_with_its_null(found, planted_target):
    table = found.table()
    assert len(table.rows) == len(planted_target.all_sites()) == len(found.sites)
    first = table.records()[0]
    assert (first["site"], first["layer"], first["d_in"], first["d_out"]) == (planted.SITE, 1, 64, 64)
    assert first["score"] == found.sites[0].score
    assert first["largest shuffled"] == found.sites[0].null_maximum


def test_what_cannot_be_contrasted_is_refused(planted_target, planted_text):
    with pytest.raises(UnweaveError, match=r"label 'qz' is not in corpus 'corpus'; nearest: "):
        scan(planted_target, planted_text, "qz")
    with pytest.raises(UnweaveError, match=r"site '\*.q_pro' is not in this target; nearest: "):
        scan(planted_target, planted_text, "qb", sites="*.q_pro")
    with pytest.raises(UnweaveError, match="a contrast needs at least two labels"):
        scan(planted_target, planted_text, "qb", labels=("qb",))
    with pytest.raises(UnweaveError, match="windows is 1, and a label needs at least 2"):
        scan(planted_target, planted_text, "qb", windows=1)
    with pytest.raises(UnweaveError, match="were asked for: give more text"):
        scan(planted_target, planted_text, "qb", windows=10_000)


def test_an_output_that_is_not_finite_is_named(fresh, planted_text, planted_target, monkeypatch):
    weight = planted_target.weight(planted_target.site(planted.SITE))
    original = weight.clone()
    weight[0, 0] = float("nan")
    try:
        with pytest.raises(UnweaveError, match=r"site '.*o_proj': its output is NaN or infinite on this text"):
            scan(planted_target, planted_text, "qb", sites=planted.SITE, windows=2)
    finally:
        weight.copy_(original)
    assert not planted_target.module.get_submodule(planted.SITE)._forward_hooks


def test_sites_that_see_part_of_the_tokens_are_left_out_of_a_scan(planted_target, planted_text, monkeypatch):
    mlp = planted_target.module.model.layers[2].mlp
    plain = mlp.forward
    monkeypatch.setattr(mlp, "forward", lambda x: plain(x[:1]).expand_as(x))
    left = scan(planted_target, planted_text, planted.REMOVED)
    names = {score.site.name for score in left.sites}
    assert planted.SITE in names
    assert not any(name.startswith("model.layers.2.mlp") for name in names)
    with pytest.raises(UnweaveError, match="none of the 3 sites gives an output for every token"):
        scan(planted_target, planted_text, planted.REMOVED, sites="model.layers.2.mlp.*")
