from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import wired
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.base.progress import Silent
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.models.target import make_target
from unweave.read.alive import AliveNodes, Behaviour
from unweave.read.circuit import (
    ALL,
    FOUND,
    IMPORTANCE,
    RANDOM,
    RANKED,
    SEARCHED,
    STOCHASTIC,
    BehaviourCircuit,
    behaviour_circuit,
)
from unweave.read.circuit_search import CircuitConfig, extended, faithfulness, search

PROMPT = [3, 1, 4]
CONFIG = CircuitConfig(steps=150, learning_rate=0.05, sparsity=5e-3)


class Planted(nn.Module):
    """Each word writes six ones; each of six pieces hands one of them on, and the output reads three of those.

    The first piece says word 2. The second and the third say word 5, one for and one against, and together nothing. The
    others write where nothing reads.
    """

    def __init__(self, width=6, pairs=1, size=3.0):
        super().__init__()
        self.embedding = nn.Embedding(wired.WORDS, width)
        self.first = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, wired.WORDS, bias=False)
        with torch.no_grad():
            self.embedding.weight.fill_(1.0)
            self.first.weight.copy_(torch.eye(width))
            self.out.weight.zero_()
            self.out.weight[2, 0] = 4.0
            self.out.weight[5, 1 : 2 * pairs + 1 : 2] = size
            self.out.weight[5, 2 : 2 * pairs + 1 : 2] = -size

    def get_output_embeddings(self):
        return self.out

    def forward(self, tokens):
        return self.out(self.first(self.embedding(tokens)))


def taken_apart(module):
    target = make_target(module, None, "planted", check=False)
    eye = torch.eye(module.first.in_features)
    pieces = SiteSubcomponents("first", eye, eye, lambda x: torch.ones_like(x))
    return target, Decomposition({"first": pieces}, target.identity.digest, target.name)


@pytest.fixture(scope="module")
def planted():
    return taken_apart(Planted())


def ids(*indices, position=2):
    return {f"first:{index}@{position}" for index in indices}


@pytest.fixture(scope="module")
def found(planted):
    return behaviour_circuit(*planted, PROMPT, config=CONFIG)


def test_the_planted_circuit_is_found_exactly_and_no_adversary_harms_it(found):
    assert set(found.found.nodes) == set(found.circuits[SEARCHED].nodes) == ids(0, 1, 2)
    measured = found.found.faithfulness
    assert measured.adversary[100] < 1e-5
    assert measured.alone < 1e-5
    assert measured.stochastic < 1e-5


def test_without_an_adversary_what_cancels_is_left_out_and_the_circuit_is_not_faithful(found):
    fewer = found.circuits[IMPORTANCE]
    assert set(fewer.nodes) == ids(0)
    assert fewer.faithfulness.alone < 1e-5
    # One of the pair on and the other off adds 3 to the logit of word 5, or takes it away.
    logits = torch.tensor([0.0, 0, 4, 0, 0, 0, 0])
    attacked = logits + 3 * torch.eye(7)[5]
    wanted = float((logits.softmax(-1) * (logits.log_softmax(-1) - attacked.log_softmax(-1))).sum())
    assert fewer.faithfulness.adversary[100] == pytest.approx(wanted, rel=1e-3)
    assert 1e-3 < fewer.faithfulness.stochastic < wanted


def test_beside_it_stand_a_ranking_a_draw_and_all_that_are_alive(found):
    assert list(found.circuits) == [FOUND, SEARCHED, STOCHASTIC, IMPORTANCE, RANKED, RANDOM, ALL]
    assert found.alive == found.circuits[ALL].size == 18
    assert found.circuits[ALL].faithfulness.adversary[20] < 1e-5
    assert found.circuits[RANKED].size == found.circuits[RANDOM].size == 3
    # Gradients are right here, because the network is linear.
    assert set(found.circuits[RANKED].nodes) == ids(0, 1, 2)
    assert found.circuits[RANDOM].faithfulness.adversary[100] > 1
    rows = found.table().records()
    assert [row["circuit"] for row in rows] == list(found.circuits)
    assert rows[0]["nodes"] == 3
    assert rows[0]["adversary 20"] <= rows[0]["adversary 100"]


