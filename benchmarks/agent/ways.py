"""Ways to remove a label from a planted network at one site, learning from so many tokens of each label."""

from __future__ import annotations

import numpy as np
import torch
from planted import LABELS, LENGTH, WORDS, Planted, sample
from torch import Tensor, nn

from unweave.base.seeds import torch_generator
from unweave.decompose.decomposition import Subcomponent
from unweave.edit.closed_form import least_variance, mean_difference
from unweave.edit.edits import AdapterEdit, Edit, FactorEdit

WAYS = ("adapter", "mean difference", "weakest piece", "ablation", "half", "wide adapter", "least variance")
NOTHING = "nothing"
ORDERS = ("forwards", "backwards", "inwards", "outwards")
STEPS, RATE = 24, 0.1


LEARNING = ("adapter", "wide adapter", "mean difference", "least variance")


def spent(way: str, tokens: int) -> int:
    """The tokens that a way reads of all labels together, ``tokens`` of each: none where it does not learn."""
    return max(1, tokens // (LENGTH - 1)) * (LENGTH - 1) * len(LABELS) if way in LEARNING else 0


def selective(planted: Planted, site: str, label: int) -> int:
    """The piece of a site that acts most on a label's tag."""
    tag = planted.target.module.embedding[WORDS + label]
    return int(np.argmax([abs(float(tag @ piece.v)) * float(piece.u.norm()) for piece in planted.pieces[site]]))


def edit_by(planted: Planted, site: str, way: str, label: int, tokens: int, order: str, seed: int) -> Edit:
    """The edit that ``way`` makes from ``tokens`` tokens of each label, drawn for ``seed``."""
    windows = max(1, tokens // (LENGTH - 1))
    texts = [sample(planted.seed, k, windows, _draw(seed)) for k in range(len(LABELS))]
    identity = planted.target.identity.digest
    match way:
        case "ablation":
            return planted.edit({(site, selective(planted, site, label)): 0.0})
        case "half":
            return planted.edit({(site, selective(planted, site, label)): 0.5})
        case "weakest piece":
            tag = planted.target.module.embedding[WORDS + label]
            weakest = int(np.argmin([abs(float(tag @ piece.v)) for piece in planted.pieces[site]]))
            return planted.edit({(site, weakest): 0.0})
        case "mean difference" | "least variance":
            weight = planted.target.weight(planted.target.site(f"sites.{site}"))
            inputs = {LABELS[k]: _inputs(planted, texts[k], seed) for k in range(len(LABELS))}
            closed = mean_difference if way == "mean difference" else least_variance
            found = closed(f"sites.{site}", weight, inputs, LABELS[label])
            return FactorEdit.on_pieces([(Subcomponent(found.site, -1, found.u, found.v), 0.0)], identity)
        case "nothing":
            return planted.edit({(site, 0): 1.0})
        case _:
            return _adapter(planted, site, label, texts, 1 if way == "adapter" else 4, order, seed)


def _draw(seed: int) -> int:
    # The text that is learnt from is never the text that is measured on.
    return 1_000_000 + seed


def _inputs(planted: Planted, text: Tensor, seed: int) -> Tensor:
    """The site's input at each window, with the noise of what else a residual stream would hold."""
    tags = planted.target.module.embedding[text[:, 0]]
    return tags + 0.1 * torch.randn(tags.shape, generator=torch_generator(seed, "stream"))


def _adapter(planted: Planted, site: str, label: int, texts: list[Tensor], rank: int, order: str, seed: int) -> Edit:
    """A low-rank adapter by gradient descent: the label's loss towards ln V, the others' predictions kept."""
    module = planted.target.module
    matrix = module.sites[site]
    weight = matrix.weight.detach().clone()
    generator = torch_generator(seed, "adapter", rank)
    A = (torch.randn(rank, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5).requires_grad_()
    B = torch.zeros(weight.shape[0], rank, requires_grad=True)
    own, others = _ordered(texts[label], order), torch.cat([text for k, text in enumerate(texts) if k != label])
    with torch.no_grad():
        kept = module(others).log_softmax(-1)
    optimiser = torch.optim.Adam([A, B], lr=RATE)
    ceiling = float(np.log(WORDS))
    for step in range(STEPS):
        window = own[step % len(own)][None]
        changed = {f"sites.{site}.weight": weight + B @ A}
        logits = torch.func.functional_call(module, changed, (window,))
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), window[:, 2:].flatten())
        after = torch.func.functional_call(module, changed, (others,)).log_softmax(-1)
        drift = (kept.exp() * (kept - after)).sum(-1).mean()
        optimiser.zero_grad()
        ((ceiling - loss).square() + 2.0 * drift).backward()
        optimiser.step()
    matrices = {f"sites.{site}": (A.detach(), B.detach())}
    return AdapterEdit(matrices, planted.target.identity.digest, "adapter")


def _ordered(text: Tensor, order: str) -> Tensor:
    """The windows in the order in which they are read. They are exchangeable, so on average it does not matter."""
    count = len(text)
    ways = {
        "forwards": list(range(count)),
        "backwards": list(range(count))[::-1],
        "inwards": [*range(0, count, 2), *range(1, count, 2)],
        "outwards": [*range(1, count, 2), *range(0, count, 2)],
    }
    return text[ways[order]]
