from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose import start, whole_model
from unweave.decompose.checkpoint import read_checkpoint
from unweave.decompose.config import RECONSTRUCTIONS
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.importance import IMPORTANCES
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.whole_model import train_whole_model
from unweave.models.target import make_target, weights_hash

NONE = dict.fromkeys(RECONSTRUCTIONS, 0.0)
DATA = {
    "words": (tiny.words, tiny.sentences, {"divergence": "kl"}),
    "features": (tiny.features, tiny.rows, {"divergence": "mse"}),
}


@functools.cache
def target_of(data):
    return DATA[data][0]()


def config_of(data="words", **options):
    return replace(tiny.CONFIG, **DATA[data][2], **options)


def train(data="words", config=None, **options):
    target = target_of(data)
    return train_whole_model(target, target.sites(), DATA[data][1](), config or config_of(data), **options)


def logged(monkeypatch, *arguments):
    """What every step measured."""
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(whole_model, "LOG_EVERY", 1)
        train(*arguments, log=found.append)
    return found


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def assembled(tensors, config, target):
    names = [site.name for site in target.sites()]
    return Decomposition.from_tensors(tensors, names, config.importance, target.identity.digest, target.name)


# Whatever can be combined trains, and what comes out can be kept.

UNATTACKED = [{"stochastic": 1.0}, {"layerwise": 1.0}, {"subset": 1.0}, {"stochastic": 0.5, "hidden_activations": 0.5}]
ADVERSARIES = [
    *({"adversary": "persistent", "sources": scope} for scope in ("shared", "position", "batch", "pooled")),
    *({"adversary": "fresh", "sources": scope, "ascent_steps": 2} for scope in ("shared", "position", "batch")),
]
TERMS = [*UNATTACKED, *({term: 1.0} | each for term in ("merged", "adversarial") for each in ADVERSARIES)]
PENALTIES = [{"penalty": "smooth-l0"}, {"penalty": "lp", "anneal_from": 2.0, "anneal_to": 0.5}]


def named(options):
    return " ".join(str(value) if isinstance(value, str) else name for name, value in options.items())


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("importance", IMPORTANCES)
@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda each: each["penalty"])
@pytest.mark.parametrize("terms", TERMS, ids=named)
def test_every_combination_trains_and_its_decomposition_comes_back_from_its_file(
    data, importance, penalty, terms, tmp_path, monkeypatch
):
    start = {}
    initial = whole_model.initial_tensors

    def spy(*arguments, **options):
        start.update(initial(*arguments, **options))
        return start

    monkeypatch.setattr(whole_model, "initial_tensors", spy)
    monkeypatch.setattr(whole_model, "LOG_EVERY", 1)
    config = config_of(data, importance=importance, steps=3, **{**NONE, **penalty, **terms})
    measured = []
    tensors = train(data, config, log=measured.append)
    assert len(measured) == 3
    assert all(math.isfinite(value) for values in measured for value in values.values())
    assert all(values["reconstruction"] > 0 for values in measured)
    assert set(tensors) == {name for name in start if not name.endswith("weight_scale")}
    for name, tensor in tensors.items():
        assert torch.isfinite(tensor).all(), name
        assert torch.equal(tensor, start[name]) == name.endswith("scale"), name

    made = assembled(tensors, config, target_of(data))
    made.save(tmp_path / "one.decomp")
    found = Decomposition.load(tmp_path / "one.decomp")
    assert equal(found.tensors(), made.tensors())
    with MaskedTarget(target_of(data), target_of(data).sites()).attached() as model:
        _, inputs = model.clean(DATA[data][1](seed=9)(0))
    importances, again = made.importances(inputs), found.importances(inputs)
    for name, g in importances.items():
        assert g.shape == (*inputs[name].shape[:-1], 12)
        assert float(g.min()) >= 0
        assert float(g.max()) <= 1
        assert torch.equal(again[name], g)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("importance", IMPORTANCES)
def test_the_error_falls_for_every_kind_of_importance(data, importance, monkeypatch):
    """From random pieces on."""
    config = config_of(data, importance=importance, start="random", steps=60)
    errors = [values["reconstruction"] for values in logged(monkeypatch, data, config)]
    assert sum(errors[-5:]) < 0.5 * sum(errors[:5])


# What is learned.


def test_pieces_become_faithful_sparse_and_good_under_masks(monkeypatch):
    found = logged(monkeypatch, "words", config_of(steps=300, start="random", sparsity=0.02))
    first, last = found[0], found[-1]
    assert last["l0"] < 0.5 * first["l0"]
    assert last["faithfulness"] < 0.01 < 1 < first["faithfulness"]
    assert last["reconstruction"] < 0.3 * first["reconstruction"]


