from __future__ import annotations

import math

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.text import Corpus
from unweave.corpora.windows import windows_by_label
from unweave.edit.site_trial import SiteTrial, ranked, trials_table, try_sites
from unweave.models.capture import capture_inputs, inputs_by_label
from unweave.models.target import weights_hash


@pytest.fixture(scope="module")
def trials(planted_target, planted_text):
    sites = [planted_target.site(name) for name in ("model.layers.2.self_attn.o_proj", planted.SITE)]
    return try_sites(planted_target, planted_text, "qb", sites, windows=12)


def test_the_site_that_separates_the_label_comes_first_and_takes_it_alone(trials, planted_target):
    """The attention of block 2 writes nothing (see ``planted.untrained``): no edit there can reach the level."""
    best = trials[0]
    assert best.site.name == planted.SITE
    assert best.reached
    assert best.level == pytest.approx(1, abs=0.01)
    assert set(best.changes) == set(planted.LABELS) - {"qb"}
    assert best.worst < 0.5
    assert best.strength < 0
    assert not trials[1].reached
    assert trials[1].level < 0.9


def test_trying_leaves_the_target_as_it_was(planted_target, trials):
    assert weights_hash(planted_target.module) == planted_target.identity.weights


def test_a_site_where_the_level_is_not_reached_comes_last_even_when_it_hurts_nothing(planted_target):
    site = planted_target.site(planted.SITE)
    reached, short = SiteTrial(site, -9.0, 1.0, True, {"a": 0.4}), SiteTrial(site, -96.0, 0.4, False, {"a": 0.0})
    table = trials_table([reached, short], "qb")
    assert table.column("level") == (1.0, 0.4)
    assert table.column("change a") == (0.4, 0.0)
    assert ranked([short, reached]) == [reached, short]


def test_inputs_by_label_are_the_captured_ones_without_the_first_position(planted_target, planted_text):
    site = planted_target.site(planted.SITE)
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=3)
    found = inputs_by_label(planted_target, site, windows)
    assert list(found) == list(windows)
    whole = capture_inputs(planted_target, [site], torch.as_tensor(windows["qb"]))[site.name]
    assert torch.equal(found["qb"], whole[:, 1:].reshape(-1, whole.shape[-1]))
    assert math.prod(found["qb"].shape[:1]) == 3 * 63


def test_without_sites_nothing_is_read_and_without_tuning_text_it_is_refused(planted_target, planted_text):
    assert try_sites(planted_target, planted_text, "qb", []) == []
    bare = Corpus("bare", {"selection": planted_text.parts["selection"]})
    assert try_sites(planted_target, bare, "qb", []) == []
    with pytest.raises(UnweaveError, match="'qb' and another label need text in the tuning part"):
        try_sites(planted_target, bare, "qb", [planted_target.site(planted.SITE)])
