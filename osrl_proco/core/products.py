"""Matrix products by oneDNN, where they are twice as fast as those of the library that PyTorch calls by itself.

On x86 PyTorch calls Intel's MKL, which on AMD's processors keeps to vectors of 256 bits. oneDNN, which PyTorch carries
too, takes 512, and since Zen 5 they are twice as fast (on Zen 4 they are not: 93 and 90 GFLOP/s of a core, and oneDNN's
calls cost more). The sums are added up in another order, so results differ by rounding, as between two machines.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .processor import processor

ZEN_5 = 0x1A  # family of AMD's processors
LEAST = 2**21  # multiplications; below, the call costs more than it saves


@cache
def pays() -> bool:
    """Whether this processor and this PyTorch gain by it."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkl.is_available():
        return False
    vendor, family = processor()
    return vendor == "AuthenticAMD" and family >= ZEN_5 and _works()


def _works() -> bool:
    # No public function: what torch.compile calls. Tried, since no release promises it.
    x, weight = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4)
    try:
        return bool(torch.allclose(_product(x, weight.t(), None), x @ weight))
    except (AttributeError, RuntimeError, TypeError):
        return False


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weightᵀ + bias, for x (N, n_in), weight (n_out, n_in); neither needs to be contiguous."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t(), None) if of_x else None,
            _weight_gradient(x, weight, gradient) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _weight_gradient(x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """(n_out, n_in), laid out in memory as the weight is: what stacks or stores it need not turn it round."""
    if weight.stride(0) == 1:
        return _product(x.t(), gradient.t(), None).t()
    return _product(gradient.t(), x.t(), None)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`: x (..., n_in), weight (n_out, n_in), bias (n_out,). Differentiable once."""
    if x.numel() * weight.shape[0] < LEAST or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.linear(x, weight, bias)
    # Rows that lie apart, or gradients that are spread out, send oneDNN into a loop a thousand times as slow.
    return _Linear.apply(x.reshape(-1, x.shape[-1]).contiguous(), weight, bias).view(*x.shape[:-1], weight.shape[0])


class FastLinear(nn.Linear):
    """A linear layer that takes the fast product."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def speed_up(modules: Iterable[nn.Module]) -> None:
    """Let every linear layer of the modules take the fast product, if it pays here; weights stay as they are.

    A layer of another class that has an attribute `fast` gets it set.
    """
    if not pays():
        return
    for module in (inner for outer in modules for inner in outer.modules()):
        if type(module) is nn.Linear:
            module.__class__ = FastLinear
        elif hasattr(module, "fast"):
            module.fast = True  # type: ignore[assignment]
