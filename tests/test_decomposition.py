from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from unweave.base.errors import UnweaveError
from unweave.base.files import file_hash
from unweave.decompose.decomposition import Decomposition, bundled, random_like
from unweave.decompose.importance import IMPORTANCES, Importance, NeedsAllSites, SiteShape, Widths

SITE = "model.layers.1.mlp.down_proj"


@pytest.fixture
def made(llama, decomposed):
    return decomposed(llama, SITE, "model.layers.2.self_attn.q_proj")


@pytest.fixture
def folder(made, tmp_path):
    made.save(tmp_path / "one.decomp")
    return tmp_path / "one.decomp"


def rewritten(folder, **changes):
    """The description with other fields; None takes one out."""
    path = folder / "decomposition.json"
    described = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in described.items() if value is not None}))


def test_all_subcomponents_and_the_delta_are_the_weight(target, decomposed):
    for name, pieces in decomposed(target).sites.items():
        weight = target.weight(target.site(name))
        total = sum(torch.outer(piece.u, piece.v) for piece in pieces)
        torch.testing.assert_close(total + pieces.delta(weight), weight)
        torch.testing.assert_close(total, pieces.product())
        assert total.shape == weight.shape


def test_an_activation_is_the_response_times_the_size_of_what_is_written(made):
    pieces = made.sites[SITE]
    x = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    piece = pieces[3]
    torch.testing.assert_close(pieces.activations(x)[..., 3], (x @ piece.v) * piece.u.norm())


def test_pieces_are_reached_by_number_and_name(made):
    pieces = made.site(SITE)
    assert [piece.index for piece in pieces] == list(range(8))
    piece = made.subcomponent(SITE, 7)
    assert piece.name == f"{SITE}:7"
    assert torch.equal(piece.u, pieces.U[7])
    assert torch.equal(piece.v, pieces.V[:, 7])
    assert f"{SITE}:7" in repr(piece)
    sizes = f"{piece.v.numel()} to {piece.u.numel()}"
    assert repr(made.site(SITE)) == f"SiteSubcomponents({SITE}, 8 subcomponents, {sizes})"
    assert repr(made) == f"Decomposition(of tiny llama; {SITE}: 8, model.layers.2.self_attn.q_proj: 8)"


@pytest.mark.parametrize("index", [8, -1])
def test_a_number_that_is_not_there_is_refused(made, index):
    with pytest.raises(UnweaveError, match=rf"subcomponent {index} is not in {SITE}: it has 0 to 7"):
        made.subcomponent(SITE, index)


def test_a_site_that_is_not_there_names_the_nearest(made):
    with pytest.raises(UnweaveError, match=r"site 'model.layers.1.mlp.up_proj' is not in this .*nearest: '.*down_proj"):
        made.site("model.layers.1.mlp.up_proj")


def test_what_was_saved_comes_back_bit_for_bit(made, folder):
    found = Decomposition.load(folder)
    assert list(found.sites) == list(made.sites)
    assert (found.target, found.target_name, found.card) == (made.target, made.target_name, {})
    for name, pieces in made.sites.items():
        assert torch.equal(found.sites[name].V, pieces.V)
        assert torch.equal(found.sites[name].U, pieces.U)
        for stored, tensor in zip(found.sites[name].importance, pieces.importance, strict=True):
            assert torch.equal(stored, tensor)


def test_half_precision_is_half_the_size_and_comes_back_as_float32(made, folder, tmp_path):
    made.save(tmp_path / "half.decomp", half=True)
    sizes = [(path / "decomposition.safetensors").stat().st_size for path in (folder, tmp_path / "half.decomp")]
    assert sizes[1] < 0.6 * sizes[0]
    pieces = Decomposition.load(tmp_path / "half.decomp").sites[SITE]
    assert {pieces.V.dtype, pieces.U.dtype, pieces.importance.B.dtype} == {torch.float32}
    torch.testing.assert_close(pieces.V, made.sites[SITE].V, rtol=1e-3, atol=1e-3)


def test_the_card_comes_back_and_is_shown(made, tmp_path):
    card = {"tokens": 25600, "labels": ["de", "en"], "text": "Bücher"}
    Decomposition(made.sites, made.target, made.target_name, card).save(tmp_path / "one")
    found = Decomposition.load(tmp_path / "one")
    assert found.card == card
    assert "Bücher" in str(found.card)


