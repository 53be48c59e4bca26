"""The toys: for each its network and data by seed, how it is taken apart, and what must be found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, nearest
from unweave.decompose.batches import Batches
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.toys import induction, planted_languages, residual_mlp, tms
from unweave.decompose.toys.circuit import Circuit, find_circuit
from unweave.models.target import Target


@dataclass(frozen=True)
class Toy:
    """One network with a known answer."""

    name: str
    summary: str
    build: Callable[[int], nn.Module]
    """The network for a seed, trained or constructed."""
    data: Callable[[int, int], Batches]
    """Batches for a batch size and a seed."""
    config: WholeModelConfig
    probes: Tensor = field(default_factory=lambda: torch.zeros(0))
    """Inputs with one feature each; importances on them are compared with what is expected."""
    identity: tuple[str, ...] = ()
    """Sites that must have exactly one subcomponent for each feature."""
    probed: Mapping[str, Tensor] = field(default_factory=dict)
    """The feature of each probe, for sites where several probes have the same one."""
    dense: Mapping[str, int] | None = None
    """Sites that must have exactly so many subcomponents, each needed for many features."""
    recovery: Mapping[str, str] | None = None
    """Sites of which is compared what they make of each probe's feature ("in"), their rows ("out"), or planted pieces
    ("planted")."""
    computed: Callable[[nn.Module, Tensor], Mapping[str, Tensor]] | None = None
    """Which probes' features a site must have a subcomponent for, from network and probes, where those are not all."""
    planted: Callable[[int], Mapping[str, Tensor]] | None = None
    """The true pieces by site for a seed."""
    circuit: Callable[[Target, Decomposition, int], Circuit] | None = None
    """Looks for a circuit instead of comparing importances on probes."""
    solved: bool = True
    """Whether these settings have found the answer; the results are in ``docs/results/known-answers.md``."""


def find_toy(name: str) -> Toy:
    """A registered toy; raises ``UnweaveError`` with the nearest name."""
    if name not in TOYS:
        raise UnweaveError(f"there is no model with a known answer named {name!r}; {nearest(name, TOYS)}")
    return TOYS[name]


_TMS = WholeModelConfig(
    subcomponents=40,
    start="inputs",
    faithfulness_steps=0,
    importance="component-mlp",
    hidden=16,
    divergence="mse",
    sparsity=2e-3,
    faithfulness=1.0,
    pool=16,
    learning_rate=1e-3,
    batch=1024,
    steps=5000,
    final_rate=0.0,
    prune_at=(0.5, 0.95),
    prune_below=1e-3,
)


def _superposition(features: int, width: int, identity: bool, config: WholeModelConfig) -> Toy:
    size = f"{features}-{width}"
    return Toy(
        name=f"tms-{size}{'-identity' if identity else ''}",
        summary=f"{features} sparse features through {width} dimensions" + (", an identity between" * identity),
        build=partial(tms.trained, features, width, identity, 1024),
        data=lambda batch, seed: tms.sparse_features(features, batch, seed),
        probes=0.75 * torch.eye(features),
        identity=("linear1", "linear2"),
        dense={"hidden": width} if identity else None,
        recovery={"linear1": "in", "linear2": "out"},
        config=config,
        solved=not identity,
    )


def _residual(layers: int, features: int, width: int, neurons: int, config: WholeModelConfig) -> Toy:
    """Smaller than SPD's 100 features (102 for three layers) in 1,000 dimensions with 50 neurons, for two cores."""
    blocks = [f"layers.{layer}" for layer in range(layers)]
    sites = tuple(f"{block}.mlp_in" for block in blocks)
    return Toy(
        name=f"residual-mlp-{layers}",
        summary=f"x + relu(x) of {features} features in {width} dimensions by {layers} x {neurons} neurons",
        build=partial(residual_mlp.trained, features, width, neurons, layers),
        data=lambda batch, seed: residual_mlp.signed_features(features, batch, seed),
        probes=0.75 * torch.eye(features),
        identity=sites,
        dense={f"{block}.mlp_out": neurons for block in blocks},
        recovery=dict.fromkeys(sites, "in"),
        computed=lambda network, probes: dict(
            zip(sites, residual_mlp.computed_features(network, probes), strict=True)  # type: ignore[arg-type]
        ),
        config=config,
        solved=layers == 1,
    )


_PLANTED = Toy(
    name="planted-languages",
    summary="four Markov languages of eight words in one network that is built by hand",
    build=planted_languages.PlantedLanguages,
    data=planted_languages.sequences,
    probes=planted_languages.probes(),
    probed=planted_languages.probed(),
    identity=("language", "word", "down"),
    recovery=dict.fromkeys(("language", "word", "down"), "planted"),
    planted=planted_languages.planted_pieces,
    config=replace(
        _TMS,
        subcomponents=48,
        importance="site-mlp",
        hidden=64,
        divergence="kl",
        sparsity=1e-2,
        sparsity_rise=0.4,
        anneal_to=0.1,
        batch=48,
        steps=3000,
    ),
)


def _induction(repeats: bool) -> Toy:
    return Toy(
        name="induction-head" if repeats else "induction-head-control",
        summary="two layers of attention that copy what followed a special token"
        if repeats
        else "the same without induction in its text: must not pass",
        build=partial(induction.trained, repeats=repeats),
        data=partial(induction.sequences, repeats=repeats),
        circuit=find_circuit,
        config=_ATTENTION,
    )


_ATTENTION = replace(
    _TMS,
    sites="layers.*",
    subcomponents=20,
    start="random",
    faithfulness_steps=200,
    importance="site-mlp",
    hidden=64,
    divergence="kl",
    sparsity=2e-2,
    sparsity_rise=0.1,
    # It is convex in how often a subcomponent fires, so it pays for a copy of one at every position.
    frequency=0.0,
    batch=32,
    steps=3000,
)

_WIDE = replace(
    _TMS,
    subcomponents=200,
    importance="site-mlp",
    hidden=128,
    sparsity=1.5e-4,
    sparsity_rise=0.6,
    batch=512,
    steps=12_000,
)

_RESIDUAL = replace(
    _WIDE,
    start="independent",
    subcomponents=64,
    sparsity=1.8e-4,
    frequency=0.0,
    batch=256,
    steps=2000,
)

TOYS: dict[str, Toy] = {
    toy.name: toy
    for toy in (
        _superposition(5, 2, False, _TMS),
        _superposition(5, 2, True, _TMS),
        _superposition(40, 10, False, _WIDE),
        _superposition(40, 10, True, _WIDE),
        _residual(1, 40, 400, 20, _RESIDUAL),
        _residual(2, 40, 400, 10, _RESIDUAL),
        _residual(3, 42, 400, 7, _RESIDUAL),
        _PLANTED,
        _induction(True),
        _induction(False),
    )
}
