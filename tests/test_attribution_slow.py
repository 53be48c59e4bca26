"""A prompt's graph and its circuit on the bundled decomposition of the bundled model."""

from __future__ import annotations

import pytest

from unweave.decompose import Decomposition, bundled
from unweave.models import load_target
from unweave.read.attribution import prompt_graph
from unweave.read.circuit import ALL, FOUND, IMPORTANCE, RANDOM, RANKED, STOCHASTIC, behaviour_circuit

PROMPT = "Alle Menschen haben das Recht auf"


@pytest.fixture(scope="module")
def subject():
    return load_target("polyglot"), Decomposition.load(bundled("polyglot"))


def test_a_prompts_graph_accounts_for_its_logits(subject):
    graph = prompt_graph(*subject, PROMPT)
    assert len([node for node in graph.nodes if node.kind == "subcomponent"]) == 300
    for logit in graph.logits:
        assert graph.inflows[logit.id].total == pytest.approx(logit.activation, rel=1e-3)
    assert graph.shown(graph.logits[0].id)[0] > 0.4


@pytest.mark.slow
def test_without_an_adversary_the_circuit_is_smaller_and_not_faithful(subject):
    """The record has 384 nodes at .60 nats against 132 at 3.0 and 193 at 2.3."""
    circuits = behaviour_circuit(*subject, PROMPT).circuits
    floor = circuits[ALL].faithfulness.alone
    assert circuits[FOUND].faithfulness.adversary[100] < floor + 0.5
    for how in (STOCHASTIC, IMPORTANCE):
        assert circuits[how].size < 0.7 * circuits[FOUND].size
        assert circuits[how].faithfulness.adversary[100] > 2 * circuits[FOUND].faithfulness.adversary[100]
    assert circuits[RANKED].faithfulness.adversary[100] > 1.3 * circuits[FOUND].faithfulness.adversary[100]
    assert circuits[RANDOM].faithfulness.alone > 3