def test_the_result_is_at_the_scale_of_the_matrix():
    tensors, target = train(config=config_of(steps=60)), target_of("words")
    assert sorted(name for name in tensors if name.startswith("up/")) == sorted(
        ["up/V", "up/U", *(f"up/importance.{name}" for name in ("scale", "A", "a", "B", "b"))]
    )
    assert not any(tensor.requires_grad for tensor in tensors.values())
    for site in target.sites():
        weight = target.weight(site)
        delta = weight - (tensors[f"{site.name}/V"] @ tensors[f"{site.name}/U"]).T
        assert delta.norm() < 0.2 * weight.norm()


def test_a_matrix_a_thousand_times_larger_gives_the_same_pieces_larger():
    module = tiny.Features()
    plain = target_of("features")
    module.load_state_dict(plain.module.state_dict())
    with torch.no_grad():
        module.first.weight.mul_(1000)
        module.second.weight.div_(1000)
    large = make_target(module, None, "large", check=False)
    config = config_of("features", steps=10)
    tensors = train("features", config)
    scaled = train_whole_model(large, large.sites(), tiny.rows(), config)
    for name, factor in (("first", 1000.0), ("second", 1e-3)):
        # Adam makes a whole step of 0.01 of a gradient that is rounding alone: here it may err in three of ten.
        torch.testing.assert_close(scaled[f"{name}/U"], factor * tensors[f"{name}/U"], rtol=1e-2, atol=3e-2 * factor)
        torch.testing.assert_close(scaled[f"{name}/V"], tensors[f"{name}/V"], rtol=1e-2, atol=3e-2)


def test_sparsity_is_what_turns_pieces_off(monkeypatch):
    counts = [logged(monkeypatch, "words", config_of(steps=80, sparsity=s))[-1]["l0"] for s in (0.0, 0.3)]
    assert counts[1] < 0.5 * counts[0]


@pytest.mark.parametrize(
    "options", [{}, {"ascent_steps": 2}, {"adversary": "fresh", "sources": "shared", "ascent_steps": 4}]
)
def test_the_adversary_makes_the_error_larger_than_random_masks_do(monkeypatch, options):
    """Of the same samples: one run's merged term with all of them attacked, another's with none and all sites."""
    config = config_of(steps=60, learning_rate=1e-9, adversary_rate=0.2, adversarial_fraction=1.0, **options)
    attacked = logged(monkeypatch, "words", config)
    random = logged(monkeypatch, "words", replace(config, merged=0.0, stochastic=1.0, ascent_steps=0))
    found, chance = (sum(values["reconstruction"] for values in run[-10:]) for run in (attacked, random))
    assert found > 1.3 * chance


def test_the_adversary_begins_when_it_is_told_to(monkeypatch):
    found = logged(monkeypatch, "words", config_of(adversary_start=0.5))
    assert [values["adversarial"] > 0 for values in found] == [False] * 10 + [True] * 10
    own = logged(monkeypatch, "words", config_of(adversary_start=0.5, merged=0.0, subset=1.0, adversarial=1.0))
    assert ["adversarial" in values for values in own] == [False] * 10 + [True] * 10


def test_sources_stay_where_they_started_until_the_adversary_begins(tmp_path, monkeypatch):
    def sources(steps):
        path = interrupted(
            tmp_path / f"{steps}", monkeypatch, steps, config_of(adversary_start=0.5, adversary_rate=0.04)
        )
        return {name: tensor for name, tensor in read(path)[1].items() if name.startswith("sources:")}

    start, first, later = sources(1), sources(11), sources(20)
    assert equal(sources(10), start)
    # Adam's first step is its rate, wherever there is a slope.
    for name, source in start.items():
        assert float((first[name] - source).abs().max()) == pytest.approx(0.04, rel=1e-3)
        assert (later[name] != first[name]).any()
        assert float(later[name].min()) >= 0
        assert float(later[name].max()) <= 1


