"""Inputs in deviations of the data, cut where what is imagined lies too far from it."""

from __future__ import annotations

import torch
from torch import Tensor

FARTHEST = 10.0  # deviations from the data's mean at which an input is cut


def deviation(values: Tensor) -> Tensor:
    """Of each column of values (N, D); 1 where it hardly varies."""
    std = values.std(0)
    return torch.where(std > 1e-6, std, torch.ones_like(std))


def standardised(values: Tensor, mean: Tensor, std: Tensor, farthest: float = FARTHEST) -> Tensor:
    """Values (..., D) by mean and deviation (D,), at most `farthest` away from 0."""
    return ((values - mean) / std).clamp(-farthest, farthest)
