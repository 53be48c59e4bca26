from __future__ import annotations

import copy

import pytest
import torch
import wired

from unweave.base.errors import UnweaveError
from unweave.read.attribution import prompt_graph
from unweave.read.cut import CutTarget
from unweave.read.graph import PromptGraph

PROMPT = [3, 1, 4, 1, 5]
EVERYTHING = {"nodes": None, "edges": None}
STEP = 0.02


def edges(graph):
    """Weights by the ids of both ends."""
    return {
        (graph.nodes[s].id, graph.nodes[t].id): float(w)
        for s, t, w in zip(graph.sources, graph.targets, graph.weights, strict=True)
    }


def reading(made, site, x):
    """Activations ``||u|| v . x``, importances, and writing directions of a site's pieces."""
    own = made.site(site)
    return own.activations(x), own.importance(x), own.U / own.U.norm(dim=-1, keepdim=True)


def test_edges_of_two_linear_layers_are_products_of_weights():
    """``||u_c|| (v_c . u_c' / ||u_c'||) a_c' g_c'``, at one position only; the third site is past the second."""
    target = wired.target(wired.Chain())
    made = wired.pieces(target, "first", "second", "third")
    found = edges(prompt_graph(target, made, PROMPT, **EVERYTHING))
    x = target.module.embedding.weight[PROMPT]
    a, g, u = reading(made, "first", x)
    read = made.site("second").V * made.site("second").U.norm(dim=-1)
    wanted = (u @ read) * (a * g)[..., None]
    for t in range(len(PROMPT)):
        for source in range(4):
            for sink in range(4):
                edge = found[f"first:{source}@{t}", f"second:{sink}@{t}"]
                assert edge == pytest.approx(float(wanted[t, source, sink]), rel=1e-4, abs=1e-5)
    assert not [pair for pair in found if pair[0].startswith("first") and pair[1].startswith(("third", "logits"))]
    assert all(s.rsplit("@")[1] == t.rsplit("@")[1] for s, t in found)


def test_edges_to_logits_are_products_with_the_unembedding_less_its_mean():
    target = wired.target(wired.Chain())
    made = wired.pieces(target, "first", "second", "third")
    graph = prompt_graph(target, made, PROMPT, logits=[2, 6], position=3, **EVERYTHING)
    x = target.module.second(target.module.first(target.module.embedding.weight[PROMPT]))
    a, g, u = reading(made, "third", x)
    out = target.module.out.weight - target.module.out.weight.mean(0)
    found = edges(graph)
    for token in (2, 6):
        for source in range(4):
            wanted = float(a[3, source] * g[3, source] * (u[source] @ out[token]))
            assert found[f"third:{source}@3", f"logits:{token}@3"] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    logits = target.logits(torch.tensor([PROMPT]))[0, 3]
    assert [node.importance for node in graph.logits] == pytest.approx(logits.softmax(-1)[[2, 6]].tolist(), rel=1e-4)


def test_a_relu_passes_only_where_it_is_open():
    target = wired.target(wired.Chain(bent=True))
    made = wired.pieces(target, "first", "second")
    found = edges(prompt_graph(target, made, PROMPT, **EVERYTHING))
    x = target.module.embedding.weight[PROMPT]
    a, g, u = reading(made, "first", x)
    opened = (target.module.first(x) > 0).float()
    assert 0 < opened.mean() < 1
    read = made.site("second").V * made.site("second").U.norm(dim=-1)
    for t in range(len(PROMPT)):
        wanted = ((u * opened[t]) @ read) * (a * g)[t, :, None]
        for source in range(4):
            for sink in range(4):
                edge = found.get((f"first:{source}@{t}", f"second:{sink}@{t}"), 0.0)
                assert edge == pytest.approx(float(wanted[source, sink]), rel=1e-4, abs=1e-5)


