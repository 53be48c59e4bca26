from __future__ import annotations

from dataclasses import replace

import numpy as np

from unweave.read.labels.learner import LARGEST, Sample, cross_validated, evaluate, learn, refine
from unweave.read.labels.predicate import Question
from unweave.read.labels.statistical import LEVEL, WEAK, cross_validated_accuracy


def sample(rule, n=1200, tokens=200, seed=0, table=None):
    generator = np.random.default_rng(seed)
    codes = {"token": generator.integers(0, tokens, n), "previous": generator.integers(0, tokens, n)}
    fires = rule(codes, generator)
    return Sample.of(codes, fires, generator.integers(0, 60, n), table)


def balanced(said, fires):
    return (said[fires].mean() + 1 - said[~fires].mean()) / 2


def test_a_set_of_tokens_is_found():
    made = sample(lambda codes, _: np.isin(codes["token"], range(20)))
    found = learn(made)
    assert isinstance(found, Question)
    assert (found.attribute, found.inside, found.outside) == ("token", True, False)
    assert set(found.codes) == set(range(20))
    assert balanced(cross_validated(made), made.fires) > 0.97


def test_two_tokens_side_by_side_are_found():
    made = sample(lambda codes, _: (codes["token"] < 30) & (codes["previous"] < 25), tokens=60)
    assert balanced(evaluate(learn(made), made), made.fires) > 0.98
    assert balanced(cross_validated(made), made.fires) > 0.9


def test_noise_gives_no_question_though_it_has_hundreds_of_values_to_choose_from():
    found = [sample(lambda codes, draw: draw.random(len(codes["token"])) < 0.3, seed=seed) for seed in range(20)]
    asked = sum(isinstance(learn(made), Question) for made in found)
    assert asked <= 4
    accuracy = [balanced(cross_validated(made), made.fires) for made in found]
    assert abs(np.mean(accuracy) - 0.5) < 0.02
    # In the sample itself a set chosen that way would look much better than it is.
    made = found[0]
    best = np.array([made.fires[made.which[0] == code].mean() for code in range(len(made.values[0]))])
    assert balanced((best > made.fires.mean())[made.which[0]], made.fires) > 0.65


def test_a_set_has_no_more_values_than_a_label_can_be_said_to_stand_for():
    made = sample(lambda codes, _: codes["token"] < 150)
    found = learn(made)
    assert isinstance(found, Question)
    assert len(found.codes) <= LARGEST


def test_counts_from_more_text_name_tokens_that_the_sample_has_not_seen():
    table = np.arange(400), np.full(400, 100), np.where(np.arange(400) < 40, 90, 0)

    def rule(codes, _):
        return codes["token"] < 40

    alone, helped = (learn(sample(rule, n=300, tokens=400, table=each)) for each in (None, table))
    assert isinstance(alone, Question)
    assert isinstance(helped, Question)
    assert set(helped.codes) <= set(range(40))
    assert len(helped.codes) > 1.5 * len(alone.codes)


def test_firings_of_the_tested_half_are_taken_out_of_the_counts():
    """Counts of the sample's own firings must not let cross-validation see what it tests."""
    generator = np.random.default_rng(1)
    common = np.repeat(np.arange(30), 20)
    rare = np.arange(30, 70)  # each once: nothing of one half says anything of the other
    tokens = np.concatenate([common, rare])
    fires = np.concatenate([common < 10, generator.random(len(rare)) < 0.5])
    table = np.arange(70), np.bincount(tokens), np.bincount(tokens, fires)
    made = Sample.of({"token": tokens}, fires, generator.integers(0, 80, len(tokens)), table)
    said = cross_validated(made)
    assert balanced(said[: len(common)], fires[: len(common)]) == 1
    assert balanced(said[len(common) :], fires[len(common) :]) == 0.5


def test_a_yes_that_holds_on_much_else_gets_one_more_question():
    coarse = Question("token", tuple(range(5)), True, False)
    alike = sample(lambda codes, _: codes["previous"] < 30, n=400, tokens=60)
    alike.which[0] %= 5
    found = refine(coarse, alike)
    assert balanced(evaluate(coarse, alike), alike.fires) == 0.5
    assert balanced(evaluate(found, alike), alike.fires) > 0.9
    noise = sample(lambda codes, draw: draw.random(len(codes["token"])) < 0.3, n=400, tokens=60)
    noise.which[0] %= 5
    assert refine(coarse, noise) == coarse


def test_one_window_is_in_one_half():
    made = sample(lambda codes, _: codes["token"] < 9)
    window = np.random.default_rng(0)
    window.integers(0, 200, 1200), window.integers(0, 200, 1200)
    number = window.integers(0, 60, 1200)
    for each in range(60):
        assert len(set(zip(made.half[number == each], made.quarter[number == each], strict=True))) <= 1
    assert 0.3 < made.half.mean() < 0.7
    assert 0.3 < made.quarter.mean() < 0.7


def clumped(seed, windows=8, length=64):
    """Noise that fires on a part of some windows, and words that clump in windows, too."""
    generator = np.random.default_rng(seed)
    window = np.repeat(np.arange(windows), length)
    topic = generator.integers(0, 40, windows)
    tokens = np.where(generator.random(len(window)) < 0.5, topic[window], generator.integers(0, 40, len(window)))
    fires = generator.random(len(window)) < generator.choice([0.02, 0.9], windows)[window]
    return Sample.of({"token": tokens}, fires, generator.integers(0, 10**6, windows)[window])


def test_noise_that_clumps_in_windows_tells_nothing():
    made = [one for one in map(clumped, range(300)) if 0 < one.fires.sum() < len(one.fires)]
    found = [cross_validated_accuracy(one) for one in made]
    assert not any(accuracy >= WEAK and p <= LEVEL for accuracy, p in found)
    many = [cross_validated_accuracy(clumped(seed, 60, 10)) for seed in range(150)]
    assert sum(p <= 0.05 for _, p in many) <= 12


def test_trees_that_always_give_one_answer_tell_nothing(monkeypatch):
    made = sample(lambda codes, draw: draw.random(len(codes["token"])) < 0.3)
    fires = np.where(made.half == 1, np.arange(len(made.half)) % 10 > 0, np.arange(len(made.half)) % 10 == 0)
    split = replace(made, fires=fires)
    monkeypatch.setattr("unweave.read.labels.statistical.cross_validated", lambda each: each.half == 1)
    accuracy, p = cross_validated_accuracy(split)
    assert accuracy > 0.8
    assert p == 1


def test_a_rule_that_holds_in_every_window_is_sure():
    accuracy, p = cross_validated_accuracy(sample(lambda codes, _: codes["token"] < 20))
    assert accuracy > 0.95
    assert p < 1e-6


def test_where_no_question_is_worth_it_the_answer_is_no_however_many_fire():
    for count in (30, 700, 900, 1100, 1170):
        made = sample(lambda codes, draw, count=count: draw.permutation(len(codes["token"])) < count, tokens=1)
        assert learn(made) is False
