"""Networks side by side: an ensemble's layers, and their products all at once or one member after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchedLinear(nn.Module):
    """`members` linear layers side by side: (members, N, n_in) -> (members, N, n_out).

    fast: whether products may be those of core/products.py, member by member.
    """

    fast = False

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        # PETS and MOPO start at half this width; from there deep ensembles learn several times slower.
        weight = nn.init.trunc_normal_(torch.empty(members, n_in, n_out), std=1.0 / math.sqrt(n_in))
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(members, 1, n_out))

    def of(self, members: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weights and biases of some members only, or of all."""
        return (self.weight, self.bias) if members is None else (self.weight[members], self.bias[members])


def batched(inputs: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The networks' outputs (M, N, out), all networks in one product per layer."""
    x = inputs
    for i, (weight, bias) in enumerate(layers):
        x = torch.baddbmm(bias, F.silu(x) if i else x, weight)
    return x


def member_by_member(
    inputs: Tensor, layers: Sequence[tuple[Tensor, Tensor]], product: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """The networks' outputs (M, N, out), one network after the other: what one needs stays in the processor's cache."""
    apart = [zip(weight.unbind(0), bias.squeeze(1).unbind(0), strict=True) for weight, bias in layers]
    outputs = []
    for x, *own in zip(inputs, *apart, strict=True):
        for i, (weight, bias) in enumerate(own):
            x = product(F.silu(x) if i else x, weight.t(), bias)
        outputs.append(x)
    return torch.stack(outputs)
