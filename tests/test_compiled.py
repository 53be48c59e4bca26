from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import pytest
import tiny
import torch
from torch._dynamo.utils import counters

from unweave.base import device
from unweave.decompose import compiled, draws, numerics, reconstruction
from unweave.decompose.compiled import fused
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.objective import Batch
from unweave.decompose.whole_model import Training


@pytest.fixture
def compiling(monkeypatch):
    """Compilation is on."""
    monkeypatch.setattr(compiled, "compiler_works", lambda: True)


@pytest.fixture
def counted(monkeypatch):
    """``torch.compile`` that only counts, and hands the function back."""
    calls = []

    def count(function, **options):
        calls.append((function, options))
        return function

    monkeypatch.setattr(torch, "compile", count)
    return calls


def test_a_function_is_compiled_once_for_all_shapes_and_keeps_its_name(compiling, counted):
    @fused
    def doubled(x):
        """Twice x."""
        return 2 * x

    assert not counted  # at its first call, not when the module is read
    assert float(doubled(torch.tensor(3.0))) == 6
    assert doubled(torch.ones(4)).tolist() == [2] * 4
    assert [options for _, options in counted] == [{"dynamic": True}]
    assert (doubled.__name__, doubled.__doc__) == ("doubled", "Twice x.")


def test_where_torch_lets_it_be_said_a_function_may_have_as_many_versions_as_many_sites_need(compiling, monkeypatch):
    seen = []

    def compile_newer(function, dynamic=None, recompile_limit=None):
        seen.append((dynamic, recompile_limit))
        return function

    monkeypatch.setattr(torch, "compile", compile_newer)
    assert float(fused(lambda x: 2 * x)(torch.tensor(3.0))) == 6
    assert seen == [(True, compiled.RECOMPILE_LIMIT)]


def test_nothing_is_compiled_where_no_compiler_works(counted):
    assert float(fused(lambda x: 2 * x)(torch.tensor(3.0))) == 6
    assert not counted


