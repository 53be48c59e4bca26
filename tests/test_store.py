from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from unweave.base.errors import UnweaveError
from unweave.edit.edits import AdapterEdit, FactorEdit, edited_weight
from unweave.edit.store import load_edit, save_edit

SITES = ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj")


@pytest.fixture
def factors(llama, decomposed):
    first, second = SITES
    return FactorEdit.of(decomposed(llama, *SITES), {(first, 2): -1.5, (second, 0): 0.25, (first, 5): 1.0}, "three")


@pytest.fixture
def adapter(llama):
    matrices = {
        name: (torch.randn(2, llama.site(name).d_in), torch.randn(llama.site(name).d_out, 2)) for name in SITES[::-1]
    }
    return AdapterEdit(matrices, llama.identity.digest, "lora-1")


@pytest.mark.parametrize("kind", ["factors", "adapter"])
def test_an_edit_comes_back_with_the_same_weights(kind, llama, tmp_path, request):
    edit = request.getfixturevalue(kind)
    save_edit(edit, tmp_path / "edits" / "one.safetensors")
    found = load_edit(tmp_path / "edits" / "one.safetensors")
    assert (type(found), found.name, found.target) == (type(edit), edit.name, edit.target)
    assert set(found.sites()) == set(edit.sites())
    for name in SITES:
        weight = llama.weight(llama.site(name))
        assert torch.equal(edited_weight(weight, [found], name), edited_weight(weight, [edit], name))


def test_factors_come_back_with_their_pieces(factors, tmp_path):
    save_edit(factors, tmp_path / "one")
    found = load_edit(tmp_path / "one")
    assert [(piece.name, factor) for piece, factor in found.pieces] == [
        (piece.name, factor) for piece, factor in factors.pieces
    ]


def test_a_piece_that_is_no_subcomponent_can_be_kept(llama, tmp_path):
    """A closed form's direction has number -1."""
    from unweave.decompose.decomposition import Subcomponent

    piece = Subcomponent(SITES[0], -1, torch.randn(32), torch.randn(48))
    save_edit(FactorEdit.on_pieces([(piece, -3.0)], llama.identity.digest), tmp_path / "one")
    ((found, factor),) = load_edit(tmp_path / "one").pieces
    assert (found.index, factor) == (-1, -3.0)
    assert torch.equal(found.v, piece.v)


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x00" * 64, None], ids=["empty", "text", "zeros", "truncated"])
def test_a_file_that_is_not_an_edit_is_refused(factors, content, tmp_path):
    path = tmp_path / "one.safetensors"
    save_edit(factors, path)
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(UnweaveError, match=r"one.safetensors is not a saved edit, or is damaged"):
        load_edit(path)


@pytest.mark.parametrize(
    "description",
    [
        None,
        "{",
        "[]",
        json.dumps({"name": "x"}),
        json.dumps({"name": "x", "target": "t", "pieces": [{"site": "h", "index": 0, "factor": 2.0}]}),
        json.dumps({"name": "x", "target": "t", "pieces": [{"site": "h"}]}),
    ],
)
def test_an_edit_that_lacks_something_is_refused(description, tmp_path):
    tensors = {"h/A": torch.zeros(1, 2), "0/v": torch.zeros(2)}
    save_file(tensors, tmp_path / "one", {"edit": description} if description else None)
    with pytest.raises(UnweaveError, match="is not a saved edit, or is damaged"):
        load_edit(tmp_path / "one")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnweaveError, match=r"nowhere.safetensors: there is no saved edit"):
        load_edit(tmp_path / "nowhere.safetensors")


def test_a_failed_save_leaves_nothing(factors, tmp_path, monkeypatch):
    import safetensors.torch

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UnweaveError, match="the disk is full"):
        save_edit(factors, tmp_path / "one.safetensors")
    assert not list(tmp_path.iterdir())
