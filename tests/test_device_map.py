"""Sites on several devices. Devices are played here (``places.py``); none of this has met real ones."""

from __future__ import annotations

from dataclasses import replace

import cut
import pytest
import tiny
import torch
from places import Places, place_of, put
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.decompose.importance import IMPORTANCES
from unweave.decompose.whole_model import Training, train_whole_model
from unweave.models.load import load_target
from unweave.models.target import make_target

FIRST, SECOND = torch.device("cuda:0"), torch.device("cuda:1")


class Halves(nn.Module):
    """Words through one matrix on each of two devices; the logits come back to where the words were."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(tiny.WORDS, tiny.WIDTH)
        self.first = nn.Linear(tiny.WIDTH, tiny.INNER)
        self.second = nn.Linear(tiny.INNER, tiny.WIDTH)
        self.head = nn.Embedding(tiny.WORDS, tiny.WIDTH)

    def forward(self, tokens):
        return (self.second(torch.relu(self.first(self.embedding(tokens)))) @ self.head.weight.T).to(tokens.device)


def target_of():
    module = Halves()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return make_target(module, None, "halves", check=False)


def spread(target):
    """The target's halves put on two devices, as accelerate does: input is moved inside a module's own forward."""
    for name, parameter in target.module.named_parameters():
        put(parameter, SECOND if name.startswith(("second", "head")) else FIRST)
    second = target.module.second
    plain = second.forward
    second.forward = lambda x: plain(x.to(second.weight.device))
    return target


def train(target, config):
    return train_whole_model(target, target.sites(), tiny.sentences(), config)


RUNS = [
    *((run, kind) for run, kind in zip(cut.RUNS, 2 * list(IMPORTANCES), strict=False)),
    *(("other terms, pruned", kind) for kind in IMPORTANCES),
]


@pytest.mark.parametrize(("run", "kind"), RUNS)
def test_sites_on_two_devices_are_trained_as_on_one(run, kind):
    config = replace(cut.config_of(run), importance=kind)
    wanted = train(target_of(), config)
    with Places():
        found = train(spread(target_of()), config)
    assert found.keys() == wanted.keys()
    assert all(place_of(tensor).type == "cpu" for tensor in found.values())
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())


def test_parts_and_a_resumed_run_put_everything_back_where_it_was(tmp_path, monkeypatch):
    config = replace(cut.config_of("shared"), micro_batch=4)
    wanted, step, seen = train(target_of(), config), Training.step, []

    def stopped(self, number):
        # Where an optimiser's counts of steps go is its own affair.
        tensors = {name: tensor for name, tensor in self._tensors().items() if not name.endswith("/step")}
        seen.append({name: place_of(tensor) for name, tensor in tensors.items()})
        if number == 2 and len(seen) == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(Training, "step", stopped)
    options = {"checkpoint": tmp_path / "x.safetensors", "checkpoint_seconds": 0}
    with Places():
        target = spread(target_of())
        with pytest.raises(KeyboardInterrupt):
            train_whole_model(target, target.sites(), tiny.sentences(), config, **options)
        found = train_whole_model(target, target.sites(), tiny.sentences(), config, **options)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())
    before, after = seen[2], seen[3]
    assert before == after
    assert {name: place for name, place in before.items() if "second" in name and place != SECOND} == {}
    assert before["first/V"] == before["usage:first"] == before["sources:first"] == FIRST
    assert before["descent:second/V/exp_avg"] == before["ascent:sources:second/exp_avg"] == SECOND


def test_a_place_is_kept_apart_from_another():
    """What the tests above rest on."""
    with Places():
        a, b = torch.ones(2, device="cuda:0"), torch.ones(2).to("cuda:1")
        with pytest.raises(RuntimeError, match="add: expected all tensors to be on the same device"):
            torch.add(a, b)
        assert (a.to(b.device) + b).device == SECOND
        assert (b * torch.tensor(2.0)).device == SECOND
        assert a.device == FIRST
        assert torch.zeros_like(b).device == SECOND


@pytest.fixture
def saved(llama, tokenizer, tmp_path):
    llama.module.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_device_map_of_one_device_gives_the_target_itself(saved, tokens):
    plain = load_target(saved, device="cpu")
    mapped = load_target(saved, device_map={"": "cpu"})
    assert mapped.identity == plain.identity
    assert torch.equal(mapped.logits(tokens), plain.logits(tokens))
    config = replace(tiny.CONFIG, steps=2, sites="*.layers.1.mlp.*", subcomponents=4)
    first, second = (
        train_whole_model(target, target.sites(config.sites), lambda _: tokens, config) for target in (plain, mapped)
    )
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_weights_that_a_device_map_leaves_on_disk_are_named(saved, tmp_path):
    on_disk = {"model.embed_tokens": "cpu", "model.layers": "disk", "model.norm": "cpu", "model.rotary_emb": "cpu"}
    with pytest.raises(UnweaveError, match=r"the device map offloads 36 weights, the first is model\.layers\.0\."):
        load_target(saved, device_map={**on_disk, "lm_head": "cpu"})


def test_what_does_not_go_with_a_device_map_is_refused(saved, monkeypatch):
    for options, message in (
        ({"device_map": "auto", "device": "cpu"}, "device 'cpu' and a device map are given"),
        ({"device_map": "evenly"}, "device_map is 'evenly'; nearest"),
    ):
        with pytest.raises(UnweaveError, match=message):
            load_target(saved, **options)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UnweaveError, match="start one process a machine"):
        load_target(saved, device_map="auto")
