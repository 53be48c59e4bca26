"""Behaviour circuits: the smallest set of subcomponents that keeps a prediction whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json, write_json
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import torch_generator
from unweave.decompose.decomposition import Decomposition
from unweave.models.target import Target
from unweave.read.alive import AliveNodes, Behaviour
from unweave.read.attribution import node_effects, prompt_tokens, token_text
from unweave.read.circuit_search import CircuitConfig, Faithfulness, extended, faithfulness, search
from unweave.read.features import FIRES, SubcomponentDictionary
from unweave.record.table import Table

FORMAT = 1
STEPS = (20, 100)
FOUND, SEARCHED = "under an adversary", "the same before nodes were put back"
STOCHASTIC, IMPORTANCE = "under random masks", "under its own masks"
RANKED, RANDOM, ALL = "gradient x activation", "random", "all that are alive"
RANDOM_DRAWS = 3


@dataclass(frozen=True)
class Circuit:
    """A set of nodes and how faithful it is."""

    how: str
    """How it was chosen."""
    nodes: Mapping[str, float]
    """Importances found, by id (``site:index@position``); 1 where there was nothing to find."""
    size: int
    faithfulness: Faithfulness


@dataclass(frozen=True)
class BehaviourCircuit:
    """The circuit of a behaviour, found under an adversary, beside others of the same prompt to compare it with.

    In ``circuits``, by how each was chosen: found under an adversary, and before nodes were put back until it is within
    the tolerance; under random masks, and under its importances as masks, which does not ask what the rest does; the
    same number of nodes by gradient times activation and at random (the mean of three draws); and all that are alive,
    whose divergence is the decomposition's own.
    """

    tokens: tuple[str, ...]
    behaviour: Behaviour
    alive: int
    circuits: Mapping[str, Circuit]
    config: Mapping[str, Any]
    target: str
    target_name: str
    decomposition: str

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {circuit.size}" for name, circuit in self.circuits.items())
        return f"BehaviourCircuit(of {self.alive} alive nodes; {sizes})"

    @property
    def found(self) -> Circuit:
        """The one found under an adversary."""
        return self.circuits[FOUND]

    def table(self) -> Table:
        """Sizes and divergences, a row a circuit."""
        records = []
        for name, circuit in self.circuits.items():
            measured = circuit.faithfulness
            row: dict[str, Any] = {"circuit": name, "nodes": circuit.size, "alone": measured.alone}
            row["random"] = measured.stochastic
            row |= {f"adversary {steps}": kl for steps, kl in measured.adversary.items()}
            records.append(row)
        kls = [column for column in records[0] if column not in ("circuit", "nodes")]
        return Table.from_records(
            "circuits",
            records,
            units=dict.fromkeys(kls, "nats"),
            caption=f"KL from the target's prediction by what the other of {self.alive} alive nodes are: off, at "
            "random, or as an adversary of so many steps sets them",
            digits=dict.fromkeys(kls, 3),
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        circuits = {
            name: {
                "size": circuit.size,
                "nodes": dict(circuit.nodes),
                "alone": circuit.faithfulness.alone,
                "stochastic": circuit.faithfulness.stochastic,
                "adversary": {str(steps): kl for steps, kl in circuit.faithfulness.adversary.items()},
            }
            for name, circuit in self.circuits.items()
        }
        return {
            "format": FORMAT,
            "target": self.target,
            "target_name": self.target_name,
            "decomposition": self.decomposition,
            "tokens": list(self.tokens),
            "behaviour": asdict(self.behaviour),
            "alive": self.alive,
            "config": dict(self.config),
            "circuits": circuits,
        }

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        write_json(path, self.as_dict())

    @classmethod
    def load(cls, path: Path) -> BehaviourCircuit:
        """Reads what ``save`` wrote; raises ``UnweaveError`` for another format, or what is damaged."""
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT or "circuits" not in value:
            raise UnweaveError(f"{path} is not a behaviour circuit of format {FORMAT}: make it again")
        try:
            stated = value["behaviour"]
            among = None if stated["among"] is None else tuple(stated["among"])
            behaviour = Behaviour(tuple(stated["tokens"]), tuple(stated["positions"]), among)
            circuits = {
                name: Circuit(
                    name,
                    each["nodes"],
                    each["size"],
                    Faithfulness(
                        each["alone"],
                        each["stochastic"],
                        {int(steps): kl for steps, kl in each["adversary"].items()},
                    ),
                )
                for name, each in value["circuits"].items()
            }
            return cls(
                tuple(value["tokens"]),
                behaviour,
                value["alive"],
                circuits,
                value["config"],
                value["target"],
                value["target_name"],
                value["decomposition"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UnweaveError(f"{path} is damaged ({error}): make it again") from error


def behaviour_circuit(
    target: Target,
    decomposition: Decomposition | SubcomponentDictionary,
    prompt: str | Sequence[int] | Int[Tensor, " t"],
    *,
    positions: Sequence[int] = (-1,),
    among: Sequence[int] | None = None,
    config: CircuitConfig | None = None,
    compare: bool = True,
    attack_steps: Iterable[int] = STEPS,
    progress: Progress | None = None,
) -> BehaviourCircuit:
    """The smallest set of nodes that keeps the target's next-token distribution at ``positions`` under an adversary.

    ``among``: only the choice between these tokens counts. Nodes are the (position, site, index) whose causal
    importance is above 0 in the prompt; fresh importances of them are trained (``circuit_search.py``), those above 0.1
    at the end are the circuit, and nodes are put back until an adversary is within the config's tolerance. What is not
    alive and the deltas are off in all of this, so that "all that are alive" says what is lost before anything is left
    out. With ``compare`` the same is sought without the adversary, and sets of as many nodes by gradient times
    activation and at random are measured beside it. The adversary that measures has steps and starts of its own.
    """
    made = decomposition.decomposition if isinstance(decomposition, SubcomponentDictionary) else decomposition
    config, progress = config or CircuitConfig(), progress or Silent()
    if config.masks != "adversarial":
        raise UnweaveError(
            f"masks is {config.masks!r}: a circuit is sought under an adversary; compare=True adds others"
        )
    tokens = prompt_tokens(target, prompt)[0]
    behaviour = Behaviour(
        tuple(tokens.tolist()),
        tuple(position + len(tokens) if position < 0 else position for position in positions),
        None if among is None else tuple(among),
    )
    steps = tuple(attack_steps)
    nodes = AliveNodes(target, made, behaviour)

    def measured(how: str, g: Float[Tensor, " nodes"]) -> Circuit:
        chosen = g > FIRES
        names = [nodes.ids[number] for number in chosen.nonzero()[:, 0].tolist()]
        found = faithfulness(nodes, chosen, steps, config.seed, progress, how)
        return Circuit(how, dict(zip(names, g[chosen].tolist(), strict=True)), len(names), found)

    searched = search(nodes, config, progress)
    found = extended(nodes, searched, config, progress)
    circuits = {FOUND: measured(FOUND, found)}
    if compare:
        size = circuits[FOUND].size
        circuits[SEARCHED] = measured(SEARCHED, searched)
        for how, masks in ((STOCHASTIC, "stochastic"), (IMPORTANCE, "importance")):
            circuits[how] = measured(how, search(nodes, replace(config, masks=masks), progress))
        circuits[RANKED] = measured(RANKED, _ranked(target, made, nodes, size))
        circuits[RANDOM] = _mean(RANDOM, [measured(RANDOM, g) for g in _random(nodes, size, config.seed)])
    circuits[ALL] = measured(ALL, torch.ones_like(found))
    return BehaviourCircuit(
        tuple(token_text(target, token) for token in behaviour.tokens),
        behaviour,
        len(nodes),
        circuits,
        asdict(config),
        target.identity.digest,
        target.name,
        made.digest(),
    )


def _ranked(target: Target, made: Decomposition, nodes: AliveNodes, size: int) -> Float[Tensor, " nodes"]:
    """The baseline: the nodes of the largest effect on the behaviour's logits by gradient times activation."""
    effects = node_effects(target, made, nodes.behaviour.tokens, nodes.behaviour.positions, nodes.behaviour.among)
    sizes = torch.tensor([effects.get(name, 0.0) for name in nodes.ids], device=nodes.importance.device)
    chosen = torch.zeros_like(sizes)
    chosen[sizes.argsort(descending=True, stable=True)[:size]] = 1.0
    return chosen


def _random(nodes: AliveNodes, size: int, seed: int) -> list[Float[Tensor, " nodes"]]:
    """The control: as many alive nodes, drawn."""
    found = []
    for draw in range(RANDOM_DRAWS):
        order = torch.randperm(len(nodes), generator=torch_generator(seed, "random circuit", draw))
        chosen = torch.zeros(len(nodes))
        chosen[order[:size]] = 1.0
        found.append(chosen.to(nodes.importance.device))
    return found


def _mean(how: str, circuits: Sequence[Circuit]) -> Circuit:
    measured, count = [circuit.faithfulness for circuit in circuits], len(circuits)
    faithful = Faithfulness(
        sum(each.alone for each in measured) / count,
        sum(each.stochastic for each in measured) / count,
        {steps: sum(each.adversary[steps] for each in measured) / count for steps in measured[0].adversary},
    )
    return Circuit(how, {}, circuits[0].size, faithful)
