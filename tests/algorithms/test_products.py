"""The fast matrix products give what PyTorch's own give, but for rounding."""

from __future__ import annotations

import pytest
import torch
from build import agent, feasibility, transitions
from test_contract import every, modules
from torch import nn
from torch.nn import functional as F

from osrl_proco.core import products
from osrl_proco.core.random import drawing_from
from osrl_proco.proco.dynamics import Dynamics
from osrl_proco.run.settings import parse

needs_product = pytest.mark.skipif(not products._works(), reason="this PyTorch has no oneDNN product")


@pytest.fixture
def always(monkeypatch):
    """Fast products on any processor and of any size."""
    monkeypatch.setattr(products, "pays", lambda: True)
    monkeypatch.setattr(products, "LEAST", 1)
    monkeypatch.setattr("osrl_proco.proco.dynamics.LEAST", 0)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(("AuthenticAMD", 26), True), (("AuthenticAMD", 25), False), (("GenuineIntel", 26), False), (("arm", 0), False)],
)
def test_they_pay_on_processors_where_they_were_measured_to(monkeypatch, found, wanted):
    monkeypatch.setattr(products, "processor", lambda: found)
    monkeypatch.setattr(products, "_works", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert products.pays.__wrapped__() == wanted


@needs_product
@pytest.mark.parametrize("shape", [(7,), (3, 7), (0, 7), (2, 3, 7)])
@pytest.mark.parametrize("biased", [False, True])
def test_values_and_gradients(always, shape, biased):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=draw, requires_grad=True)
    weight = torch.randn(5, 7, generator=draw, requires_grad=True)
    bias = torch.randn(5, generator=draw, requires_grad=True) if biased else None
    inputs = [t for t in (x, weight, bias) if t is not None]
    fast, plain = products.linear(x, weight, bias), F.linear(x, weight, bias)
    assert fast.shape == plain.shape
    pulled = torch.randn(plain.shape, generator=draw)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(torch.autograd.grad(fast, inputs, pulled), torch.autograd.grad(plain, inputs, pulled))


@needs_product
def test_the_ensemble(always):
    with drawing_from(torch.Generator().manual_seed(0)):
        model, x = Dynamics(6, 1, [5, 4], members=3), torch.randn(3, 11, 7)
        for layer in model.layers:
            nn.init.normal_(layer.bias)
    some, parameters = torch.tensor([2, 0]), list(model.parameters())

    def found():
        outputs = *model.distribution(x), *model.distribution(x[:2], some)
        return outputs, torch.autograd.grad(sum(o.square().sum() for o in outputs), parameters)

    plain = found()
    products.speed_up([model])
    fast = found()
    torch.testing.assert_close(fast, plain)
    assert all(gradient.is_contiguous() for gradient in fast[1])


@needs_product
@every
def test_a_hundred_updates_agree(always, name, proco):
    data, ended = transitions(), []
    for fast in (False, True):
        made = agent(name, proco, update_steps=100)
        made.noise_of_the_test.manual_seed(4)
        start = weights(made)
        if fast:
            made.speed_up()
        sampler, generator = made.sampler(data), torch.Generator().manual_seed(1)
        for _ in range(100):
            rows = torch.randint(len(data), (64,), generator=generator)
            batch = sampler.sample(generator)
            made.update(batch, feasibility(data, rows) if made.feasibility is not None else None)
        ended.append(weights(made))
    plain, fast = ended
    moved = (plain - start).norm()
    assert moved > 0
    assert (fast - plain).norm() < 0.01 * moved


def weights(made):
    return torch.cat([p.detach().flatten().double() for _, m in modules(made.parts()) for p in m.parameters()])


def test_small_products_and_other_numbers_are_pytorchs_own():
    x, weight = torch.randn(3, 7), torch.randn(5, 7)
    assert torch.equal(products.linear(x, weight), F.linear(x, weight))
    large = torch.randn(2000, 64, dtype=torch.float64), torch.randn(64, 64, dtype=torch.float64)
    assert torch.equal(products.linear(*large), F.linear(*large))


def test_weights_stay_and_other_layers_too(always):
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Bilinear(4, 4, 2))
    before = [id(p) for p in net.parameters()]
    products.speed_up([net])
    assert [type(m) for m in net] == [products.FastLinear, nn.LayerNorm, nn.Bilinear]
    assert [id(p) for p in net.parameters()] == before


def test_nothing_happens_where_it_does_not_pay(monkeypatch):
    monkeypatch.setattr(products, "pays", lambda: False)
    net = nn.Linear(3, 4)
    products.speed_up([net])
    assert type(net) is nn.Linear


def test_the_flag():
    assert parse([]).fast
    assert not parse(["--fast", "false"]).fast