def test_the_residual_stream_passes_a_layer_by_and_no_other_subcomponent():
    """first -> third is ``v . u``, as if ``second`` were not there: what goes by way of it is not a direct effect."""
    target = wired.target(wired.Chain(skip=True))
    made = wired.pieces(target, "first", "second", "third")
    found = edges(prompt_graph(target, made, PROMPT, **EVERYTHING))
    a, g, u = reading(made, "first", target.module.embedding.weight[PROMPT])
    read = made.site("third").V * made.site("third").U.norm(dim=-1)
    wanted = (u @ read) * (a * g)[..., None]
    for t in range(len(PROMPT)):
        edge = found[f"first:1@{t}", f"third:2@{t}"]
        assert edge == pytest.approx(float(wanted[t, 1, 2]), rel=1e-4)
    # With the second site left whole, the way through it is part of the edge.
    fewer = wired.pieces(target, "first", "third")
    graph = prompt_graph(target, fewer, PROMPT, **EVERYTHING)
    assert graph.passed_through == ("second",)
    through = torch.eye(wired.WIDTH) + target.module.second.weight.T
    a, g, u = reading(fewer, "first", target.module.embedding.weight[PROMPT])
    wanted = (u @ through @ (fewer.site("third").V * fewer.site("third").U.norm(dim=-1))) * (a * g)[..., None]
    assert edges(graph)["first:1@2", "third:2@2"] == pytest.approx(float(wanted[2, 1, 2]), rel=1e-4)


def test_all_that_flows_into_a_node_of_a_linear_model_is_its_activation():
    target = wired.target(wired.Chain(skip=True))
    made = wired.pieces(target, "first", "second", "third")
    graph = prompt_graph(target, made, PROMPT, **EVERYTHING)
    assert len(graph.inflows) == 5 * 3 * 4 + 5
    for node in graph.nodes:
        if node.kind != "embedding":
            inflow = graph.inflows[node.id]
            assert inflow.total == pytest.approx(node.activation, rel=1e-4, abs=1e-4)
            assert sum(w for _, w in graph.edges_into(node.id)) == pytest.approx(
                inflow.subcomponents + inflow.embeddings, rel=1e-4, abs=1e-4
            )
            assert graph.shown(node.id)[0] == pytest.approx(1, rel=1e-5)
    last = graph.inflows["third:0@2"]
    assert min(abs(last.delta), abs(last.bias), abs(last.rest), abs(last.embeddings)) > 1e-3


def test_with_values_only_edges_are_the_pattern_times_weights():
    """v -> o crosses positions: ``A[t, t'] (v_c . u_c') a_c' g_c'``; query and key have no edges out."""
    target = wired.target(wired.Looking())
    made = wired.pieces(target, "q_proj", "k_proj", "v_proj", "o_proj")
    graph = prompt_graph(target, made, PROMPT, attention="values only", **EVERYTHING)
    assert graph.attention == "values only"
    found = edges(graph)
    x = target.module.embedding.weight[PROMPT]
    a, g, u = reading(made, "v_proj", x)
    read = made.site("o_proj").V * made.site("o_proj").U.norm(dim=-1)
    pattern = target.module.pattern(x)
    for t in range(5):
        for earlier in range(5):
            wanted = float(pattern[t, earlier] * (u[1] @ read[:, 3]) * (a * g)[earlier, 1])
            edge = found.get((f"v_proj:1@{earlier}", f"o_proj:3@{t}"), 0.0)
            assert edge == pytest.approx(wanted, rel=1e-4, abs=1e-6)
            assert (edge == 0) == (earlier > t)
    assert not [pair for pair in found if pair[0].startswith(("q_proj", "k_proj"))]
    through = edges(prompt_graph(target, made, PROMPT, attention="through", **EVERYTHING))
    assert set(found) < set(through)
    assert [pair for pair in through if pair[0].startswith("k_proj:0@1") and pair[1].startswith("o_proj:0@3")]


def test_values_only_holds_queries_and_keys_that_are_not_taken_apart_too():
    target = wired.target(wired.Looking())
    made = wired.pieces(target, "v_proj", "o_proj")

    def from_embeddings(attention):
        found = edges(prompt_graph(target, made, PROMPT, attention=attention, **EVERYTHING))
        return [pair for pair in found if pair[0].startswith("embedding") and pair[1].startswith("o_proj")]

    # Embeddings reach o_proj by query, key and value only: the first two are given, and the third is cut.
    assert not from_embeddings("values only")
    assert from_embeddings("through")