def test_other_positions_and_a_choice_of_words(planted):
    circuit = behaviour_circuit(*planted, PROMPT, positions=[1], config=CONFIG, compare=False)
    assert set(circuit.found.nodes) == ids(0, 1, 2, position=1)
    choice = behaviour_circuit(*planted, PROMPT, among=[2, 4], config=CONFIG, compare=False)
    assert set(choice.found.nodes) == ids(0)
    assert choice.found.faithfulness.adversary[100] < 1e-5
    both = behaviour_circuit(*planted, PROMPT, positions=[0, 2], among=[2, 4], config=CONFIG, compare=False)
    assert set(both.found.nodes) == ids(0) | ids(0, position=0)


def test_divergence_is_that_of_a_model_with_those_pieces(planted):
    """On a network with two sites, one of which has a bias, and with importances that leave some pieces out."""
    target = wired.target(wired.Chain(skip=True))
    given = {"first": torch.tensor([1.0, 0.4, 0.0, 0.2]), "third": torch.tensor([0.5, 0.0, 1.0])}
    made = wired.pieces(target, "first", "third", importance=given)
    nodes = AliveNodes(target, made, Behaviour((3, 1, 4), (1, 2)))
    assert len(nodes) == 3 * (3 + 2)
    assert nodes.importance.tolist() == pytest.approx([1, 0.4, 0.2] * 3 + [0.5, 1] * 3)
    masks = torch.rand(2, len(nodes), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), nodes.attached():
        reached = nodes.divergence(masks)
    module, x = target.module, target.module.embedding.weight[[3, 1, 4]]
    clean = target.logits(torch.tensor([[3, 1, 4]]))[0].log_softmax(-1)
    for row, mask in enumerate(masks):
        first = torch.zeros(3, 4)
        first[:, [0, 1, 3]] = mask[:9].view(3, 3)
        third = torch.zeros(3, 3)
        third[:, [0, 2]] = mask[9:].view(3, 2)
        stream = x + (x @ made.site("first").V * first) @ made.site("first").U + module.first.bias
        stream = stream + module.second(stream)
        stream = stream + (stream @ made.site("third").V * third) @ made.site("third").U + module.third.bias
        logits = module.out(stream).log_softmax(-1)
        kl = (clean.exp() * (clean - logits)).sum(-1)[1:].mean()
        assert float(reached[row]) == pytest.approx(float(kl), rel=1e-4)
    assert nodes.places(["third:2@1"]).nonzero().tolist() == [[12]]
    with pytest.raises(UnweaveError, match="first:2@0' is not alive"):
        nodes.places(["first:2@0"])


def test_a_site_without_a_node_is_off(planted):
    target = wired.target(wired.Chain(skip=True))
    given = {"first": torch.tensor([1.0, 0.4]), "third": torch.zeros(3)}
    made = wired.pieces(target, "first", "third", importance=given)
    nodes = AliveNodes(target, made, Behaviour((3, 1, 4), (2,)))
    with torch.no_grad(), nodes.attached():
        reached = float(nodes.divergence(torch.zeros(1, len(nodes)))[0])
    module = target.module
    stream = module.embedding.weight[4] + module.first.bias
    stream = stream + module.second(stream)
    logits = module.out(stream + module.third.bias).log_softmax(-1)
    clean = target.logits(torch.tensor([[3, 1, 4]]))[0, 2].log_softmax(-1)
    assert reached == pytest.approx(float((clean.exp() * (clean - logits)).sum()), rel=1e-4)


