from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from unweave.base.errors import UnweaveError
from unweave.models import capture as module
from unweave.models.capture import (
    HALF_LIMIT,
    Capture,
    CaptureIndex,
    as_windows,
    capture_inputs,
    capture_to_disk,
    capture_together,
    stream_inputs,
)
from unweave.models.target import make_target

HALF_STEP = 2**-10  # relative rounding of half precision, and a little


def some_site(target, layer=2):
    return next(site for site in target.sites() if site.layer == layer)


def many(count=10):
    return torch.randint(300, (count, 6), generator=torch.Generator().manual_seed(2))


def test_captured_inputs_times_weight_are_the_sites_output(target, tokens):
    sites = target.sites()
    outputs = {}
    handles = [
        target.module.get_submodule(site.module).register_forward_hook(
            lambda _, __, output, site=site: outputs.update({site.name: site.part(output)})
        )
        for site in sites
    ]
    target.logits(tokens)
    for handle in handles:
        handle.remove()
    inputs = capture_inputs(target, sites, tokens)
    assert set(inputs) == set(outputs)
    for site in sites:
        bias = target.bias(site)
        expected = functional.linear(inputs[site.name], target.weight(site), bias)
        torch.testing.assert_close(outputs[site.name], expected, rtol=1e-5, atol=1e-4)


def test_the_forward_stops_after_the_last_site_and_leaves_no_hook(llama, tokens):
    ran = []
    llama.module.get_submodule("model.layers.2.mlp").register_forward_hook(lambda *_: ran.append(2))
    llama.module.get_submodule("model.layers.1.mlp").register_forward_hook(lambda *_: ran.append(1))
    capture_inputs(llama, [llama.site("model.layers.2.self_attn.q_proj")], tokens)
    assert ran == [1]
    assert not any(child._forward_pre_hooks for child in llama.module.modules())


def test_streaming_gives_every_window_once(llama):
    tokens, site = many(), some_site(llama)
    whole = capture_inputs(llama, [site], tokens)[site.name]
    parts = list(stream_inputs(llama, [site], tokens, batch=4))
    assert [rows for rows, _ in parts] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    torch.testing.assert_close(torch.cat([inputs[site.name] for _, inputs in parts]), whole)


def test_a_site_that_is_never_called_is_refused():
    class Bypassing(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.bypassed, self.out = nn.Embedding(300, 8), nn.Linear(8, 8), nn.Linear(8, 300)
            self.config = type("Config", (), {"vocab_size": 300})

        def forward(self, tokens):
            return self.out(self.embed(tokens) @ self.bypassed.weight)

    target = make_target(Bypassing(), None, "bypassing")
    with pytest.raises(UnweaveError, match="site 'bypassed' is never called"):
        capture_inputs(target, [target.site("bypassed")], many())


def assert_same(capture, expected):
    """Equal to half precision relative to the largest value of what is stored."""
    found = capture.read(slice(None))
    limit = HALF_STEP * expected.abs() + capture.index.scale * 2**-20
    assert bool(((found - expected).abs() <= limit).all())


def test_a_capture_on_disk_holds_the_inputs_in_half_precision(target, tmp_path):
    tokens, site = many(), some_site(target)
    capture = capture_to_disk(target, site, tokens, tmp_path / "c", "text", batch=4)
    assert len(capture) == 10
    assert (tmp_path / "c" / "inputs.f16").stat().st_size == 10 * 6 * site.d_in * 2
    assert_same(capture, capture_inputs(target, [site], tokens)[site.name])
    torch.testing.assert_close(capture.read(np.array([7, 2])), capture.read(slice(None))[[7, 2]])


def test_sites_captured_together_are_read_in_one_pass_from_where_the_last_is(llama, tmp_path):
    tokens, sites = many(), llama.sites("*.1.*.o_proj,*.3.mlp.down_proj,*.2.*.o_proj")
    folders = {site: tmp_path / site.name for site in sites}
    with pytest.raises(KeyboardInterrupt):
        capture_to_disk(llama, sites[0], tokens, folders[sites[0]], "text", batch=2, progress=Stopped(4))
    capture_to_disk(llama, sites[2], tokens, folders[sites[2]], "text")
    forwards = []
    handle = llama.module.get_submodule("model.embed_tokens").register_forward_hook(lambda *_: forwards.append(1))
    captures = capture_together(llama, folders, tokens, "text", batch=5)
    handle.remove()
    assert len(forwards) == 2
    for site in sites:
        assert len(captures[site.name]) == 10
        assert_same(captures[site.name], capture_inputs(llama, [site], tokens)[site.name])


class Stopped:
    """A progress that stops the work, as Ctrl-C would, once so many windows are done."""

    def __init__(self, after):
        self.after, self.seen = after, []

    def update(self, done, total, note=""):
        self.seen.append(done)
        if done >= self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [3, 6, 9])