def test_values_only_is_refused_where_no_attention_is_known():
    target = wired.target(wired.Chain())
    with pytest.raises(UnweaveError, match="no attention is found"):
        prompt_graph(target, wired.pieces(target, "first"), PROMPT, attention="values only")


@pytest.mark.parametrize("attention", ["through", "values only"])
@pytest.mark.parametrize("norms", ["through", "frozen"])
def test_on_real_architectures_edges_are_finite_differences(target, decomposed, attention, norms):
    """Something small is added along what a piece writes, everything else that sites write is held, in float64."""
    made = decomposed(target, count=5)
    tokens = [5, 17, 40, 8]
    graph = prompt_graph(target, made, tokens, attention=attention, norms=norms, **EVERYTHING)
    cut = CutTarget(target, made)
    clean = cut.run(torch.tensor([tokens]))
    found = edges(graph)
    double = copy.deepcopy(target.module).double()
    names = list(clean.sites)
    generator = torch.Generator().manual_seed(0)
    checked, pairs = 0, list(found)
    for number in torch.randperm(len(pairs), generator=generator)[:30].tolist():
        pair = source, sink = pairs[number]
        if not (source.split(":")[0] in names and sink.split(":")[0] in names):
            continue
        checked += 1
        wanted = slope(target, double, made, clean, tokens, source, sink, attention, norms)
        assert found[pair] == pytest.approx(wanted, rel=2e-3, abs=2e-4)
    assert checked > 12


def slope(target, double, made, clean, tokens, source, sink, attention, norms):
    """Change of the sink's activation as the source's is moved, everything that other sites write being held."""
    (name, index, at), (sink_name, sink_index, sink_at) = (split(source), split(sink))
    site, sink_site = clean.sites[name], made.site(sink_name)
    sites, u = target.all_sites(), made.site(name).U[index].double()
    moved_by = float(site.weighted[0, at, index]) * u / u.norm()
    values = []
    # Not smaller: Llama's norms calculate in float32, whatever they are given.
    for step in (STEP, -STEP):
        kept, handles = {}, []
        scales = iter(norm_scales(double, tokens)) if norms == "frozen" else None

        def hook(own, step=step, kept=kept):
            def replace(_, args, output):
                new = output
                for each in own:
                    kept[each.name] = args[0]
                    held = clean.sites[each.name].output.detach().double().clone()
                    is_pattern = each.name.rsplit(".")[-1] in ("q_proj", "k_proj", "q", "k")
                    if each.name == name and not (attention == "values only" and is_pattern):
                        held[0, at] += step * moved_by
                    new = each.replaced(new, held)
                return new

            return replace

        by_module = {}
        for each in (sites[site_name] for site_name in made.sites):
            by_module.setdefault(each.module, []).append(each)
        for module, own in by_module.items():
            handles.append(double.get_submodule(module).register_forward_hook(hook(own)))
        if scales is not None:
            for module in norms_of(double):
                handles.append(module.register_forward_hook(held_scale(scales)))
        with torch.no_grad():
            double(torch.tensor([tokens]), use_cache=False)
        for handle in handles:
            handle.remove()
        values.append(kept[sink_name][0, sink_at] @ sink_site.V[:, sink_index].double())
    return float((values[0] - values[1]) / (2 * STEP) * sink_site.U[sink_index].double().norm())


def split(node):
    site, _, rest = node.rpartition(":")
    index, at = rest.split("@")
    return site, int(index), int(at)


def norms_of(module):
    return [m for m in module.modules() if type(m).__name__.endswith(("RMSNorm", "LayerNorm"))]


def norm_scales(double, tokens):
    """The clean standard deviation (LayerNorm) or root mean square of every norm's input, in the order of calls."""
    found, handles = [], []

    def keep(module, args, _):
        x = args[0]
        layer = isinstance(module, torch.nn.LayerNorm)
        found.append((x.var(-1, keepdim=True, correction=0) if layer else x.square().mean(-1, keepdim=True)).detach())

    for module in norms_of(double):
        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        double(torch.tensor([tokens]), use_cache=False)
    for handle in handles:
        handle.remove()
    return found