def test_a_fresh_adversary_starts_elsewhere_at_every_step_and_keeps_nothing(tmp_path, monkeypatch):
    starts, ends = [], []
    start, attack = whole_model.start_sources, whole_model.attack

    def started(*arguments):
        starts.append(start(*arguments))
        return starts[-1]

    def attacked(*arguments):
        ends.append(attack(*arguments))
        return ends[-1]

    monkeypatch.setattr(whole_model, "start_sources", started)
    monkeypatch.setattr(whole_model, "attack", attacked)
    config = config_of(adversary="fresh", sources="position", ascent_steps=2, adversary_rate=0.1, steps=4)
    _, tensors = read(interrupted(tmp_path / "x", monkeypatch, 3, config))
    assert not [name for name in tensors if "sources:" in name]
    assert len(starts) == len(ends) == 3
    assert not torch.equal(starts[0]["up"], starts[1]["up"])
    for before, after in zip(starts, ends, strict=True):
        assert before["up"].shape == (1, tiny.LENGTH, 13)
        moved = (after["up"] - before["up"]).abs()
        assert 0.1 < float(moved.max()) < 0.2 + 1e-6  # two steps


def test_schedules_run_from_start_to_end(monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def spy(self, *arguments, **options):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    config = config_of(steps=200, anneal_from=2.0, anneal_to=0.5, annealed_over=0.5, final_rate=0.1, learning_rate=1e-2)
    config = replace(config, sparsity=0.1, sparsity_rise=0.25)
    found = logged(monkeypatch, "features", replace(config, divergence="mse"))
    anneal = [values["anneal"] for values in found]
    assert anneal[0] == 2.0
    assert anneal[50] == pytest.approx(1.25)
    assert anneal[100:] == pytest.approx([0.5] * 100)
    for number, weight in ((0, 0.0), (25, 0.05), (50, 0.1), (150, 0.1)):
        values = found[number]
        rest = values["loss"] - values["reconstruction"] - config.faithfulness * values["faithfulness"]
        assert rest == pytest.approx(weight * values["penalty"], rel=1e-3, abs=1e-5)
    # Warm-up over a hundredth of the steps, then a cosine.
    assert rates[0] == pytest.approx(0.5e-2)
    assert rates[1] == pytest.approx(1e-2, rel=1e-3)
    assert rates[100] == pytest.approx(0.55e-2)
    assert rates[199] == pytest.approx(0.1e-2, rel=0.01)
    assert len(rates) == 200


def test_each_penalty_falls_between_its_own_numbers_and_a_checkpoint_states_them(monkeypatch):
    for penalty, ends in {"smooth-l0": (1.0, 0.05), "lp": (2.0, 0.4)}.items():
        config = config_of(steps=10, penalty=penalty)
        found = logged(monkeypatch, "words", config)
        assert (found[0]["anneal"], found[-1]["anneal"]) == pytest.approx(ends)
        stated = replace(config, anneal_from=ends[0], anneal_to=ends[1])
        assert whole_model.run_settings([], "", config) == whole_model.run_settings([], "", stated)


def test_steps_on_faithfulness_alone_come_first(monkeypatch):
    without, after = (
        logged(
            monkeypatch, "words", config_of(start="random", steps=1, faithfulness_steps=steps, faithfulness_rate=0.05)
        )
        for steps in (0, 50)
    )
    assert after[0]["faithfulness"] < 0.1 * without[0]["faithfulness"]


def test_subcomponents_and_importance_function_are_clipped_apart(monkeypatch):
    sizes = []

    def spy(parameters, largest):
        sizes.append((sorted(tuple(each.shape) for each in parameters), largest))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    train(config=config_of(steps=1, gradient_clip=0.25))
    assert sizes == [
        (sorted([(8, 12), (12, 10), (10, 12), (12, 8)]), 0.25),
        (sorted([(8, 8), (8,), (8, 12), (12,), (10, 8), (8,), (8, 12), (12,)]), 0.25),
    ]


# The run.


def test_the_seed_decides_everything():
    config = config_of(steps=8)
    first = train(config=config)
    torch.manual_seed(3)  # torch's own generator plays no part
    assert equal(train(config=config), first)
    other = train(config=replace(config, seed=1))
    assert not any(torch.equal(other[name], tensor) for name, tensor in first.items() if not name.endswith("scale"))


def test_it_says_at_each_step_how_far_it_is_and_logs_some_of_them(monkeypatch):
    monkeypatch.setattr(whole_model, "LOGGED_STEPS", 10)
    said, measured = [], []
    progress = SimpleNamespace(say=said.append, update=lambda *arguments: said.append(arguments))
    train(config=config_of(steps=25), progress=progress, log=measured.append)
    assert [values["step"] for values in measured] == [*range(2, 25, 2), 25]
    assert [(done, total) for done, total, _ in said] == [(step, 25) for step in range(1, 26)]
    last = measured[-1]
    assert said[-1][2] == f"error {last['reconstruction']:.4f} L0 {last['l0']:.1f} of {last['alive']:.0f}"
    assert {"loss", "merged", "penalty", "faithfulness", "seconds", "anneal"} <= last.keys()
    assert [values["seconds"] for values in measured] == sorted(values["seconds"] for values in measured)


def test_the_target_is_left_as_it_was_whatever_happens():
    target = target_of("words")
    before, plain = weights_hash(target.module), target.logits(tiny.sentences()(0))
    train()
    with pytest.raises(UnweaveError):
        train(config=config_of(learning_rate=1e30))
    assert weights_hash(target.module) == before
    assert torch.equal(target.logits(tiny.sentences()(0)), plain)
    assert all(parameter.grad is None for parameter in target.module.parameters())
    assert not any(child._forward_hooks for child in target.module.modules())


def test_one_site_alone_is_taken_apart_with_the_others_whole():
    target = target_of("words")
    tensors = train_whole_model(target, target.sites("down"), tiny.sentences(), config_of(steps=3))
    assert {name.split("/")[0] for name in tensors} == {"down"}


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(UnweaveError, match="hidden is 8 with 3 heads"):
        train(config=config_of(importance="transformer", heads=3))


def test_a_target_in_half_precision_is_taken_apart_in_float32(fresh, tokens):
    target = fresh("llama", torch.bfloat16)
    config = config_of(steps=2, subcomponents=8)
    tensors = train_whole_model(target, target.sites("model.layers.1.mlp.*"), lambda _: tokens, config)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


# Going on after an interruption.


def save_every_step(patch, stop_at=None):
    """A checkpoint after each step; Ctrl-C right after the one of ``stop_at`` steps."""
    ticks = itertools.count(0, 100)
    patch.setattr(whole_model, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    write = whole_model.write_checkpoint

    def stopping(path, settings, step, *rest):
        write(path, settings, step, *rest)
        if step == stop_at:
            raise KeyboardInterrupt

    patch.setattr(whole_model, "write_checkpoint", stopping)


def interrupted(path, monkeypatch, stop_at, config, data="words", **options):
    with monkeypatch.context() as patch:
        save_every_step(patch, stop_at)
        with pytest.raises(KeyboardInterrupt):
            train(data, config, checkpoint=path, **options)
    return path


def read(path):
    """Steps and tensors of a checkpoint, whatever its settings."""
    return read_checkpoint(path, {})[:2]


RUNS = {
    "pruned, persistent": {"prune_at": (0.3, 0.6), "prune_below": 0.96, "sparsity": 0.1, "ascent_steps": 1},
    "fresh": {"adversary": "fresh", "sources": "shared", "ascent_steps": 2, "prune_at": (0.5,), "prune_below": 0.94},
    "faithful first": {"start": "random", "faithfulness_steps": 5, "sources": "batch", "adversary_start": 0.4},
}


@functools.cache
def uninterrupted(run, importance):
    return train(config=config_of(importance=importance, **RUNS[run]))


@pytest.mark.parametrize("importance", IMPORTANCES)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("stop_at", [1, 6, 7, 12, 19, 20])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(run, importance, stop_at, tmp_path, monkeypatch):
    """Stopped before and after each pruning, which is before steps 6 and 12, or 10; and after the last step."""
    config, wanted = config_of(importance=importance, **RUNS[run]), uninterrupted(run, importance)
    path = interrupted(tmp_path / "x.safetensors", monkeypatch, stop_at, config)
    steps = []
    step = whole_model.Training.step

    def spy(self, number):
        steps.append(number)
        return step(self, number)

    monkeypatch.setattr(whole_model.Training, "step", spy)
    assert equal(train(config=config, checkpoint=path), wanted)
    assert steps == list(range(stop_at, 20))


def test_the_runs_above_prune_what_they_should():
    pieces = {run: uninterrupted(run, "site-mlp")["up/V"].shape[1] for run in RUNS}
    assert 1 <= pieces["pruned, persistent"] < 12
    assert 1 < pieces["fresh"] < 12
    assert pieces["faithful first"] == 12


def test_a_training_stopped_twice_is_the_uninterrupted_one_too(tmp_path, monkeypatch):
    config = config_of(**RUNS["pruned, persistent"])
    for stop_at in (5, 14):
        path = interrupted(tmp_path / "x.safetensors", monkeypatch, stop_at, config)
    assert equal(train(config=config, checkpoint=path), uninterrupted("pruned, persistent", "site-mlp"))


def test_checkpoints_change_nothing(tmp_path, monkeypatch):
    plain = train(config=config_of(**RUNS["pruned, persistent"]))
    save_every_step(monkeypatch)
    found = train(config=config_of(**RUNS["pruned, persistent"]), checkpoint=tmp_path / "x.safetensors")
    assert equal(found, plain)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize(("seconds", "kept"), [(60.0, [20]), (0.0, list(range(1, 21)))])
def test_a_checkpoint_is_written_so_often_and_after_the_last_step(tmp_path, monkeypatch, seconds, kept):
    written, write = [], whole_model.write_checkpoint
    monkeypatch.setattr(whole_model, "write_checkpoint", lambda *given: (written.append(given[2]), write(*given)))
    first = train(checkpoint=tmp_path / "x.safetensors", checkpoint_seconds=seconds)
    assert written == kept
    # What is kept at the end is the whole training.
    monkeypatch.setattr(whole_model.Training, "step", None)
    assert equal(train(checkpoint=tmp_path / "x.safetensors"), first)


def test_a_checkpoint_of_other_settings_sites_or_origin_is_refused(tmp_path, monkeypatch):
    config = config_of()
    path = interrupted(tmp_path / "x.safetensors", monkeypatch, 3, config, origin="target-text")
    content = path.read_bytes()
    for other, origin in ((replace(config, seed=1), "target-text"), (config, "other-text"), (config, "")):
        with pytest.raises(UnweaveError, match="is a checkpoint of other settings, text or another target"):
            train(config=other, checkpoint=path, origin=origin)
    target = target_of("words")
    with pytest.raises(UnweaveError, match="is a checkpoint of other settings"):
        train_whole_model(target, target.sites("up"), tiny.sentences(), config, checkpoint=path, origin="target-text")
    assert path.read_bytes() == content
    train(config=config, checkpoint=path, origin="target-text")


def test_a_loss_that_stops_being_finite_says_what_to_do():
    with pytest.raises(UnweaveError) as stopped:
        train(config=config_of(learning_rate=1e30))
    assert str(stopped.value) == (
        "the loss stopped being finite at step 2: lower learning_rate (now 1e+30) and start again; nothing is kept, "
        "because no folder was given to keep it in"
    )


def test_a_batch_that_is_not_finite_is_said_to_be_the_cause(tmp_path):
    def batches(step):
        return DATA["features"][1]()(step) * (math.inf if step == 11 else 1)

    with pytest.raises(UnweaveError) as stopped:
        train_whole_model(target_of("features"), target_of("features").sites(), batches, config_of("features"))
    assert str(stopped.value).startswith(
        "the loss stopped being finite at step 12: its batch has NaN or infinite values: leave those rows out and start"
    )


def test_weights_that_the_last_step_spoilt_are_no_result(tmp_path, monkeypatch):
    step = whole_model.Training.step

    def poisoned(self, number):
        found = step(self, number)
        if number == 19:
            self.trained["up/V"].detach()[0, 0] = math.nan
        return found

    monkeypatch.setattr(whole_model.Training, "step", poisoned)
    with pytest.raises(UnweaveError, match=r"at step 20: lower .* there is no checkpoint yet, so nothing is kept$"):
        train(checkpoint=tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scope", ["batch", "position"])
def test_kept_sources_of_another_reach_than_a_batch_are_refused_in_one_line(scope):
    def batches(step):
        return tiny.sentences()(step)[:, : 5 if step < 11 else 4]

    target, config = target_of("words"), config_of(sources=scope)
    with pytest.raises(UnweaveError) as refused:
        train_whole_model(target, target.sites(), batches, config)
    kept = "(6, 5)" if scope == "batch" else "(1, 5)"
    assert str(refused.value) == (
        f"the batch of step 12 has rows of shape (6, 4), and sources={scope!r} are kept for {kept}: give every step a "
        "batch of one shape, or set sources to shared or pooled"
    )
    for other in ("shared", "pooled"):
        train_whole_model(target, target.sites(), batches, replace(config, sources=other))
    fresh = replace(config, adversary="fresh", ascent_steps=1)
    train_whole_model(target, target.sites(), batches, fresh)


def test_an_adversary_that_would_get_no_sample_is_refused():
    with pytest.raises(UnweaveError, match=r"adversarial_fraction is 0.05, which is none of the 6 samples of a batch"):
        train(config=config_of(adversarial_fraction=0.05))


def test_it_names_the_last_good_state_when_there_is_one_and_keeps_it(tmp_path, monkeypatch):
    """The step before the loss is seen to be lost has already spoilt the weights: its state is not kept."""
    path, config = tmp_path / "x.safetensors", config_of()
    step = whole_model.Training.step

    def poisoned(self, number):
        found = step(self, number)
        if number == 6:
            self.trained["up/V"].detach()[0, 0] = math.nan
        return found

    monkeypatch.setattr(whole_model.Training, "step", poisoned)
    save_every_step(monkeypatch)
    with pytest.raises(
        UnweaveError,
        match=r"at step 8: lower .* start again with another --out; the last good checkpoint is .*, after 6 steps$",
    ):
        train(config=config, checkpoint=path)
    steps, tensors = read(path)
    assert steps == 6
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_pieces_that_are_not_used_are_dropped_before_and_after_an_interruption_alike(tmp_path, monkeypatch):
    config = config_of(**RUNS["pruned, persistent"])
    counts = []
    for stop_at in (5, 6, 7, 13):
        _, tensors = read(interrupted(tmp_path / f"{stop_at}", monkeypatch, stop_at, config))
        counts.append(tensors["up/V"].shape[1])
        assert tensors["up/U"].shape[0] == tensors["usage:up"].shape[0] == counts[-1]
        assert tensors["sources:up"].shape == (3, 1, counts[-1] + 1)
        assert tensors["ascent:sources:up/exp_avg"].shape == (3, 1, counts[-1] + 1)
        assert tensors["descent:up/V/exp_avg_sq"].shape == (8, counts[-1])
    assert counts[0] == counts[1] == 12 > counts[2] >= counts[3]


def test_merged_with_no_sample_attacked_is_the_subset_reconstruction():
    target = tiny.features()
    shared = replace(tiny.CONFIG, divergence="mse", steps=3)
    alone = train_whole_model(
        target, target.sites(), tiny.rows(), replace(shared, merged=0.0, subset=1.0, adversarial_fraction=0.0)
    )
    found = train_whole_model(target, target.sites(), tiny.rows(), replace(shared, adversarial_fraction=0.0))
    for name, tensor in alone.items():
        torch.testing.assert_close(found[name], tensor)


def test_a_batch_cut_into_parts_starts_from_the_same_input_scales(monkeypatch):
    target = tiny.words()
    scales = []
    monkeypatch.setattr(start, "START_ROWS", 1600)  # 40 samples of 5 positions from each batch
    for cut in (None, 16):
        config = replace(tiny.CONFIG, start="random", batch=64, micro_batch=cut, steps=1)
        with MaskedTarget(target, target.sites()).attached() as model:
            training = whole_model.Training(model, tiny.sentences(batch=64), config)
            training.begin()
            scales.append({name: t.clone() for name, t in training.state.items() if name.endswith("importance.scale")})
    for name, scale in scales[0].items():
        torch.testing.assert_close(scales[1][name], scale)


def test_bfloat16_products_leave_all_that_is_trained_in_float32_and_the_loss_where_it_was(monkeypatch):
    exact, half = (logged(monkeypatch, "words", config_of(precision=name)) for name in ("float32", "bfloat16"))
    seen = []
    target = target_of("words")
    handle = target.module.get_submodule(target.sites()[0].module).register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    try:
        tensors = train(config=config_of(precision="bfloat16"))
    finally:
        handle.remove()
    assert torch.bfloat16 in seen
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert half[0]["loss"] != exact[0]["loss"]
    assert half[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.03)
    assert half[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.1)


@pytest.mark.parametrize("options", [{"hidden_activations": 1.0}, {"micro_batch": 4}, {"base": True}], ids=named)
def test_bfloat16_products_leave_the_loss_where_it_was_whatever_the_terms_the_parts_and_the_base(options, monkeypatch):
    changes, given = dict(options), {}
    if changes.pop("base", False):
        given["base"] = tiny.words()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for site in given["base"].sites():
                weight = given["base"].weight(site)
                weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    monkeypatch.setattr(whole_model, "LOG_EVERY", 1)
    runs = []
    # In float32 uncut, so that parts are compared with the whole step.
    for extra in ({"micro_batch": None}, {"precision": "bfloat16"}):
        runs.append([])
        train(config=config_of(**(changes | extra)), log=runs[-1].append, **given)
    exact, half = runs
    assert half[0]["loss"] != exact[0]["loss"]
    assert half[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.03)
    assert half[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.1)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UnweaveError, match="precision is 'float16'; "):
        config_of(precision="float16")
