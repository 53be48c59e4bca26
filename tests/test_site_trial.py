from __future__ import annotations

import math
from dataclasses import replace

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.text import Corpus
from unweave.corpora.windows import windows_by_label
from unweave.edit.site_trial import SiteTrial, least_harm, ranked, trials_table, try_sites
from unweave.models.capture import capture_inputs, inputs_by_label
from unweave.models.target import weights_hash
from unweave.read.selection import Selection, Statistics, candidates, label_statistics, select


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


def test_of_two_candidates_the_one_that_harms_the_others_least_is_taken(
    planted_target, planted_text, planted_decomposition
):
    """The second answers to ``qc`` as much as to ``qb``, and so takes both of them away."""
    pieces = planted_decomposition.site(planted.SITE)
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=12)
    read = label_statistics(planted_target, pieces, windows)
    own, other = select([read], "qb"), select([read], "qc")
    acts = read.activation[:, [own.index, other.index]] / pieces.U.norm(dim=-1)[[own.index, other.index]]
    share = float(acts[read.of("qb"), 0] / acts[read.of("qc"), 1])
    both = pieces.V[:, own.index] + share * pieces.V[:, other.index]
    V = torch.cat([pieces.V, both[:, None]], dim=1)
    U = torch.cat([pieces.U, pieces.U[[own.index]]])
    made = replace(planted_decomposition, sites={planted.SITE: replace(pieces, V=V, U=U)})
    blunt = replace(own, index=len(pieces), score=own.score + 1)
    best, trials = least_harm(planted_target, made, [blunt, own], windows)
    assert best.index == own.index
    assert len(trials) == 2
    assert trials[0].reached
    assert [trial.index for trial in trials] == [own.index, blunt.index]
    assert trials[0].changes["qc"] < 0.3 < trials[1].changes["qc"]
    assert weights_hash(planted_target.module) == planted_target.identity.weights


def test_candidates_are_tried_past_the_level_so_that_an_effect_near_its_limit_costs_what_it_will(
    planted_target, planted_text, planted_decomposition
):
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=6)
    own = select([label_statistics(planted_target, planted_decomposition.site(planted.SITE), windows)], "qb")
    _, (trial,) = least_harm(planted_target, planted_decomposition, [own], windows)
    assert trial.reached
    assert trial.level == pytest.approx(1.05, abs=0.01)


def test_candidates_are_the_best_of_each_site_that_beat_the_control_of_the_whole_search():
    def read(site: str, own: list[float], other: list[float]) -> Statistics:
        importance = torch.tensor([own, other])
        return Statistics(site, ("a", "b"), importance, importance, importance, {}, 0)

    statistics = [read("x", [0.3, 0.8], [0.2, 0.1]), read("y", [0.9, 0.4], [0.0, 0.4]), read("z", [0.3], [0.2])]
    selection = Selection("y", 0, "a", 0.9, (0.2, 0.1), statistics[1])
    assert [(one.site, one.index) for one in candidates(statistics, selection)] == [("y", 0), ("x", 1)]
    assert [one.score for one in candidates(statistics, selection)] == pytest.approx([0.9, 0.7])
    more = candidates(statistics, replace(selection, null_maxima=(0.05,)), of_each_site=2)
    assert [(one.site, one.index) for one in more] == [("y", 0), ("x", 1), ("x", 0), ("z", 0)]