def held_scale(scales):
    def replace(module, args, _):
        x, square = args[0], next(scales)
        if isinstance(module, torch.nn.LayerNorm):
            return (x - x.mean(-1, keepdim=True)) * (square + module.eps).rsqrt() * module.weight + module.bias
        return x * (square + module.variance_epsilon).rsqrt() * module.weight

    return replace


def test_with_scales_held_all_that_flows_into_what_reads_the_stream_is_its_activation(target, decomposed):
    """Llama, Qwen2 and GPT-2: norms included. Without that, into a reader of an RMSNorm it adds up to nothing."""
    graph = prompt_graph(target, decomposed(target, count=5), [5, 17, 40, 8], **EVERYTHING)
    reads = ("q_proj", "v_proj", "up_proj", "gate_proj", "c_fc", "c_attn.q", "logits")
    nodes = [node for node in graph.nodes if node.name.rsplit(":")[0].endswith(reads)]
    assert len(nodes) > 60
    # GPT-2's LayerNorms have a shift, which is nobody's output.
    shift = any(name.startswith("transformer") for name in (node.name for node in graph.nodes))
    for node in nodes:
        if not shift:
            assert graph.inflows[node.id].total == pytest.approx(node.activation, rel=1e-3, abs=1e-3)
    if not shift:
        plain = prompt_graph(target, decomposed(target, count=5), [5, 17, 40, 8], norms="through", **EVERYTHING)
        totals = torch.tensor([plain.inflows[node.id].total for node in nodes])
        assert totals.abs().mean() < 0.02 * torch.tensor([abs(node.activation) for node in nodes]).mean()


def test_hooks_change_no_logit(target, decomposed):
    made = decomposed(target)
    tokens = torch.tensor([[5, 17, 40, 8]])
    clean = target.logits(tokens)
    for norms in ("frozen", "through"):
        for cut in (True, False):
            passed = CutTarget(target, made, "values only", norms).run(tokens, cut)
            torch.testing.assert_close(passed.logits, clean, rtol=1e-4, atol=1e-4 * float(clean.abs().max()))
    assert torch.equal(target.logits(tokens), clean)


def test_a_piece_that_nothing_reads_has_no_edge_and_one_that_does_not_fire_no_node():
    target = wired.target(wired.Chain())
    given = {"first": torch.tensor([1.0, 0.9, 0.05, 0.0]), "second": torch.tensor([1.0, 1.0])}
    made = wired.pieces(target, "first", "second", importance=given)
    made.site("first").U[1] = 0.0
    made.site("first").U[1, 0] = 1.0
    made.site("second").V[0] = 0.0
    graph = prompt_graph(target, made, PROMPT, **EVERYTHING)
    names = {node.name for node in graph.nodes}
    assert {"first:0", "first:1"} <= names
    assert not {"first:2", "first:3"} & names
    assert not graph.edges_from("first:1@0")
    assert graph.edges_from("first:0@0")


def test_the_largest_effects_are_kept_and_what_is_pinned():
    target = wired.target(wired.Chain())
    made = wired.pieces(target, "first", "second", "third")
    everything = prompt_graph(target, made, PROMPT, **EVERYTHING)
    effects = {node.id: node.effect for node in everything.nodes if node.kind == "subcomponent"}
    # Only the last position reaches the logits there, by the product of all matrices behind it.
    assert all((effect > 0) == name.endswith("@4") for name, effect in effects.items())
    best = sorted(effects, key=lambda name: -effects[name])[:5]
    found = prompt_graph(target, made, PROMPT, nodes=5, edges=None, keep=["second:2@0"])
    assert {node.id for node in found.nodes if node.kind == "subcomponent"} == {*best, "second:2@0"}
    shared = set(edges(found)) & set(edges(everything))
    assert shared == set(edges(found))
    with pytest.raises(UnweaveError, match="second:9@0' does not fire"):
        prompt_graph(target, made, PROMPT, keep=["second:9@0"])


