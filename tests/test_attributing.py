"""The commands ``attribute`` and ``circuit``, on the trained target of planted languages."""

from __future__ import annotations

import json

import planted
import pytest

from unweave.cli import main
from unweave.read.circuit import BehaviourCircuit
from unweave.read.edge_table import EdgeTable
from unweave.read.graph import PromptGraph

TEXT = " ".join(planted.text(planted.REMOVED, 1, seed=3).split()[:6])


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys, planted_target_folder, planted_decomposition_folder):
    """Calls a command on the target and its decomposition, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))

    def call(command, *arguments):
        places = [str(planted_target_folder), str(planted_decomposition_folder)]
        code = main([command, *places, *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_a_prompts_graph(cli, tmp_path):
    code, out, _ = cli("attribute", "--text", TEXT, "--nodes", 20, "--logits", 2, "--out", "graph.json")
    assert code == 0
    graph = PromptGraph.load(tmp_path / "graph.json")
    best = graph.logits[0]
    assert f"{best.token!r}, probability {best.importance:.3f}" in out
    assert f"{len(graph.weights)} edges are kept. Attention: through. Norms: frozen." in out
    assert f"Edges pass {len(graph.passed_through)} matrices" in out
    node, weight = graph.edges_into(best.id)[0]
    assert f"{weight:+8.3f}  {node.name} at {node.position}" in out
    code, out, _ = cli("attribute", "--text", TEXT, "--nodes", 20, "--logits", 2, "--json")
    assert json.loads(out) == json.loads((tmp_path / "graph.json").read_text())


def test_edges_over_text(cli, tmp_path, planted_corpus):
    arguments = ("--corpus", planted_corpus, "--windows", 1, "--targets", f"{planted.SITE}:0,{planted.SITE}:1")
    code, _, err = cli("attribute", *arguments)
    assert code == 2
    assert "give a new folder with --out" in err
    code, out, err = cli("attribute", *arguments, "--out", "edges", "--json")
    assert code == 0, err
    table = EdgeTable.load(tmp_path / "edges")
    said = json.loads(out)
    assert (said["edges"], said["tokens"], said["edges_path"]) == (len(table), 4 * 64, "edges")
    assert said["status"] == "finished"


def test_a_behaviours_circuit(cli, tmp_path):
    arguments = ("--text", TEXT, "--set", "steps=3", "--out", "circuit.json")
    code, out, err = cli("circuit", *arguments, "--json")
    assert code == 0, err
    value = json.loads(out)
    assert value["circuit"] == json.loads((tmp_path / "circuit.json").read_text())
    assert [row["circuit"] for row in value["table"]] == list(BehaviourCircuit.load(tmp_path / "circuit.json").circuits)
    assert value["tables"] == ["circuits"]
    code, out, _ = cli("circuit", *arguments, "--alone", "--positions", "2,-1")
    assert code == 0
    assert "under an adversary" in out
    assert "random masks" not in out
    assert BehaviourCircuit.load(tmp_path / "circuit.json").behaviour.positions[0] == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("attribute",), "give a prompt with --text, or text to sum over with --corpus"),
        (("attribute", "--text", "a", "--corpus", "b"), "give a prompt with --text, or text"),
        (("circuit", "--text", TEXT, "--positions", "x"), "--positions x are not whole numbers"),
        (("circuit", "--text", TEXT, "--set", "maks=a"), "a circuit has no field 'maks'"),
        (("circuit", "--text", TEXT, "--among", TEXT), "is 6 tokens of"),
    ],
)
def test_refusals(cli, arguments, why):
    code, _, err = cli(*arguments)
    assert code == 2
    assert why in err
