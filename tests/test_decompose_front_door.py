"""``decompose`` with the settings of the whole-model method: what it takes, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import planted
import pytest
import tiny
import torch
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.decompose import SiteLocalConfig, decompose, run, whole_model
from unweave.decompose.batches import RowBatches, balanced_rows, fingerprint, fingerprint_batches, text_windows
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.whole_model import train_whole_model
from unweave.models.target import make_target

CONFIG = replace(tiny.CONFIG, divergence="mse", steps=4)
TEXT = replace(tiny.CONFIG, sites=planted.SITE, steps=3, batch=4, window_length=16, windows=5)


@pytest.fixture(scope="module")
def target():
    return tiny.features()


@pytest.fixture(scope="module")
def rows():
    return tiny.rows(40)(0)


def same(first, second):
    ours, theirs = first.tensors(), second if isinstance(second, dict) else second.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_feature_rows_are_drawn_from_by_seed_and_step(target, rows):
    made = decompose(target, rows, CONFIG)
    wanted = train_whole_model(target, target.sites(), RowBatches(rows, CONFIG.batch, CONFIG.seed), CONFIG)
    assert same(made, wanted)
    assert list(made.sites) == ["first", "second"]
    assert (made.target, made.target_name) == (target.identity.digest, "tiny features")
    assert made.importance_kind == "site-mlp"
    card = dict(made.card)
    assert card.pop("training_seconds") >= 0
    facts = {"data": fingerprint(rows), "rows": 40, "processes": 1}
    assert card == {"method": "whole-model", "config": asdict(CONFIG.resolved()), **facts}


def test_windows_of_tokens_are_rows_too():
    target, config = tiny.words(), replace(tiny.CONFIG, steps=2)
    windows = torch.cat([tiny.sentences()(step) for step in range(3)])
    made = decompose(target, windows, config)
    assert same(made, train_whole_model(target, target.sites(), RowBatches(windows, config.batch), config))


def test_a_function_gives_a_batch_for_each_step(target):
    steps, logged = [], []

    def batches(step):
        steps.append(step)
        return tiny.rows()(step)

    made = decompose(target, batches, CONFIG, log=logged.append)
    assert set(steps) == set(range(whole_model.START_BATCHES))
    assert steps[-4:] == [0, 1, 2, 3]
    assert same(made, train_whole_model(target, target.sites(), tiny.rows(), CONFIG))
    assert made.card["data"] == fingerprint_batches(tiny.rows())
    assert [values["step"] for values in logged] == [1, 2, 3, 4]


def test_the_windows_of_a_corpus_are_balanced_over_its_labels(planted_target, planted_text):
    made = decompose(planted_target, planted_text, TEXT, labels=["qa", "qb"])
    windows = text_windows(planted_target, planted_text, "decomposition", 5, 16, ["qa", "qb"])
    rows = torch.cat([torch.as_tensor(part) for part in windows.values()])
    batches = RowBatches(rows, 4, 0, balanced_rows([5, 5]))
    assert same(made, train_whole_model(planted_target, planted_target.sites(planted.SITE), batches, TEXT))
    facts = {name: made.card[name] for name in ("corpus", "labels", "windows", "tokens", "data")}
    assert facts == {
        "corpus": planted_text.name,
        "labels": ["qa", "qb"],
        "windows": {"qa": 5, "qb": 5},
        "tokens": 160,
        "data": fingerprint(rows),
    }
    assert decompose(planted_target, planted_text, TEXT).card["labels"] == list(planted.LABELS)


def test_every_kind_of_importance_comes_out_named(target, rows):
    for kind in ("component-mlp", "shared-mlp", "transformer"):
        assert decompose(target, rows, replace(CONFIG, importance=kind, steps=1)).importance_kind == kind


def test_what_is_saved_is_what_is_returned_and_nothing_else_stays(target, rows, tmp_path):
    made = decompose(target, rows, CONFIG, out=tmp_path / "one.decomp")
    assert [path.name for path in tmp_path.iterdir()] == ["one.decomp"]
    stored = Decomposition.load(tmp_path / "one.decomp")
    assert same(made, stored)
    assert stored.card == json.loads(json.dumps(made.card))


def interrupted(monkeypatch, target, data, out):
    """A call that is stopped in its third step, with a checkpoint of every step before."""
    step = whole_model.Training.step

    def stopping(self, number):
        if number == 2:
            raise KeyboardInterrupt
        return step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(whole_model.Training, "step", stopping)
        with pytest.raises(KeyboardInterrupt):
            decompose(target, data, CONFIG, out=out, checkpoint_seconds=0)


def test_an_interrupted_call_goes_on_where_it_was(target, rows, tmp_path, monkeypatch):
    out = tmp_path / "one.decomp"
    step = whole_model.Training.step
    interrupted(monkeypatch, target, rows, out)
    assert not out.exists()
    assert [path.name for path in (tmp_path / "one.decomp.training").iterdir()] == ["whole-model.safetensors"]
    for other in (rows + 1, lambda _: rows):
        with pytest.raises(UnweaveError, match="is a checkpoint of other settings, text or another target"):
            decompose(target, other, CONFIG, out=out)
    with pytest.raises(UnweaveError, match="is a checkpoint of other settings"):
        decompose(target, rows, replace(CONFIG, seed=1), out=out)
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(whole_model.Training, "step", lambda self, number: steps.append(number) or step(self, number))
        made = decompose(target, rows, CONFIG, out=out)
    assert steps == [2, 3]
    assert same(made, decompose(target, rows, CONFIG))
    assert [path.name for path in tmp_path.iterdir()] == ["one.decomp"]


def test_a_run_does_not_go_on_with_another_function_of_batches(target, tmp_path, monkeypatch):
    out = tmp_path / "one.decomp"
    interrupted(monkeypatch, target, tiny.rows(), out)

    def later(step):
        return tiny.rows()(step) * (2 if step == 5 else 1)

    for other in (tiny.rows(seed=1), later):
        with pytest.raises(UnweaveError, match="is a checkpoint of other settings, text or another target"):
            decompose(target, other, CONFIG, out=out)
    assert same(decompose(target, tiny.rows(), CONFIG, out=out), decompose(target, tiny.rows(), CONFIG))


def test_batches_that_are_others_each_time_cannot_be_kept_in_a_folder(target, tmp_path):
    generator = torch.Generator().manual_seed(0)

    def batches(_):
        return torch.rand(8, 6, generator=generator)

    with pytest.raises(UnweaveError, match=r"is another one when it is drawn again, .*: make the batch a function of"):
        decompose(target, batches, CONFIG, out=tmp_path / "one.decomp")
    decompose(target, batches, CONFIG)


@pytest.mark.parametrize(
    ("batch", "line"),
    [
        (torch.zeros(0, 6), r"the data has shape \(0, 6\): give windows"),
        (torch.full((4, 6), float("nan")), "the data has NaN or infinite values: remove those rows first"),
        ([[1.0] * 6], "the batch of step 1 is a list, and a tensor is needed"),
    ],
)
def test_batches_that_cannot_be_learned_from_are_refused(target, batch, line, tmp_path):
    with pytest.raises(UnweaveError, match=line):
        decompose(target, lambda _: batch, CONFIG, out=tmp_path / "one.decomp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            torch.zeros(0, 6),
            r"the data has shape \(0, 6\): give windows of tokens \(n, t\) or rows of features \(n, d\)",
        ),
        (torch.zeros(6), r"the data has shape \(6,\): give windows"),
        (torch.full((4, 6), float("nan")), "the data has NaN or infinite values: remove those rows first"),
        (torch.tensor([[1.0, float("inf")] * 3]), "the data has NaN or infinite values"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused(target, data, line, tmp_path):
    with pytest.raises(UnweaveError, match=line):
        decompose(target, data, CONFIG, out=tmp_path / "one.decomp")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_floats_or_not_finite_are_refused_by_name(rows):
    module = tiny.Features()
    target = make_target(module, None, "features", check=False)
    with torch.no_grad():
        module.first.weight[1, 2] = float("nan")
    with pytest.raises(UnweaveError, match="site 'first' has weights that are all zero or not finite"):
        decompose(target, rows, CONFIG)
    module.first.weight.data = torch.ones(5, 6, dtype=torch.int8)
    with pytest.raises(UnweaveError, match="'first' cannot be taken apart: its weight is int8: load the model"):
        decompose(target, rows, replace(CONFIG, sites="first"))


def test_no_subcomponents_are_refused():
    with pytest.raises(UnweaveError, match="capacity is 0, and it must be above 0"):
        replace(CONFIG, capacity=0)
    with pytest.raises(UnweaveError, match="subcomponents is 0, and a site needs at least 1"):
        replace(CONFIG, subcomponents=0)
    with pytest.raises(UnweaveError, match=r"capacity is 0.0, and it must be above 0"):
        SiteLocalConfig(capacity=0.0)


def test_data_of_zeros_is_refused_by_the_site_that_gets_nothing(target):
    with pytest.raises(UnweaveError, match="site 'first' has inputs that are all zero or not finite"):
        decompose(target, torch.zeros(4, 6), CONFIG)


class Tied(nn.Module):
    """Two layers of one parameter, a third of another, and one that is a slice of the third's."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third, self.slice = (nn.Linear(4, 4, bias=False) for _ in range(4))
        self.second.weight = self.first.weight
        both = torch.randn(8, 4)
        self.third.weight = nn.Parameter(both[:4])
        self.slice.weight = nn.Parameter(both[4:])

    def forward(self, x):
        return self.slice(self.third(self.second(torch.relu(self.first(x)))))