def test_a_folder_that_exists_is_kept_unless_it_is_to_be_replaced(made, folder):
    before = file_hash(folder / "decomposition.safetensors")
    with pytest.raises(UnweaveError, match="already exists"):
        made.save(folder)
    assert file_hash(folder / "decomposition.safetensors") == before
    made.save(folder, replace=True)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_another_target_is_refused(made, fresh):
    made.check_target(made.target)
    with pytest.raises(UnweaveError, match=rf"belongs to target {made.target} \(tiny llama\), not to"):
        made.check_target(fresh("qwen2").identity.digest)


@pytest.mark.parametrize("position", [0.3, 0.999])
def test_one_changed_byte_is_noticed(folder, position):
    path = folder / "decomposition.safetensors"
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnweaveError, match="is damaged: its sha256"):
        Decomposition.load(folder)


def test_a_missing_or_truncated_file_is_refused_in_one_line(folder):
    path = folder / "decomposition.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    rewritten(folder, sha256=file_hash(path))
    with pytest.raises(UnweaveError, match="is not valid safetensors"):
        Decomposition.load(folder)
    path.unlink()
    with pytest.raises(UnweaveError, match="does not exist"):
        Decomposition.load(folder)


def test_missing_tensors_and_fields_are_refused(folder):
    path = folder / "decomposition.safetensors"
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if not name.endswith("importance.B")}, path)
    rewritten(folder, sha256=file_hash(path))
    with pytest.raises(UnweaveError, match=r"is damaged: it lacks '.*importance.B'"):
        Decomposition.load(folder)
    rewritten(folder, sha256=None)
    with pytest.raises(UnweaveError, match="is damaged: it lacks 'sha256'"):
        Decomposition.load(folder)


def test_other_folders_and_formats_are_refused(folder, tmp_path):
    with pytest.raises(UnweaveError, match=r"is not a decomposition: it has no decomposition.json"):
        Decomposition.load(tmp_path)
    rewritten(folder, format=3)
    with pytest.raises(UnweaveError, match="has format 3, and this version reads 2"):
        Decomposition.load(folder)
    (folder / "decomposition.json").write_text("[1]")
    with pytest.raises(UnweaveError, match="has format None"):
        Decomposition.load(folder)


def test_what_is_not_bundled_is_refused_even_when_such_a_folder_exists(tmp_path):
    for name in ("smollm3", str(tmp_path), "."):
        with pytest.raises(UnweaveError, match=r"is bundled \(.*\): make one with `unweave decompose`"):
            bundled(name)


def test_the_random_control_has_the_same_sizes_in_other_directions(made):
    pieces = made.sites[SITE]
    control = random_like(pieces, torch.Generator().manual_seed(5))
    torch.testing.assert_close(control.V.norm(dim=0), pieces.V.norm(dim=0))
    torch.testing.assert_close(control.U.norm(dim=1), pieces.U.norm(dim=1))
    alike = torch.nn.functional.cosine_similarity(control.V, pieces.V, dim=0).abs()
    assert alike.max() < 0.7
    assert control.importance is pieces.importance


SITES = {"up": (6, 4, 5), "h.0.down": (4, 6, 7)}
ALL_SITES = ("shared-mlp", "transformer")


@pytest.fixture(params=list(IMPORTANCES))
def kind(request):
    return request.param


def tensors_of(kind):
    """Two sites' tensors as training gives them."""
    generator = torch.Generator().manual_seed(0)
    found = IMPORTANCES[kind].init([SiteShape(name, d, c) for name, (d, _, c) in SITES.items()], Widths(8, 2, 2), 0)
    for name, (d_in, d_out, count) in SITES.items():
        found[f"{name}/V"] = torch.randn(d_in, count, generator=generator)
        found[f"{name}/U"] = torch.randn(count, d_out, generator=generator)
        found[f"{name}/importance.scale"] = torch.tensor(2.0)
    return found


def inputs_of():
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 3, d_in, generator=generator) for name, (d_in, _, _) in SITES.items()}


def of_kind(kind):
    return Decomposition.from_tensors(tensors_of(kind), list(SITES), kind, "identity", "small")


