"""An update asks the device for nothing: on a GPU the CPU then runs ahead and never waits inside a step.

Tensors of the meta device have a shape and no values, so whatever waits for one (`.item()`, `if tensor`, `nonzero`, a
copy to the CPU) raises there. Agent, sampler and data are made on the CPU, as far as that takes values, and moved.
"""

from __future__ import annotations

import copy

import pytest
import torch
from build import agent, feasibility, transitions, updates
from test_contract import every

from osrl_proco.core.state import optimizers_of


def handlers():
    """What `copy.deepcopy` does to move tensors to the meta device; random streams stay where they are."""

    def tensor(old, memo):
        memo[id(old)] = new = old.detach().to("meta").requires_grad_(old.requires_grad)
        return new

    def parameter(old, memo):
        memo[id(old)] = new = torch.nn.Parameter(old.detach().to("meta"), old.requires_grad)
        return new

    return {
        torch.Tensor: tensor,
        torch.nn.Parameter: parameter,
        torch.Generator: lambda old, memo: old,
        torch.device: lambda old, memo: torch.device("meta"),
        str: lambda old, memo: "meta" if old == "cpu" else old,  # the names of devices that OSRL's classes keep
    }


def on_meta(what, monkeypatch):
    with monkeypatch.context() as patch:
        for kind, move in handlers().items():
            patch.setitem(copy._deepcopy_dispatch, kind, move)
        return copy.deepcopy(what)


@every
def test_batches_and_updates_wait_for_nothing(name, proco, monkeypatch, request):
    if name == "cdt":
        request.applymarker(pytest.mark.xfail(strict=True, reason="OSRL's loss takes the rows that its mask selects"))
    data = transitions()
    made = agent(name, proco)
    updates(made, data, 2)
    made, sampler, data = on_meta((made, made.sampler(data), data), monkeypatch)
    for optimizer in optimizers_of(made.parts()):  # there is no fused step for the meta device
        for group in optimizer.param_groups:
            group.update(fused=False, foreach=True)
        for state in optimizer.state.values():
            state["step"] = torch.tensor(2.0)  # which the other kind of step keeps on the CPU
    generator = torch.Generator()
    for _ in range(3):
        batch = sampler.sample(generator)
        rows = torch.randint(len(data), (32,), device="meta")
        info = made.update(batch, feasibility(data, rows) if proco else None)
    assert any(torch.as_tensor(figure).is_meta for figure in info.values())


def test_waiting_would_be_seen(monkeypatch):
    moved = on_meta({"x": torch.ones(3)}, monkeypatch)["x"]
    with pytest.raises(RuntimeError, match="meta"):
        moved.sum().item()
    with pytest.raises((RuntimeError, NotImplementedError)):
        moved[moved > 0]