def test_matrices_that_share_storage_are_refused_by_both_names():
    target, x = make_target(Tied(), None, "tied", check=False), torch.randn(9, 4)
    with pytest.raises(UnweaveError) as refused:
        decompose(target, x, CONFIG)
    assert str(refused.value) == (
        "sites 'first' and 'second' share one storage (tied weights, or slices of one matrix): take only one of them "
        "apart"
    )
    with pytest.raises(UnweaveError, match="sites 'third' and 'slice' share one storage"):
        decompose(target, x, replace(CONFIG, sites="first,third,slice"))
    assert list(decompose(target, x, replace(CONFIG, sites="first,third", steps=1)).sites) == ["first", "third"]


def test_the_site_local_method_refuses_what_it_cannot_read_or_log(target, rows):
    for data in (rows, tiny.rows()):
        with pytest.raises(UnweaveError, match="a site-local decomposition takes a corpus: read one with load_corpus"):
            decompose(target, data, SiteLocalConfig())


def test_what_is_already_there_is_refused_before_anything_is_trained(target, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "train_in_groups", None)
    (tmp_path / "one.decomp").mkdir()
    with pytest.raises(UnweaveError, match=r"one.decomp already exists: choose another --out, or remove it first"):
        decompose(target, rows, CONFIG, out=tmp_path / "one.decomp")
    with pytest.raises(UnweaveError, match="site 'frist' is not in this target; nearest: 'first'"):
        decompose(target, rows, replace(CONFIG, sites="frist"))