def test_an_adversary_only_grows_worse_with_its_steps(planted):
    nodes = AliveNodes(*planted, Behaviour(tuple(PROMPT), (2,)))
    measured = faithfulness(nodes, nodes.places(["first:0@2"]), (0, 2, 20, 100))
    assert list(measured.adversary.values()) == sorted(measured.adversary.values())
    assert measured.adversary[0] < measured.adversary[20]
    # A longer attack goes on where the shorter one ended.
    often = faithfulness(nodes, nodes.places(["first:0@2"]), tuple(range(2, 21, 2)))
    assert often.adversary[20] == pytest.approx(measured.adversary[20], rel=1e-5)


def test_the_search_itself_has_an_adversary():
    """Thirty pieces of .3, half for and half against a word: at random they cancel, an adversary moves it by 4.5."""
    nodes = AliveNodes(*taken_apart(Planted(40, pairs=15, size=0.3)), Behaviour(tuple(PROMPT), (2,)))
    kept = {}
    for masks in ("adversarial", "stochastic"):
        kept[masks] = search(nodes, replace(CONFIG, masks=masks, sparsity=1e-3), Silent()) > 0.1
    pieces = nodes.places([f"first:{index}@2" for index in range(1, 31)])
    assert int(kept["adversarial"][pieces].sum()) > 8
    assert int(kept["stochastic"][pieces].sum()) == 0
    assert not kept["adversarial"][~pieces & ~nodes.places(["first:0@2"])].any()


def test_what_an_adversary_does_harm_with_is_put_back_and_nothing_else(planted):
    nodes = AliveNodes(*planted, Behaviour(tuple(PROMPT), (2,)))
    empty, one = torch.zeros(len(nodes)), nodes.places(["first:0@2"]).float()
    for start in (empty, one):
        found = extended(nodes, start, CircuitConfig(tolerance=1e-3), Silent())
        assert {nodes.ids[number] for number in found.nonzero()[:, 0].tolist()} == ids(0, 1, 2)
    # 3 less for word 5 is within 5 nats of what is predicted.
    assert torch.equal(extended(nodes, one, CircuitConfig(tolerance=5), Silent()), one)


def test_a_seed_says_all(planted):
    nodes = AliveNodes(*planted, Behaviour(tuple(PROMPT), (2,)))
    config = CircuitConfig(steps=5)
    once, again = search(nodes, config, Silent()), search(nodes, config, Silent())
    assert torch.equal(once, again)
    assert not torch.equal(once, search(nodes, CircuitConfig(steps=5, seed=1), Silent()))


def test_a_saved_circuit_comes_back(found, tmp_path):
    found.save(tmp_path / "circuit.json")
    again = BehaviourCircuit.load(tmp_path / "circuit.json")
    assert again == found
    (tmp_path / "circuit.json").write_text('{"format": 1, "circuits": {"a": {}}}')
    with pytest.raises(UnweaveError, match="damaged"):
        BehaviourCircuit.load(tmp_path / "circuit.json")


def test_refusals(planted):
    with pytest.raises(UnweaveError, match="position 7 is not in the prompt"):
        behaviour_circuit(*planted, PROMPT, positions=[7])
    with pytest.raises(UnweaveError, match="two different tokens"):
        behaviour_circuit(*planted, PROMPT, among=[2])
    with pytest.raises(UnweaveError, match="token 40 has no logit"):
        behaviour_circuit(*planted, PROMPT, among=[2, 40])
    with pytest.raises(UnweaveError, match="masks is 'stochastik'; nearest: 'stochastic'"):
        CircuitConfig(masks="stochastik")
    with pytest.raises(UnweaveError, match="sparsity is 0"):
        CircuitConfig(sparsity=0)
    target, _ = planted
    dead = wired.pieces(target, "first", importance={"first": torch.zeros(2)})
    with pytest.raises(UnweaveError, match="no subcomponent is alive"):
        behaviour_circuit(target, dead, PROMPT)