def test_an_interrupted_capture_continues_and_is_the_same(llama, tmp_path, after):
    tokens, site = many(), some_site(llama)
    whole = capture_to_disk(llama, site, tokens, tmp_path / "whole", "text", batch=3)
    with pytest.raises(KeyboardInterrupt):
        capture_to_disk(llama, site, tokens, tmp_path / "c", "text", batch=3, progress=Stopped(after))
    progress = Stopped(99)
    again = capture_to_disk(llama, site, tokens, tmp_path / "c", "text", batch=3, progress=progress)
    assert progress.seen[0] == min(after + 3, 10), "windows that were stored were captured again"
    assert again.index == whole.index
    assert np.array_equal(again.values, whole.values)


def test_a_finished_capture_is_opened_and_not_run(llama, tmp_path):
    tokens, site = many(), some_site(llama)
    capture_to_disk(llama, site, tokens, tmp_path / "c", "text")
    llama.module.register_forward_pre_hook(lambda *_: pytest.fail("the model ran"))
    assert len(capture_to_disk(llama, site, tokens, tmp_path / "c", "text")) == 10


def empty(folder, windows=4, length=3, width=5):
    folder.mkdir(parents=True, exist_ok=True)
    return Capture(folder, CaptureIndex("site", "target", "text", windows, length, width))