def test_a_site_that_does_not_see_every_token_is_refused():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.each, self.last = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.last(self.each(x)[:, -1])

    target = make_target(Pooled(), None, "pooled", check=False)
    with pytest.raises(UnweaveError, match=r"site 'last' sees rows of shape \(16,\) where the batch has 16 samples"):
        decompose(target, torch.randn(9, 4, 3), CONFIG)


@pytest.mark.parametrize("terms", [{}, {"merged": 0.0, "subset": 1.0}, {"adversarial": 1.0}])
def test_a_model_with_one_output_for_all_positions_is_taken_apart_too(terms):
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.head = nn.Linear(3, 5), nn.Linear(5, 4)

        def forward(self, x):
            return self.head(torch.relu(self.up(x))).mean(1)

    target = make_target(Classifier(), None, "classifier", check=False)
    logged = []
    config = replace(CONFIG, divergence="kl", **terms)
    made = decompose(
        target, torch.randn(9, 4, 3, generator=torch.Generator().manual_seed(0)), config, log=logged.append
    )
    assert list(made.sites) == ["up", "head"]
    if not terms:
        halves = logged[-1]["adversarial"] + logged[-1]["stochastic"]
        assert logged[-1]["merged"] == pytest.approx(halves / 2, rel=1e-4)


def test_a_label_that_is_not_in_the_corpus_is_refused(planted_target, planted_text):
    with pytest.raises(UnweaveError, match="label 'qz' is not in corpus"):
        decompose(planted_target, planted_text, TEXT, labels=["qa", "qz"])