def test_a_decomposition_of_every_kind_is_its_tensors(kind):
    made, tensors = of_kind(kind), tensors_of(kind)
    assert made.tensors().keys() == tensors.keys()
    assert all(torch.equal(made.tensors()[name], tensor) for name, tensor in tensors.items())
    again = Decomposition.from_tensors(made.tensors(), list(SITES), kind, "identity", "small")
    assert again.tensors().keys() == tensors.keys()
    assert bool(made.joint) == (kind in ALL_SITES)


def test_a_decomposition_of_every_kind_comes_back_from_its_folder_bit_for_bit(kind, tmp_path):
    made = of_kind(kind)
    made.save(tmp_path / "one.decomp")
    found = Decomposition.load(tmp_path / "one.decomp")
    assert (found.importance_kind, list(found.sites), found.target) == (kind, list(SITES), "identity")
    assert found.tensors().keys() == made.tensors().keys()
    assert all(torch.equal(found.tensors()[name], tensor) for name, tensor in made.tensors().items())
    for name, g in made.importances(inputs_of()).items():
        assert torch.equal(found.importances(inputs_of())[name], g)


def test_half_precision_moves_importances_of_every_kind_a_little(kind, tmp_path):
    made = of_kind(kind)
    made.save(tmp_path / "half.decomp", half=True)
    found = Decomposition.load(tmp_path / "half.decomp").importances(inputs_of())
    for name, g in made.importances(inputs_of()).items():
        torch.testing.assert_close(found[name], g, rtol=0, atol=0.02)


def test_importances_of_every_kind_are_the_kinds_own_logits_between_0_and_1(kind):
    wanted = IMPORTANCES[kind].logits(tensors_of(kind), inputs_of())
    for name, g in of_kind(kind).importances(inputs_of()).items():
        torch.testing.assert_close(g, wanted[name].clamp(0, 1))
        assert g.shape == (2, 3, SITES[name][2])


def test_importances_ask_for_every_sites_input_where_they_need_it(kind):
    one = {"up": inputs_of()["up"]}
    if kind in ALL_SITES:
        line = f"^importances by {kind} need every site's input, and 'h.0.down' is not there$"
        with pytest.raises(UnweaveError, match=line):
            of_kind(kind).importances(one)
    else:
        assert list(of_kind(kind).importances(one)) == ["up"]


def test_a_site_alone_has_importances_or_says_that_it_needs_the_others(kind):
    made, x = of_kind(kind), inputs_of()
    if kind in ALL_SITES:
        assert isinstance(made.site("up").importance, NeedsAllSites)
        with pytest.raises(UnweaveError, match=rf"all its sites at once \({kind}\): use Decomposition.importances"):
            made.site("up").importance(x["up"])
    else:
        torch.testing.assert_close(made.site("up").importance(x["up"]), made.importances(x)["up"])


def test_moving_a_decomposition_moves_all_of_it(kind):
    made = of_kind(kind)
    found = made.to(torch.device("meta"))
    assert {tensor.device.type for tensor in found.tensors().values()} == {"meta"}
    assert found.tensors().keys() == made.tensors().keys()
    back = made.to(torch.device("cpu"))
    assert torch.equal(back.importances(inputs_of())["up"], made.importances(inputs_of())["up"])


def test_a_tensor_of_the_importance_function_that_is_missing_is_refused(kind, tmp_path):
    of_kind(kind).save(tmp_path / "one.decomp")
    path = tmp_path / "one.decomp" / "decomposition.safetensors"
    tensors = load_file(path)
    del tensors["up/V"]
    save_file(tensors, path)
    rewritten(tmp_path / "one.decomp", sha256=file_hash(path))
    with pytest.raises(UnweaveError, match=r"is damaged: it lacks 'up/V'"):
        Decomposition.load(tmp_path / "one.decomp")


def test_a_kind_of_a_newer_version_is_refused_with_the_nearest(folder):
    rewritten(folder, importance="site-mlp-2")
    with pytest.raises(UnweaveError, match="importance function 'site-mlp-2' is not known; nearest: 'site-mlp'"):
        Decomposition.load(folder)


def test_a_component_mlp_reads_the_pieces_that_the_decomposition_has():
    """V is stored once, for the pieces and for the importance function."""
    made = of_kind("component-mlp")
    assert made.site("up").importance.V is made.site("up").V
    assert isinstance(of_kind("site-mlp").site("up").importance, Importance)
    assert "up/importance.V" not in made.tensors()
