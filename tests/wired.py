"""Small networks of words whose effects between pieces have closed forms, and decompositions with given importances."""

from __future__ import annotations

import math

import torch
from torch import nn

from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.models.target import make_target

WORDS, WIDTH = 7, 6


class Chain(nn.Module):
    """``second(first(x))``, with a way round both where ``skip``, and a ReLU between where ``bent``."""

    def __init__(self, skip=False, bent=False, bias=True):
        super().__init__()
        self.skip, self.bent = skip, bent
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.first = nn.Linear(WIDTH, WIDTH, bias=bias)
        self.second = nn.Linear(WIDTH, WIDTH, bias=bias)
        self.third = nn.Linear(WIDTH, WIDTH, bias=bias)
        self.out = nn.Linear(WIDTH, WORDS, bias=False)

    def get_output_embeddings(self):
        return self.out

    def forward(self, tokens):
        stream = self.embedding(tokens)
        first = self.first(stream)
        between = torch.relu(first) if self.bent else first
        if self.skip:
            stream = stream + between
            stream = stream + self.second(stream)
            return self.out(stream + self.third(stream))
        return self.out(self.third(self.second(between)))


class Looking(nn.Module):
    """One head of causal attention between residual streams."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.out = nn.Linear(WIDTH, WORDS, bias=False)

    def get_output_embeddings(self):
        return self.out

    def pattern(self, stream):
        scores = self.q_proj(stream) @ self.k_proj(stream).mT / math.sqrt(WIDTH)
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return scores.masked_fill(future, -torch.inf).softmax(-1)

    def forward(self, tokens):
        stream = self.embedding(tokens)
        return self.out(stream + self.o_proj(self.pattern(stream) @ self.v_proj(stream)))


def target(module, seed=0):
    """The module with random weights, as a target."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
    return make_target(module, None, "wired", check=False)


def pieces(made_for, *sites, count=4, importance=None, seed=1):
    """Random pieces, each with an importance that is the same at every row (by default between .5 and 1)."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name in sites:
        site = made_for.site(name)
        g = 0.5 + 0.5 * torch.rand(count, generator=generator) if importance is None else importance[name]
        V = torch.randn(site.d_in, len(g), generator=generator)
        U = torch.randn(len(g), site.d_out, generator=generator)
        found[name] = SiteSubcomponents(name, V, U, lambda x, g=g: g.expand(*x.shape[:-1], -1))
    return Decomposition(found, made_for.identity.digest, made_for.name)
