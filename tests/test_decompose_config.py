from __future__ import annotations

import math
from dataclasses import asdict, fields, replace

import pytest

from unweave.base.configs import plain_config, typed_config
from unweave.base.errors import UnweaveError
from unweave.decompose.config import ANNEALED, RECONSTRUCTIONS, SiteLocalConfig, WholeModelConfig
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.decompose.numerics import PENALTIES

NONE = dict.fromkeys(RECONSTRUCTIONS, 0.0)


def refused(kind=WholeModelConfig, **options):
    with pytest.raises(UnweaveError) as error:
        kind(**options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("importance", "site-mpl", "importance is 'site-mpl'; nearest: 'site-mlp'"),
        ("start", "input", "start is 'input'; nearest: 'inputs'"),
        ("divergence", "KL", "divergence is 'KL'; nearest: "),
        ("adversary", "persistant", "adversary is 'persistant'; nearest: 'persistent'"),
        ("sources", "pool", "sources is 'pool'; nearest: 'pooled'"),
        ("penalty", "smooth_l0", "penalty is 'smooth_l0'; nearest: 'smooth-l0'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, value, line):
    assert refused(**{name: value}).startswith(line)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("capacity", 0, "capacity is 0, and it must be above 0"),
        ("capacity", -1.0, "capacity is -1.0, and it must be above 0"),
        ("subcomponents", 0, "subcomponents is 0, and a site needs at least 1"),
        ("subcomponents", -3, "subcomponents is -3, and a site needs at least 1"),
        ("window_length", 1, "window_length is 1, and it must be at least 2"),
        ("ascent_steps", -1, "ascent_steps is -1, and it must be at least 0"),
        ("faithfulness_steps", -1, "faithfulness_steps is -1, and it must be at least 0"),
        ("adversarial_fraction", 1.5, "adversarial_fraction is 1.5, and it must be in [0, 1]"),
        ("adversary_start", -0.1, "adversary_start is -0.1, and it must be in [0, 1]"),
        ("final_rate", 2.0, "final_rate is 2.0, and it must be in [0, 1]"),
        ("annealed_over", 1.1, "annealed_over is 1.1, and it must be in [0, 1]"),
        ("sparsity_rise", 1.1, "sparsity_rise is 1.1, and it must be in [0, 1]"),
        ("sparsity_rise", -0.1, "sparsity_rise is -0.1, and it must be in [0, 1]"),
        ("prune_at", (0.5, 0.5), "prune_at is (0.5, 0.5), and its parts must rise and be between 0 and 1"),
        ("prune_at", (0.6, 0.3), "prune_at is (0.6, 0.3), and its parts must rise and be between 0 and 1"),
        ("prune_at", (0.0,), "prune_at is (0.0,), and its parts must rise and be between 0 and 1"),
        ("prune_at", (1.0,), "prune_at is (1.0,), and its parts must rise and be between 0 and 1"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_range(name, value, line):
    assert refused(**{name: value}) == line


@pytest.mark.parametrize(
    "name", ["hidden", "depth", "heads", "pool", "steps", "batch", "windows", "frequency_reference"]
)
def test_what_is_counted_is_at_least_1(name):
    assert refused(**{name: 0}) == f"{name} is 0, and it must be at least 1"
    assert getattr(WholeModelConfig(**{name: 4}), name) == 4


def numbers():
    kinds = (WholeModelConfig, SiteLocalConfig)
    return [(kind, each.name) for kind in kinds for each in fields(kind) if str(each.type).startswith("float")]


@pytest.mark.parametrize(("kind", "name"), numbers())
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused_everywhere(kind, name, value):
    line = f"{name} is {value}, and it must be a finite number: set it to one"
    assert refused(kind, **{name: value}) == line


def test_a_number_that_is_none_is_refused_on_the_command_line(capsys):
    from unweave.cli import main

    assert main(["cost", "polyglot", "--set", "capacity=inf"]) == 2
    assert "capacity is inf, and it must be a finite number" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["learning_rate", "gradient_clip", "anneal_from", "anneal_to", "faithfulness_rate"])
def test_what_must_be_positive_is_not_0(name):
    assert refused(**{name: 0.0}) == f"{name} is 0.0, and it must be above 0"


@pytest.mark.parametrize("name", [*RECONSTRUCTIONS, "sparsity", "frequency", "faithfulness", "prune_below"])
def test_weights_are_not_negative(name):
    assert refused(**{name: -1.0}) == f"{name} is -1.0, and it must not be negative"


def test_a_run_without_a_reconstruction_is_refused_with_their_names():
    line = refused(**NONE)
    assert line == (
        "no reconstruction has a weight: set one of merged, stochastic, layerwise, subset, adversarial, "
        "hidden_activations"
    )
    for name in RECONSTRUCTIONS:
        WholeModelConfig(**{**NONE, name: 1.0})


def test_a_fresh_adversary_needs_steps_and_keeps_no_pool():
    assert refused(adversary="fresh", sources="shared") == (
        "a fresh adversary with ascent_steps=0 is a random one: set ascent_steps to 1 or more"
    )
    assert refused(adversary="fresh", ascent_steps=1) == (
        "a fresh adversary keeps no pool: set sources to shared, position or batch"
    )
    WholeModelConfig(adversary="fresh", ascent_steps=1, sources="shared")
    # Where nothing is attacked, it is not asked.
    WholeModelConfig(adversary="fresh", merged=0.0, stochastic=1.0)


@pytest.mark.parametrize(
    ("options", "attacks"),
    [
        ({}, True),
        ({"adversarial_fraction": 0.0}, False),
        ({"merged": 0.0, "stochastic": 1.0}, False),
        ({"merged": 0.0, "adversarial": 1.0}, True),
        ({"adversarial_fraction": 0.0, "adversarial": 0.1}, True),
    ],
)
def test_the_adversary_is_used_by_the_terms_that_attack(options, attacks):
    assert WholeModelConfig(**options).attacks is attacks


def test_two_terms_attack():
    found = [name for name in RECONSTRUCTIONS if WholeModelConfig(**{**NONE, name: 1.0}).attacks]
    assert found == ["merged", "adversarial"]


@pytest.mark.parametrize(
    "options", [{"adversarial_fraction": 0.0}, {"merged": 0.0, "stochastic": 1.0}, {"merged": 0.0, "subset": 1.0}]
)
def test_ascent_steps_need_a_term_that_attacks(options):
    assert refused(ascent_steps=2, **options) == (
        "ascent_steps is 2, and no term attacks: set it to 0, or give adversarial a weight (or merged one and "
        "adversarial_fraction a part)"
    )
    assert not WholeModelConfig(**options).attacks
    assert WholeModelConfig(ascent_steps=2, **options | {"adversarial": 0.1}).ascent_steps == 2


def test_an_adversary_that_would_never_begin_is_refused():
    assert refused(adversary_start=1.0, steps=300) == (
        "adversary_start is 1.0, so none of the 300 steps has an adversary: set it lower, or adversarial_fraction and "
        "adversarial to 0"
    )
    assert "none of the 5 steps" in refused(adversary_start=0.9, steps=5)
    # The last step alone has one; and where nothing attacks, it is not asked.
    assert WholeModelConfig(adversary_start=0.8, steps=5).adversary_start == 0.8
    assert WholeModelConfig(adversary_start=1.0, adversarial_fraction=0.0).adversary_start == 1.0


def test_each_penalty_falls_between_numbers_of_its_own():
    assert set(ANNEALED) == set(PENALTIES)
    assert WholeModelConfig().annealing == (1.0, 0.05)
    assert WholeModelConfig(penalty="lp").annealing == (2.0, 0.4)
    assert WholeModelConfig(penalty="lp", anneal_from=1.5).annealing == (1.5, 0.4)
    assert WholeModelConfig(anneal_to=0.1).annealing == (1.0, 0.1)
    # A penalty that is changed later takes its own numbers, unless they are set.
    assert replace(WholeModelConfig(), penalty="lp").annealing == (2.0, 0.4)
    assert replace(WholeModelConfig(anneal_to=0.1), penalty="lp").annealing == (2.0, 0.1)


def test_what_is_stated_are_numbers_and_those_of_older_cards_are_the_same_config():
    stated = asdict(WholeModelConfig(penalty="lp").resolved())
    assert (stated["anneal_from"], stated["anneal_to"]) == (2.0, 0.4)
    older = Decomposition.load(bundled("polyglot")).card["config"]
    assert (older["anneal_from"], older["anneal_to"]) == (1.0, 0.05)
    again = typed_config(WholeModelConfig, older, "an older card")
    unset = replace(again, anneal_from=None, anneal_to=None).resolved()
    for known in map(plain_config, (again, unset)):
        assert {name: known[name] for name in older} == older


def test_settings_come_from_text():
    config = typed_config(WholeModelConfig, {"prune_at": "0.2,0.4", "subcomponents": "none", "merged": "0.5"}, "x")
    assert config == replace(WholeModelConfig(), prune_at=(0.2, 0.4), merged=0.5)
    assert typed_config(WholeModelConfig, {"prune_at": "", "subcomponents": "7"}, "x").subcomponents == 7
    assert typed_config(WholeModelConfig, {"anneal_from": "none", "anneal_to": "0.2"}, "x").annealing == (1.0, 0.2)