def test_inside_something_that_is_being_compiled_it_is_the_plain_function(compiling, counted, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert float(fused(lambda x: 2 * x)(torch.tensor(3.0))) == 6
    assert not counted


def test_a_device_that_cannot_compile_is_said_once_and_goes_on_eagerly(compiling, monkeypatch):
    tried = []

    def broken(function, **options):
        def call(*arguments):
            tried.append(arguments)
            raise RuntimeError("\nCannot find a working triton installation\nmore")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    doubled = fused(lambda x: 2 * x)
    with pytest.warns(UserWarning, match=r"^torch.compile failed \(Cannot find a working triton installation\): going"):
        assert float(doubled(torch.tensor(3.0))) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(doubled(torch.tensor(4.0))) == 8
    assert len(tried) == 1


def test_a_fault_of_the_function_itself_is_raised_as_what_it_is_and_compilation_stays_on(compiling, counted):
    """A warning of compilation would be an error here."""
    added = fused(lambda x, y: x + y)
    with pytest.raises(RuntimeError, match="must match the size") as fault:
        added(torch.ones(2), torch.ones(3))
    assert fault.value.__context__ is None
    assert added(torch.ones(2), torch.ones(2)).tolist() == [2, 2]
    assert len(counted) == 1


def test_a_fault_of_the_function_inside_compiled_code_leaves_compilation_on_too(compiling, monkeypatch):
    ran = []

    def compiled_elsewhere(function, **_):
        def call(x):
            ran.append(float(x))
            if x < 0:
                raise RuntimeError("a fault in other words")
            return function(x)

        return call

    def root(x):
        if x < 0:
            raise ValueError("a root of a negative number")
        return x.sqrt()

    monkeypatch.setattr(torch, "compile", compiled_elsewhere)
    rooted = fused(root)
    with pytest.raises(ValueError, match="a root of a negative number"):
        rooted(torch.tensor(-1.0))
    assert float(rooted(torch.tensor(4.0))) == 2
    assert ran == [-1, 4]


@pytest.fixture
def real(compiling, monkeypatch):
    """Compilation for real, whatever the shell that runs the tests has switched off."""
    monkeypatch.delenv("UNWEAVE_COMPILE", raising=False)
    if not device._compiler_works.__wrapped__():
        pytest.skip("no C++ compiler here")
    before = counters["stats"]["unique_graphs"]
    yield
    assert counters["stats"]["unique_graphs"] > before


def values_and_gradients(function, leaves, *rest):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    found = function(*leaves, *rest)
    found = found if isinstance(found, tuple) else (found,)
    weights = [torch.linspace(-1, 1, part.numel()).view(part.shape) for part in found]
    sum((part * weight).sum() for part, weight in zip(found, weights, strict=True)).backward()
    return [*(part.detach() for part in found), *(leaf.grad for leaf in leaves)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_compiled_mask_is_the_eager_one_in_values_and_gradients(real):
    """Random numbers, the hard sigmoid with its own backward, and routing, in two shapes."""
    masks = reconstruction._merged_mask
    again = fused(masks.__wrapped__)
    for samples, positions, count in ((4, 5, 7), (6, 3, 9)):
        generator = torch.Generator().manual_seed(0)
        z = 2 * torch.randn(samples, positions, count, generator=generator)
        source = torch.rand(samples, 1, count + 1, generator=generator)
        attacked = (torch.arange(samples) % 2 == 1)[:, None, None]
        route = torch.rand(samples, positions, 1, generator=generator) < 0.5
        rest = (draws.key(3), torch.arange(samples), attacked, route)
        eager = values_and_gradients(masks.__wrapped__, [z, source], *rest)
        for one, other in zip(values_and_gradients(again, [z, source], *rest), eager, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        assert all(part.any() for part in eager)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_compiled_divergence_is_the_eager_one(real):
    generator = torch.Generator().manual_seed(0)
    outputs, wanted = (3 * torch.randn(4, 5, 12, generator=generator) for _ in range(2))
    plain = numerics.divergence_kl.__wrapped__
    found = values_and_gradients(fused(plain), [outputs], wanted)
    for one, other in zip(found, values_and_gradients(plain, [outputs], wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


TERMS = [
    {"merged": 1.0},
    {"merged": 0.0, "subset": 0.5, "adversarial": 0.5, "penalty": "lp"},
    {"merged": 0.0, "stochastic": 1.0, "layerwise": 1.0, "hidden_activations": 1.0, "importance": "transformer"},
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The .grad attribute")
def test_a_step_with_everything_compiled_is_the_eager_one(real, monkeypatch):
    """Losses and gradients, before and after pruning; nothing falls back, whose warning would be an error here."""
    target = tiny.words()
    with MaskedTarget(target, target.sites()).attached() as model:
        for terms, count in itertools.product(TERMS, (12, 7)):
            config = replace(tiny.CONFIG, subcomponents=count, start="random", **terms)
            found = step_of(model, config)
            with monkeypatch.context() as patch:
                patch.setattr(compiled, "compiler_works", lambda: False)
                wanted = step_of(model, config)
            for name, tensor in wanted.items():
                assert (found[name] - tensor).norm() <= 1e-4 * tensor.norm(), name


def step_of(model, config):
    """The loss, what the adversary climbs, and the gradients of everything."""
    training = Training(model, tiny.sentences(), config)
    training.begin()
    values = tiny.sentences()(0)
    clean, inputs = model.clean(values)
    batch = Batch(values, clean, inputs, torch.arange(len(values)), draws.key(0))
    schedule = {name: torch.tensor(0.4) for name in ("anneal", "adversarial", "sparsity")}
    loss, _, usage = training.objective.loss(training.state, training.sources, batch, schedule, True)
    loss.backward()
    found = {name: tensor.grad for name, tensor in training.trained.items()}
    found |= {f"sources {name}": source.grad for name, source in training.sources.items()}
    with torch.no_grad():
        found |= {"loss": loss, **usage}
        if training.sources:
            found["climb"] = training.objective.climb(training.state, training.sources, batch)
    return {name: tensor for name, tensor in found.items() if tensor is not None}
