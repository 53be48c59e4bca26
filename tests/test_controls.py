from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_ladder import SITES, divergence, exact, falling, measured, predicted, scaled

from unweave.base.errors import UnweaveError
from unweave.base.seeds import torch_generator
from unweave.decompose.controls import CONTROLS, control_arm, singular_pieces
from unweave.decompose.decomposition import random_like
from unweave.decompose.ladder import Control, Ladder, Rung
from unweave.decompose.numerics import keep_largest
from unweave.models.capture import capture_inputs


def arm_of(name, target, made, active=3.2):
    weights = {site: target.weight(target.site(site)) for site in made.sites}
    inputs = lambda x: made.importances(x)  # noqa: E731
    return control_arm(name, made, weights, dict.fromkeys(made.sites, active), inputs, 0)


def test_singular_pieces_add_up_to_the_matrix_the_largest_first():
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    V, U = singular_pieces(weight)
    torch.testing.assert_close((V @ U).T, weight)
    torch.testing.assert_close(U.norm(dim=1), torch.linalg.svdvals(weight))
    torch.testing.assert_close(V.norm(dim=0), torch.ones(5))


def test_the_svd_keeps_in_each_row_the_pieces_that_act_most_as_many_as_ours_rounded_up(target, tokens):
    made = exact(target)
    arm = arm_of("svd", target, made)
    inputs = capture_inputs(target, [target.site(name) for name in made.sites], tokens)
    for name, g in arm.importances(inputs).items():
        assert set(g.unique().tolist()) == {0.0, 1.0}
        assert g.sum(-1).unique().tolist() == [4.0]
        # What is left after the kept pieces is smaller than after any other four: pieces of an SVD are orthogonal.
        V, U = arm.pieces[name]
        x = inputs[name].flatten(0, -2)
        act = ((x @ V)[..., None] * U).norm(dim=-1)
        torch.testing.assert_close((act * g.flatten(0, -2)).square().sum(-1), act.square().topk(4).values.sum(-1))


def test_random_pieces_keep_sizes_and_importances_and_nothing_of_the_directions(llama, tokens):
    made = exact(llama, falling)
    arm = arm_of("random", llama, made)
    inputs = capture_inputs(llama, [llama.site(name) for name in made.sites], tokens)
    for name, site in made.sites.items():
        V, U = arm.pieces[name]
        torch.testing.assert_close(V.norm(dim=0), site.V.norm(dim=0))
        torch.testing.assert_close(U.norm(dim=1), site.U.norm(dim=1))
        cosines = torch.nn.functional.cosine_similarity(V, site.V, dim=0).abs()
        assert cosines.mean() < 0.4
        torch.testing.assert_close(arm.importances(inputs)[name], site.importance(inputs[name]))


def test_controls_are_masked_as_the_decomposition_is(llama, tokens):
    """Random pieces under importances that are the same everywhere are an edit of the weights."""
    made = exact(llama, falling)
    found = measured(llama, made, tokens, seed=5)
    assert [control.pieces for control in found.controls] == list(CONTROLS) == ["svd", "random"]
    turned = {name: random_like(site, torch_generator(5, "random pieces", name)) for name, site in made.sites.items()}
    weights = scaled(replace(made, sites=turned), {name: falling(len(site)) for name, site in made.sites.items()})
    wanted = divergence(predicted(llama, tokens), predicted(llama, tokens, weights))
    control = found.controls[1]
    assert control.rung("importance").kl == pytest.approx(wanted, rel=1e-3)
    assert control.active == pytest.approx(sum(site.nonzero for site in found.sites))


def test_an_svd_that_may_keep_everything_is_exact(llama, tokens):
    found = measured(llama, exact(llama), tokens, attack_steps=(2,))
    svd = found.controls[0]
    assert svd.active == 64
    assert svd.rung("importance").kl == pytest.approx(0, abs=1e-5)
    assert svd.attacks[2] == pytest.approx(0, abs=1e-5)
    # Then nothing is gained by pieces of another kind, and the ladder says so.
    assert any("the SVD's pieces, as many a token" in failure for failure in found.failures)
    assert not found.passed


def test_controls_meet_the_adversary_for_twenty_steps_at_most(llama, tokens):
    found = measured(llama, exact(llama, falling), tokens, attack_steps=(1, 20, 21))
    for control in found.controls:
        assert list(control.attacks) == [1, 20]
        assert 0 < control.attacks[1] <= control.attacks[20]


def test_controls_can_be_left_out_and_others_are_refused(llama, tokens):
    found = measured(llama, exact(llama, falling), tokens, controls=())
    assert found.controls == ()
    assert found.passed
    with pytest.raises(UnweaveError, match=r"there is no control 'svt'; nearest: 'svd'"):
        measured(llama, exact(llama), tokens, controls=("svt",))


def ladder_of(ours, svd, random):
    """A ladder of three numbers: KL under importance masks, stochastic masks and 20 steps."""

    def rungs(numbers):
        return tuple(
            Rung(masks, 1.0, kl, 0.1) for masks, kl in zip(("importance", "stochastic"), numbers, strict=False)
        )

    controls = tuple(
        Control(name, rungs(numbers), {10: 0.0, 20: numbers[2]}, 3.0)
        for name, numbers in (("svd", svd), ("random", random))
    )
    return Ladder(rungs(ours), {10: 0.5, 20: ours[2], 40: 9.0}, (), 1.0, 2.0, 10, controls)


def test_it_passes_only_when_every_kind_of_mask_is_better_than_every_control():
    assert ladder_of((1, 1, 1), (1.1, 1.1, 1.1), (2.1, 2.1, 2.1)).passed
    for place, masks in enumerate(("importance masks", "stochastic masks", "a 20-step adversary")):
        svd, random = [1.1, 1.1, 1.1], [2.1, 2.1, 2.1]
        svd[place] = 1.0
        assert ladder_of((1, 1, 1), svd, random).failures == [
            f"KL under {masks} is 1.000 nats, not below the 1.000 of the SVD's pieces, as many a token"
        ]
        svd[place], random[place] = 1.1, 2.0
        assert ladder_of((1, 1, 1), svd, random).failures == [
            f"KL under {masks} is 1.000 nats, not 2 times below the 2.000 of pieces in random directions of the same "
            "sizes"
        ]
    assert not ladder_of((float("nan"), 1, 1), (2, 2, 2), (3, 3, 3)).passed


def test_a_ladder_says_in_plain_values_whether_it_passed(llama, tokens):
    found = measured(llama, exact(llama), tokens)
    plain = found.as_dict()
    assert (plain["passed"], plain["failures"]) == (False, found.failures)
    assert [control["pieces"] for control in plain["controls"]] == ["svd", "random"]
    assert "mean_importances" not in plain


def test_mean_importances_are_those_of_every_subcomponent_in_order(llama, tokens):
    found = measured(
        llama, exact(llama, lambda count: torch.tensor([0.5, 0.0, 1e-7, 0.25]).repeat(count)[:count]), tokens
    )
    for name in SITES["llama"]:
        assert found.mean_importances[name][:4] == pytest.approx([0.5, 0, 1e-7, 0.25], rel=1e-4)
        assert found.alive_pieces()[name] == [n for n in range(32) if n % 4 in (0, 3)]


def test_the_largest_entries_of_each_row_are_kept():
    strength = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert keep_largest(strength, 2).tolist() == [[1, 0, 1], [0, 1, 1]]
    assert keep_largest(strength, 0).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert keep_largest(strength, 9).tolist() == [[1, 1, 1], [1, 1, 1]]
