from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose import site_local_cost
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.site_local import Inputs, train_site
from unweave.decompose.site_local_cost import capture_groups, check_disk, check_memory, estimate_site_local
from unweave.models.capture import capture_together

CONFIG = SiteLocalConfig(hidden=16, steps=10, batch=32, windows=2)


def test_captures_take_what_was_reckoned(llama, tokens, tmp_path):
    sites = llama.sites("*.1.*.o_proj,*.3.mlp.down_proj")
    cost = estimate_site_local(llama, sites, CONFIG, tokens.numel())
    captures = capture_together(llama, {site: tmp_path / site.name for site in sites}, tokens, "text")
    assert cost.capture_bytes == sum((c.folder / "inputs.f16").stat().st_size for c in captures.values())
    assert (cost.sites, cost.tokens) == (2, tokens.numel())


def test_kept_bytes_are_those_of_what_is_trained(llama):
    site = llama.sites("*.3.mlp.down_proj")[0]
    weight = torch.randn(site.d_out, site.d_in, generator=torch.Generator().manual_seed(0))
    inputs = Inputs(np.random.default_rng(0).standard_normal((2, 16, site.d_in)).astype(np.float16), 1.0)
    made = train_site("site", weight, inputs, CONFIG)
    numbers = made.V.numel() + made.U.numel() + sum(t.numel() for t in made.importance) - 1  # the input scale
    cost = estimate_site_local(llama, [site], CONFIG, 96)
    assert cost.subcomponents == len(made)
    assert cost.kept_bytes == 4 * (numbers + 3 * numbers)


def test_what_is_trained_at_once_adds_up_and_deeper_sites_take_longer_to_capture(llama):
    first, last = llama.site("model.layers.0.self_attn.o_proj"), llama.site("model.layers.3.self_attn.o_proj")
    one = estimate_site_local(llama, [first, last], CONFIG, 1000, jobs=1)
    two = estimate_site_local(llama, [first, last], CONFIG, 1000, jobs=2)
    assert two.memory_bytes == 2 * one.memory_bytes
    alone = [estimate_site_local(llama, [site], CONFIG, 1000) for site in (first, last)]
    assert alone[1].capture_seconds == pytest.approx(4 * alone[0].capture_seconds)
    assert one.capture_seconds == pytest.approx(alone[1].capture_seconds)  # one pass for both
    assert one.training_seconds == pytest.approx(2 * alone[0].training_seconds)


def test_groups_keep_to_the_limit_and_lose_no_site(llama):
    sites = llama.sites("*.o_proj,*.down_proj")
    groups = capture_groups(sites, tokens=100, most=2 * 100 * (32 + 48))
    assert [site for group in groups for site in group] == sites
    assert [len(group) for group in groups] == [2, 2, 2, 2]
    assert capture_groups(sites, tokens=100, most=1) == [[site] for site in sites]
    assert capture_groups(sites, tokens=100) == [sites]
    assert capture_groups([], tokens=100) == []


def test_a_disk_too_small_is_refused_with_both_numbers(llama, tmp_path, monkeypatch):
    sites = llama.sites("*.o_proj")
    cost = estimate_site_local(llama, sites, CONFIG, tokens=50_000_000)
    assert cost.capture_bytes == 2 * 50_000_000 * 32 * 2  # two groups of two
    monkeypatch.setattr(site_local_cost.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 10**9))
    with pytest.raises(
        UnweaveError, match=r"needs about 6\.4 GB for captured inputs, and 5\.0 GB are free: set .*CACHE"
    ):
        check_disk(cost, tmp_path / "not there yet", None)
    check_disk(cost, tmp_path, tmp_path / "out", already=2 * 10**9)
    monkeypatch.setattr(site_local_cost.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UnweaveError, match=r"out needs about .* for the sites' subcomponents, .*: set --out to"):
        check_disk(cost, tmp_path, tmp_path / "out", already=10**12)


@pytest.mark.parametrize("one_disk", [True, False])
def test_what_goes_to_one_disk_is_added_up(llama, tmp_path, monkeypatch, one_disk):
    cost = replace(
        estimate_site_local(llama, llama.sites("*.o_proj"), CONFIG, 1000),
        capture_bytes=3_000_000_000,
        kept_bytes=2_500_000_000,
    )
    cache, out = tmp_path / "cache", tmp_path / "out"
    stat = Path.stat

    def another(self, **options):
        found = stat(self, **options)
        return SimpleNamespace(st_dev=2, st_mode=found.st_mode) if self == out and not one_disk else found

    out.mkdir()
    monkeypatch.setattr(Path, "stat", another)
    monkeypatch.setattr(site_local_cost.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 10**9))
    if not one_disk:
        check_disk(cost, cache, out)
        return
    check_disk(cost, cache, out, already=10**9)
    with pytest.raises(UnweaveError) as refused:
        check_disk(cost, cache, out)
    assert str(refused.value) == (
        f"{cache} needs about 3.0 GB for captured inputs and {out} needs about 2.5 GB for the sites' subcomponents, "
        "and 5.0 GB are free on the disk of both: set UNWEAVE_CACHE or --cache to another disk, or use fewer windows; "
        "or --out to another disk, or use fewer sites"
    )


def test_memory_too_small_is_refused_with_both_numbers(llama):
    cost = estimate_site_local(llama, llama.sites("*.o_proj"), CONFIG, tokens=1000)
    check_memory(cost, None, jobs=2)
    check_memory(cost, cost.memory_bytes, jobs=2)
    with pytest.raises(UnweaveError, match="use fewer --jobs, a smaller batch or"):
        check_memory(cost, cost.memory_bytes - 1, jobs=2)
    with pytest.raises(UnweaveError, match="free: use a smaller batch or"):
        check_memory(cost, cost.memory_bytes - 1, jobs=1)
