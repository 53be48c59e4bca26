"""The bundled whole-model decomposition, on the bundled language model."""

from __future__ import annotations

import math

import pytest
import torch

from unweave.corpora import parallel
from unweave.corpora.windows import windows_by_label
from unweave.decompose import Decomposition, bundled
from unweave.decompose.ladder import measure_ladder
from unweave.models import load_target
from unweave.studies.remove_language import RemoveLanguage, remove_language


@pytest.fixture(scope="module")
def target():
    return load_target("polyglot")


@pytest.fixture(scope="module")
def made():
    return Decomposition.load(bundled("polyglot"))


def test_every_matrix_is_taken_apart_and_adds_up_to_itself(target, made):
    assert list(made.sites) == list(target.all_sites())
    made.check_target(target.identity.digest)
    for name, site in made.sites.items():
        weight = target.weight(target.site(name)).float()
        assert float(site.delta(weight).square().sum() / weight.square().sum()) < 1e-3


def test_on_held_out_text_few_subcomponents_predict_nearly_what_the_target_does(target, made):
    """The record has .088 unrecovered and 286 a token, on 16 windows a language; here it is one of each."""
    windows = windows_by_label(target.tokenizer, parallel(), "evaluation", None, 64, 1)
    tokens = torch.cat([torch.as_tensor(rows) for rows in windows.values()])
    ladder = measure_ladder(target, made, tokens, attack_steps=(), controls=("svd",))
    assert ladder.rung("unmasked").kl < 0.03
    unrecovered = ladder.rung("importance").unrecovered
    assert unrecovered is not None
    assert unrecovered < 0.2
    assert ladder.l0 < 400
    assert ladder.rung("importance").kl < 0.6 * ladder.controls[0].rung("importance").kl


def test_one_number_takes_german_from_it(target):
    config = RemoveLanguage(
        target="polyglot",
        seeds=1,
        methods=("factor", "ablation"),
        windows=4,
        selection_windows=6,
        left_out=(),
        strict=False,
    )
    removal = remove_language(config, target=target)
    effects = {cell["method"]: cell["effects"] for cell in removal.cells}
    ceiling = math.log(target.vocabulary)
    assert 0.85 < effects["factor"]["de"]["edited"] / ceiling < 1.15
    assert max(effects["factor"][label]["change"] for label in ("en", "fr", "es", "it")) < 0.12
    assert effects["ablation"]["de"]["edited"] / ceiling < 0.6