def test_effects_are_by_all_ways_together():
    """``E |p (d logit / d piece) a g|``, here through two matrices that follow."""
    target = wired.target(wired.Chain())
    made = wired.pieces(target, "first", "second", "third")
    graph = prompt_graph(target, made, PROMPT, logits=[2], **EVERYTHING)
    x = target.module.embedding.weight[PROMPT]
    a, g, u = reading(made, "first", x)
    module = target.module
    out = (module.out.weight - module.out.weight.mean(0))[2]
    wanted = (u @ module.second.weight.T @ module.third.weight.T @ out) * (a * g)[-1] * graph.logits[0].importance
    for index in range(4):
        assert graph.node(f"first:{index}@4").effect == pytest.approx(abs(float(wanted[index])), rel=1e-4)


def test_pruning():
    target = wired.target(wired.Chain(skip=True))
    graph = prompt_graph(target, wired.pieces(target, "first", "second", "third"), PROMPT, **EVERYTHING)
    fewer = graph.pruned(edges=10)
    assert len(fewer.weights) == 10
    assert fewer.strengths().min() >= sorted(graph.strengths())[-10]
    weak = graph.edges_into("third:0@1")
    pinned = graph.pruned(nodes=2, edges=4, keep=["third:0@1", "first:3@1"])
    assert {"third:0@1", "first:3@1"} <= {node.id for node in pinned.nodes}
    assert len([node for node in pinned.nodes if node.kind == "subcomponent"]) == 4
    assert len(pinned.logits) == 5
    assert len(weak) > len(pinned.edges_into("third:0@1")) >= 1
    assert pinned.pruned(nodes=0).pinned == {"third:0@1", "first:3@1"}
    heavy = graph.pruned(threshold=0.2)
    assert 0 < len(heavy.weights) < len(graph.weights)
    for source, sink in edges(heavy):
        assert abs(edges(graph)[source, sink]) >= 0.2 * graph.inflows[sink].size
    with pytest.raises(UnweaveError, match="nodes is -1"):
        graph.pruned(nodes=-1)


def test_a_saved_graph_comes_back(tmp_path):
    target = wired.target(wired.Chain(skip=True))
    made = wired.pieces(target, "first", "third")
    graph = prompt_graph(target, made, PROMPT, nodes=7, edges=20, keep=["first:0@1"])
    graph.save(tmp_path / "graph.json")
    again = PromptGraph.load(tmp_path / "graph.json")
    assert again.as_dict() == graph.as_dict()
    assert edges(again) == edges(graph)
    again.check(target.identity.digest, made.digest())
    with pytest.raises(UnweaveError, match="make it again"):
        again.check(target.identity.digest, "another")
    (tmp_path / "graph.json").write_text('{"format": 9}')
    with pytest.raises(UnweaveError, match="not a prompt graph of format 1"):
        PromptGraph.load(tmp_path / "graph.json")


def test_refusals(target, decomposed, monkeypatch):
    made = decomposed(target, count=5)
    with pytest.raises(UnweaveError, match="no tokens"):
        prompt_graph(target, made, "")
    with pytest.raises(UnweaveError, match="position 9 is not in the prompt"):
        prompt_graph(target, made, [1, 2], position=9)
    with pytest.raises(UnweaveError, match="token 4000 has no logit"):
        prompt_graph(target, made, [1, 2], logits=[4000])
    with pytest.raises(UnweaveError, match="attention is 'frozen'; nearest"):
        prompt_graph(target, made, [1, 2], attention="frozen")
    monkeypatch.setattr("unweave.read.attribution.available_memory", lambda device: 10_000)
    with pytest.raises(UnweaveError, match=r"nodes may take .* GB, and 0.0 GB are free: set nodes lower"):
        prompt_graph(target, made, [1, 2])


def test_text_is_the_same_as_its_tokens(llama, decomposed):
    made = decomposed(llama, count=5)
    text = "the cat sat"
    graph = prompt_graph(llama, made, text)
    assert "".join(graph.tokens) == text
    assert graph.as_dict() == prompt_graph(llama, made, llama.tokenizer(text)["input_ids"]).as_dict()
