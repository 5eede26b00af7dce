"""How networks are stepped: the optimizer, one step of it, its learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def adam(parameters: Iterable[nn.Parameter | dict[str, Any]], lr: float) -> torch.optim.Adam:
    """Adam, of parameters or groups of them, that updates all tensors together.

    On small networks a loop over tensors costs almost as much as the rest of an update. The fused step does not, but
    older releases lack it on a CPU.
    """
    listed: list[Any] = list(parameters)
    try:
        return torch.optim.Adam(listed, lr=lr, fused=True)
    except (RuntimeError, TypeError, ValueError):
        return torch.optim.Adam(listed, lr=lr, foreach=True)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down `loss`. Only the optimizer's own parameters get gradients, and each must have one."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def anneal(optimizer: torch.optim.Optimizer, lr: float, step: int | Tensor, period: int) -> None:
    """Set the learning rate to that of `step` on a cosine from `lr` to 0 at `period`, and 0 after.

    A step counted on the device asks for rates there (`rates_on_device`).
    """
    if isinstance(step, Tensor):
        there = ((step / period).clamp_max(1.0) * math.pi).cos().add(1.0).mul(lr * 0.5)
        for group in optimizer.param_groups:
            group["lr"].copy_(there)
        return
    rate = lr * 0.5 * (1.0 + math.cos(math.pi * min(step / period, 1.0)))
    for group in optimizer.param_groups:
        group["lr"] = rate


def rates_on_device(optimizer: torch.optim.Optimizer) -> None:
    """Keep the learning rates beside the parameters, so that a captured step reads them anew each time."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=group["params"][0].device)
