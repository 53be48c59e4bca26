from __future__ import annotations

import gc
from dataclasses import replace

import cut
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.groups import site_groups, train_in_groups
from unweave.decompose.run import decompose
from unweave.decompose.whole_model import Training, train_whole_model
from unweave.models.sites import Site

calm = settings(max_examples=50, deadline=None)
CONFIG = replace(cut.config_of("shared"), groups=2)


@pytest.fixture
def target():
    return tiny.words()


@calm
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.data())
def test_groups_are_neighbours_and_the_largest_is_as_small_as_it_can_be(widths, data):
    count = data.draw(st.integers(1, len(widths)))
    sites = [Site(f"{number}", "linear", width, 1, False, None) for number, width in enumerate(widths)]
    found = site_groups(sites, WholeModelConfig(subcomponents=1, groups=count))
    assert [site for group in found for site in group] == sites
    assert len(found) == count
    assert all(found)

    def least(first, groups):
        """The smallest largest group of the sites from ``first`` on, by trying everything."""
        if groups == 1:
            return sum(width + 1 for width in widths[first:])
        ends = range(first + 1, len(widths) - groups + 2)
        return min(max(sum(width + 1 for width in widths[first:end]), least(end, groups - 1)) for end in ends)

    assert max(sum(site.d_in + 1 for site in group) for group in found) == least(0, count)


def test_more_groups_than_sites_are_refused(target):
    with pytest.raises(UnweaveError, match="groups is 3 and there are 2 sites: set it to 2 or less"):
        site_groups(target.sites(), replace(CONFIG, groups=3))


@pytest.mark.parametrize("importance", ["shared-mlp", "transformer"])
def test_an_importance_function_of_all_sites_is_refused(importance):
    with pytest.raises(UnweaveError, match=f"importance is '{importance}', which looks at all sites at once"):
        replace(CONFIG, importance=importance)


def test_the_result_is_each_groups_own_with_the_other_sites_whole(target, tmp_path):
    made = decompose(target, tiny.sentences(), CONFIG, out=tmp_path / "made")
    found = made.tensors()
    assert list(made.sites) == ["up", "down"]
    for name in ("up", "down"):
        alone = train_whole_model(target, target.sites(name), tiny.sentences(), CONFIG)
        assert all(torch.equal(found[key], tensor) for key, tensor in alone.items())
    loaded = Decomposition.load(tmp_path / "made")
    assert loaded.digest() == made.digest() == decompose(target, tiny.sentences(), CONFIG).digest()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_progress_and_log_count_on_over_the_groups(target):
    told, logged = [], []

    class Told:
        def update(self, done, total, note=""):
            told.append((done, total, note.split(" error")[0]))

        def say(self, line):
            told.append(line)

    train_in_groups(target, target.sites(), tiny.sentences(), CONFIG, progress=Told(), log=logged.append)
    assert [(row["step"], row["group"]) for row in logged] == [(n + 1, n // 4 + 1) for n in range(8)]
    assert told[0] == "group 1 of 2: up to up"
    assert told[1] == (1, 8, "group 1 of 2")
    assert told[-1] == (8, 8, "group 2 of 2")


def stopped_at(monkeypatch, site, number):
    """A run that is interrupted before a step of the group that has a site."""
    step, steps = Training.step, []

    def spy(self, this):
        if site in self.model.weights and this == number and not self.__dict__.get("passed"):
            raise KeyboardInterrupt
        steps.append((next(iter(self.model.weights)), this))
        return step(self, this)

    monkeypatch.setattr(Training, "step", spy)
    return steps


@pytest.mark.parametrize(
    ("site", "number", "again"),
    [("down", 0, [("down", n) for n in range(4)]), ("down", 2, [("down", 2), ("down", 3)]), ("up", 3, None)],
)
def test_a_run_goes_on_with_the_next_group_or_within_one(target, tmp_path, monkeypatch, site, number, again):
    wanted = decompose(target, tiny.sentences(), CONFIG)
    options = {"out": tmp_path / "made", "checkpoint_seconds": 0}
    with monkeypatch.context() as patch:
        stopped_at(patch, site, number)
        with pytest.raises(KeyboardInterrupt):
            decompose(target, tiny.sentences(), CONFIG, **options)
    left = {path.name for path in (tmp_path / "made.training").iterdir()}
    assert ("group-1-of-2.safetensors" in left) == (site == "down")
    assert "group-1-of-2.training.safetensors" not in left or site == "up"
    with monkeypatch.context() as patch:
        steps = stopped_at(patch, "none", 0)
        made = decompose(target, tiny.sentences(), CONFIG, **options)
    assert steps == (again or [("up", 3), *(("down", n) for n in range(4))])
    assert made.digest() == wanted.digest()


def test_a_finished_group_of_other_settings_is_refused(target, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopped_at(patch, "down", 0)
        with pytest.raises(KeyboardInterrupt):
            decompose(target, tiny.sentences(), CONFIG, out=tmp_path / "made")
    with pytest.raises(UnweaveError, match=r"group-1-of-2\.safetensors is a checkpoint of other settings"):
        decompose(target, tiny.sentences(), replace(CONFIG, seed=1), out=tmp_path / "made")


def test_one_groups_subcomponents_are_in_memory_at_a_time(tmp_path, monkeypatch):
    """Tensors held at any step, against those of the first group and of a run of all sites."""
    step = Training.step

    def most(target, config, folder=None):
        found = []

        def spy(self, number):
            measured = step(self, number)
            held = {each.data_ptr(): each.nbytes for each in gc.get_objects() if type(each) is torch.Tensor}
            found.append(sum(held.values()) - before)
            return measured

        before = sum({each.data_ptr(): each.nbytes for each in gc.get_objects() if type(each) is torch.Tensor}.values())
        with monkeypatch.context() as patch:
            patch.setattr(Training, "step", spy)
            train_in_groups(target, target.sites(), tiny.sentences(), config, folder=folder)
        return max(found[: cut.STEPS]), max(found)

    target = tiny.words()
    config = replace(CONFIG, subcomponents=400, hidden=200, steps=4)
    first, grouped = most(target, config, tmp_path)
    _, together = most(target, replace(config, groups=1))
    assert grouped < 1.1 * first
    assert grouped < 0.62 * together