@settings(max_examples=15, deadline=None)  # each write waits for the disk
@given(sizes=st.lists(st.floats(-6, 8), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_values_of_any_size_are_stored_within_range(tmp_path_factory, sizes, seed):
    capture = empty(tmp_path_factory.mktemp("c"))
    generator = torch.Generator().manual_seed(seed)
    written = torch.stack([torch.randn(3, 5, generator=generator) * 10**size for size in sizes])
    for row in range(4):
        capture.write(slice(row, row + 1), written[row : row + 1])
    assert np.isfinite(capture.values).all()
    assert np.abs(capture.values).max() <= HALF_LIMIT
    found = capture.read(slice(None))
    # Rescaling rounds again, once for each of the at most four writes.
    limit = 4 * HALF_STEP * written.abs() + 4 * capture.index.scale * 2**-24
    assert bool(((found - written).abs() <= limit).all())


def test_a_large_value_rescales_what_is_stored(tmp_path):
    capture = empty(tmp_path)
    capture.write(slice(0, 1), torch.ones(1, 3, 5))
    first = capture.index.scale
    capture.write(slice(1, 2), torch.full((1, 3, 5), 1e4))
    assert capture.index.scale > first
    torch.testing.assert_close(capture.read(slice(0, 2))[:, 0, 0], torch.tensor([1.0, 1e4]), rtol=1e-3, atol=0)
    assert json.loads((tmp_path / "index.json").read_text())["scale"] == capture.index.scale


class StopsAtTheSecondWrite:
    def __init__(self, values):
        self.values, self.writes = values, 0

    def __getitem__(self, rows):
        return self.values[rows]

    def __setitem__(self, rows, written):
        self.writes += 1
        if self.writes == 2:
            raise KeyboardInterrupt
        self.values[rows] = written


def test_an_interruption_while_rescaling_never_leaves_values_at_the_wrong_scale(tmp_path, monkeypatch):
    capture = empty(tmp_path)
    capture.write(slice(0, 3), torch.ones(3, 3, 5))
    monkeypatch.setattr(module, "_RESCALED_AT_ONCE", 1)
    capture.values = StopsAtTheSecondWrite(capture.values)
    with pytest.raises(KeyboardInterrupt):
        capture.write(slice(3, 4), torch.full((1, 3, 5), 1e6))
    index = CaptureIndex(**json.loads((tmp_path / "index.json").read_text()))
    stored = np.memmap(tmp_path / "inputs.f16", dtype=np.float16, mode="r", shape=(4, 3, 5))
    np.testing.assert_allclose(stored[: index.done].astype(np.float32) * index.scale, 1.0, rtol=1e-2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_and_nothing_is_counted(tmp_path, bad):
    capture = empty(tmp_path)
    capture.write(slice(0, 1), torch.ones(1, 3, 5))
    values = torch.ones(1, 3, 5)
    values[0, 1, 2] = bad
    with pytest.raises(UnweaveError, match="site 'site': an activation is NaN or infinite"):
        capture.write(slice(1, 2), values)
    assert len(capture) == 1


def test_all_zero_inputs_are_stored(tmp_path):
    capture = empty(tmp_path)
    capture.write(slice(0, 4), torch.zeros(4, 3, 5))
    assert bool((capture.read(slice(None)) == 0).all())


@pytest.mark.parametrize("field", ["site", "target", "data", "windows"])
def test_a_folder_of_another_capture_is_refused(llama, tmp_path, field):
    tokens, site = many(), some_site(llama)
    capture_to_disk(llama, site, tokens, tmp_path / "c", "text")
    other = {
        "site": lambda: capture_to_disk(llama, some_site(llama, 3), tokens, tmp_path / "c", "text"),
        "target": lambda: capture_to_disk(another(llama), site, tokens, tmp_path / "c", "text"),
        "data": lambda: capture_to_disk(llama, site, tokens, tmp_path / "c", "other text"),
        "windows": lambda: capture_to_disk(llama, site, tokens[:5], tmp_path / "c", "text"),
    }[field]
    before = (tmp_path / "c" / "index.json").read_text()
    with pytest.raises(UnweaveError, match="holds another capture"):
        other()
    assert (tmp_path / "c" / "index.json").read_text() == before


def another(target):
    return replace(target, identity=replace(target.identity, weights="other"))


def test_a_truncated_file_is_refused(llama, tmp_path):
    tokens, site = many(), some_site(llama)
    capture_to_disk(llama, site, tokens, tmp_path / "c", "text")
    path = tmp_path / "c" / "inputs.f16"
    os.truncate(path, path.stat().st_size - 2)
    with pytest.raises(UnweaveError, match=r"inputs.f16 has \d+ bytes where its index says \d+"):
        capture_to_disk(llama, site, tokens, tmp_path / "c", "text")
    path.unlink()
    with pytest.raises(UnweaveError, match="does not exist"):
        capture_to_disk(llama, site, tokens, tmp_path / "c", "text")


@pytest.mark.parametrize("text", ['{"site": "a"}', '{"name": 1}', "[1]", '{"site": '])
def test_a_damaged_index_is_refused(llama, tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(UnweaveError, match=r"index\.json"):
        capture_to_disk(llama, some_site(llama), many(), tmp_path, "text")


def test_a_full_disk_is_one_line_and_can_be_tried_again(llama, tmp_path, monkeypatch):
    tokens, site = many(), some_site(llama)

    def full(descriptor, size):
        os.write(descriptor, b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_reserve", full)
        with pytest.raises(UnweaveError, match="the disk is full"):
            capture_to_disk(llama, site, tokens, tmp_path / "c", "text")
    assert list((tmp_path / "c").iterdir()) == []
    assert len(capture_to_disk(llama, site, tokens, tmp_path / "c", "text")) == 10


def test_a_folder_that_cannot_be_made_is_one_line(llama, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnweaveError, match="check the path"):
        capture_to_disk(llama, some_site(llama), many(), tmp_path / "file" / "c", "text")


def test_values_handed_over_flattened_get_their_windows_back_and_part_of_the_tokens_is_told():
    tokens = torch.zeros(3, 4, dtype=torch.long)
    values = torch.randn(3, 4, 5)
    assert torch.equal(as_windows(values, tokens), values)
    assert torch.equal(as_windows(values.flatten(0, 1), tokens), values)
    assert as_windows(values.flatten(0, 1)[:7], tokens) is None
    assert as_windows(values[:2], tokens) is None


def test_a_site_that_sees_part_of_the_tokens_is_refused(llama, tokens, monkeypatch):
    site = llama.site("model.layers.2.mlp.up_proj")
    mlp = llama.module.model.layers[2].mlp
    monkeypatch.setattr(mlp, "forward", lambda x: x + mlp.up_proj(x.flatten(0, 1)[:7]).sum())
    with pytest.raises(UnweaveError, match=r"site 'model.layers.2.mlp.up_proj' does not see every token"):
        capture_inputs(llama, [site], tokens)
