"""Losses and averages that several algorithms share, each once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def expectile_loss(difference: Tensor, expectile: float, *, reverse: bool = False) -> Tensor:
    """Mean of w u² for u = target - prediction (any shape).

    Upper (IQL, arXiv 2110.06169 eq. 5): w = |tau - 1(u < 0)|, the prediction leans to the high end of the targets.
    Reverse (PROCO eq. 12): w = |tau - 1(u > 0)|, it leans to the low end.
    """
    above = 1.0 - expectile if reverse else expectile
    weight = torch.where(difference > 0, above, 1.0 - above)
    return (weight * difference**2).mean()


def advantage_weight(advantage: Tensor, temperature: float, clip: float) -> Tensor:
    """min(exp(temperature · advantage), clip), without gradient; the exponent is bounded before it is taken."""
    return (temperature * advantage.detach()).clamp_max(math.log(clip)).exp()


def divergence(mean: Tensor, log_std: Tensor, beta: float) -> Tensor:
    """beta times the KL divergence from the standard normal (N,), *averaged* over the latent's entries."""
    return -0.5 * beta * (1.0 + 2.0 * log_std - mean**2 - (2.0 * log_std).exp()).mean(-1)


def weighted_error(error: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of w · sum of squares of the error (N, dims): regression weighted by w (N,)."""
    return (weight * (error**2).sum(-1)).mean()


def feasible_weight(feasible: Tensor, lost: Tensor, q_h: Tensor, v_h: Tensor) -> Tensor:
    """FISOR's rule (arXiv 2401.10700) for what an action's imitation weighs, all (N,).

    In a feasible state (V_h <= 0) `feasible`, but 0 for an action that leaves it (Q_h > 0); in a lost one `lost`.
    """
    return torch.where(v_h > 0, lost, torch.where(q_h > 0, torch.zeros_like(feasible), feasible))


@torch.no_grad()
def polyak(target: nn.Module, source: nn.Module, rate: float) -> None:
    """target <- rate · source + (1 - rate) · target, over their parameters."""
    averages: list[Tensor] = list(target.parameters())
    news: list[Tensor] = list(source.parameters())
    torch._foreach_mul_(averages, 1.0 - rate)
    torch._foreach_add_(averages, news, alpha=rate)


class WeightedLikelihood(torch.autograd.Function):
    """Gaussian likelihood, every term weighed by its own variance: (d² exp(-v) + v) stop(exp(v)), d = mean - target.

    Plain maximum likelihood lets the variance explain what the mean has not learned yet, and the mean then stops
    learning. So weighed (beta-NLL with beta = 1, Seitzer et al. 2022) the mean has the gradient of a squared error:
    2 d, and v has exp(v) - d². Written out, since autograd takes three times as many passes.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, logvar: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Sum over members of the mean over rows and outputs, for tensors (M, N, D) and weights (D,)."""
        difference, variance = mean - targets, logvar.exp()
        squared = difference**2
        ctx.save_for_backward(difference, variance - squared, weights / mean[0].numel())
        return ((squared + logvar * variance) * weights).sum() / mean[0].numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        difference, of_logvar, weights = ctx.saved_tensors
        scaled = gradient * weights
        return difference * (2.0 * scaled), of_logvar * scaled, None, None
