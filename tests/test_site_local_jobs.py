from __future__ import annotations

from dataclasses import replace

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.run import decompose
from unweave.decompose.site_local_jobs import SiteJob, train_jobs
from unweave.models.capture import capture_to_disk

CONFIG = replace(planted.CONFIG, steps=20, windows=4, batch=32)
SITES = ("model.layers.1.self_attn.v_proj", planted.SITE)


class Recorded:
    def __init__(self):
        self.updates, self.lines = [], []

    def update(self, done, total, note=""):
        self.updates.append((done, total, note))

    def say(self, line):
        self.lines.append(line)


def test_sites_in_processes_of_their_own_become_what_they_become_here(
    planted_target, planted_text, tmp_path, monkeypatch
):
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNWEAVE_COMPILE", "0")
    config, progress = replace(CONFIG, sites=",".join(SITES)), Recorded()
    here = decompose(planted_target, planted_text, config, check=False)
    beside = decompose(planted_target, planted_text, config, check=False, jobs=2, progress=progress)
    for name in SITES:
        assert torch.equal(here.site(name).V, beside.site(name).V)
        assert torch.equal(here.site(name).U, beside.site(name).U)
    assert progress.updates[-1][:2] == (40, 40)
    assert {note.split(":")[0] for *_, note in progress.updates if ":" in note} == set(SITES)


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_refusal_is_handed_over_and_the_next_site_goes_on(planted_target, tmp_path, monkeypatch, at_once):
    monkeypatch.setenv("UNWEAVE_COMPILE", "0")
    tokens = torch.randint(50, (6, 16), generator=torch.Generator().manual_seed(0))

    def job(name):
        site = planted_target.site(name)
        capture = capture_to_disk(planted_target, site, tokens, tmp_path / name, "text")
        weight = planted_target.weight(site).numpy() * (name == planted.SITE)
        return SiteJob(
            name, weight, capture.folder, torch.arange(6).numpy(), CONFIG, "t", "o", None, tmp_path / f"{name}.decomp"
        )

    ended = {done.site: refusal for done, refusal in train_jobs([job(name) for name in SITES], at_once, Recorded())}
    assert isinstance(ended[SITES[0]], UnweaveError)
    assert "all zero or not finite" in str(ended[SITES[0]])
    assert ended[planted.SITE] is None
    assert list(Decomposition.load(tmp_path / f"{planted.SITE}.decomp").sites) == [planted.SITE]
    assert not (tmp_path / f"{SITES[0]}.decomp").exists()
