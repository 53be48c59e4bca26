from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
import wired

from unweave.base.errors import UnweaveError
from unweave.base.progress import Silent
from unweave.read import attribution_data
from unweave.read.attribution import prompt_graph
from unweave.read.attribution_data import dataset_attribution
from unweave.read.edge_table import COLUMNS, EdgeTable

WINDOWS = torch.tensor([[3, 1, 4, 1], [5, 2, 6, 5], [3, 5, 0, 2]])


def looking():
    target = wired.target(wired.Looking())
    given = {name: torch.tensor([1.0, 0.7, 0.05]) for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    return target, wired.pieces(target, *given, importance=given)


def from_graphs(target, made, **options):
    """The same sums from a graph of each window, edge by edge."""
    signed, toward, absolute = defaultdict(float), defaultdict(float), defaultdict(float)
    for window in WINDOWS:
        graph = prompt_graph(target, made, window, nodes=None, edges=None, **options)
        by_position = defaultdict(float)
        for s, t, weight in zip(graph.sources, graph.targets, graph.weights, strict=True):
            source, sink = graph.nodes[s], graph.nodes[t]
            if sink.kind == "logit":
                continue
            name = source.name if source.kind == "subcomponent" else source.name.rpartition(":")[0]
            sign = np.sign(sink.activation)
            signed[name, sink.name] += float(weight)
            toward[name, sink.name] += sign * float(weight)
            by_position[name, sink.name, source.position, sign] += float(weight)
        for (name, sink, _, _), weight in by_position.items():
            absolute[name, sink] += abs(weight)
    return signed, toward, absolute


@pytest.mark.parametrize("options", [{}, {"attention": "values only"}])
def test_it_is_the_sum_of_all_prompt_graphs(options):
    target, made = looking()
    table = dataset_attribution(target, made, WINDOWS, batch=2, chunk=3, sources=100, **options)
    signed, toward, absolute = from_graphs(target, made, **options)
    found = {(edge.source, edge.target): edge for name in table.names[:12] for edge in table.into(name)}
    assert len(found) == len(table) == len([pair for pair in absolute if absolute[pair] > 1e-9])
    for pair, edge in found.items():
        assert edge.signed == pytest.approx(signed[pair], rel=1e-4, abs=1e-5)
        assert edge.toward == pytest.approx(toward[pair], rel=1e-4, abs=1e-5)
        assert edge.absolute == pytest.approx(absolute[pair], rel=1e-4, abs=1e-5)
    assert any(edge.source == "embedding" for edge in found.values())
    assert not any(":2" in end for pair in found for end in pair)
    assert any(abs(edge.signed) < 0.9 * edge.absolute for edge in found.values())


def test_shares_are_sums_by_importance_of_the_source_and_size_of_the_target():
    target, made = looking()
    table = dataset_attribution(target, made, WINDOWS, sources=100)
    x = target.module.embedding.weight[WINDOWS]
    read = target.module.pattern(x) @ target.module.v_proj(x)
    rms = made.site("o_proj").activations(read)[..., 0].square().mean().sqrt()
    edge = next(edge for edge in table.into("o_proj:0") if edge.source == "v_proj:1")
    assert edge.share == pytest.approx(edge.signed / float(0.7 * 12 * rms), rel=1e-4)
    assert edge.toward_share == pytest.approx(edge.toward / float(0.7 * 12 * rms), rel=1e-4)
    assert table.firing[table.row("o_proj:0")] == 12
    assert table.importance[table.row("embedding")] == 12


def test_the_largest_sources_are_kept_whatever_the_chunks_and_batches():
    target, made = looking()
    whole = dataset_attribution(target, made, WINDOWS, sources=100)
    for batch, chunk in ((1, 1), (2, 5), (3, 100)):
        few = dataset_attribution(target, made, WINDOWS, sources=2, batch=batch, chunk=chunk)
        for name in few.names[: few.subcomponents]:
            wanted, found = whole.into(name, 2), few.into(name)
            assert [edge.source for edge in found] == [edge.source for edge in wanted]
            assert [edge.signed for edge in found] == pytest.approx([edge.signed for edge in wanted], rel=1e-4)


def test_only_the_targets_that_are_asked_for():
    target, made = looking()
    table = dataset_attribution(target, made, WINDOWS, targets=["o_proj:1"], sources=100)
    assert {edge.target for name in table.names for edge in table.out_of(name)} == {"o_proj:1"}
    assert table.out_of("v_proj:0", by="signed")[0] == next(e for e in table.into("o_proj:1") if e.source == "v_proj:0")
    with pytest.raises(UnweaveError, match="'o_proj:9' is not in this decomposition; nearest: 'o_proj:"):
        dataset_attribution(target, made, WINDOWS, targets=["o_proj:9"])


def test_it_comes_back_from_disk_and_a_stopped_one_goes_on(tmp_path, monkeypatch):
    target, made = looking()
    out, whole = tmp_path / "edges", dataset_attribution(target, made, WINDOWS)
    own, calls = attribution_data._largest, []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return own(*arguments)

    monkeypatch.setattr(attribution_data, "_largest", stopping)
    with pytest.raises(KeyboardInterrupt):
        dataset_attribution(target, made, WINDOWS, out=out, chunk=2)
    with pytest.raises(UnweaveError, match="with another sources"):
        dataset_attribution(target, made, WINDOWS, out=out, chunk=2, sources=3)
    resumed = dataset_attribution(target, made, WINDOWS, out=out, chunk=2)
    assert len(calls) == 3 + 4 - 2
    again = EdgeTable.load(out)
    for column in COLUMNS:
        np.testing.assert_allclose(again.columns[column], whole.columns[column], rtol=1e-4)
        np.testing.assert_array_equal(again.columns[column], resumed.columns[column])
    assert again.into("o_proj:0") == resumed.into("o_proj:0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edges"]
    with pytest.raises(UnweaveError, match="already exists"):
        dataset_attribution(target, made, WINDOWS, out=out)


def test_refusals(monkeypatch):
    target, made = looking()
    with pytest.raises(UnweaveError, match=r"shape \(4,\)"):
        dataset_attribution(target, made, WINDOWS[0])
    monkeypatch.setattr(attribution_data, "available_memory", lambda device: 1000)
    with pytest.raises(UnweaveError, match=r"12 tokens and 128 targets .* set batch or chunk lower"):
        dataset_attribution(target, made, WINDOWS, progress=Silent())
