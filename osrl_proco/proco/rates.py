"""How margins change by the chain rule: each slope times a linear guess of how fast its entry changes. Ours.

A margin is a function of the observation, so it changes by the sum of its slopes times the changes of the entries,

    dm_j ~ sum_k (dm_j / do_k) (w_jk . x),    x = (standardised observation, action, 1),

with w_jk by ridge regression on the recorded changes of the margin. For the distance to the nearest hazard, the largest
of a lidar's bins, w_jk . x becomes the robot's velocity along bin k. A network has to find such products of a speed
with a direction that jumps from bin to bin by itself, and errs by several times as much. It is left to say what the
rule does not: what moves by itself, and which bin is the next.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RIDGE = 1e-4  # of the regressors' mean square
JUMP = 5.0  # deviations of an entry's usual change at which its target is cut
MOST, BLOCK = 20_000, 2_000  # rows that are regressed on, at most, and at a time


def owner(changing: Tensor, entries: int) -> Tensor:
    """Of which margin each slope is (S,), by its place among all: those of one margin by the `entries` entries of the
    observation, then the next one's."""
    return changing // entries


class Rates(nn.Module):
    """w, for `slopes` slopes and `width` entries of observation and action together; of `margins` margins how much of
    what w leaves of a step's change it leaves of the next step's too (`lasting`)."""

    w: Tensor
    lasting: Tensor

    def __init__(self, slopes: int, width: int, margins: int) -> None:
        super().__init__()
        self.register_buffer("lasting", torch.zeros(margins))
        self.register_buffer("w", torch.zeros(slopes, width + 1))

    def fit(self, x: Tensor, slopes: Tensor, whose: Tensor, changes: Tensor, counts: Tensor) -> None:
        """Fit w to standardised observations and actions x (N, width), slopes (N, S), of margin `whose` (S,) each, and
        the margins' changes (N, M), where `counts` (N, M) and a slope is not 0. Of a margin with fewer such rows than
        unknowns w stays 0.
        """
        x = _with_one(x)
        self.w.zero_()
        for margin in whose.unique().tolist():
            own = torch.nonzero(whose == margin).squeeze(1)
            rows = torch.nonzero(counts[:, margin] & (slopes[:, own] != 0).any(1)).squeeze(1)
            rows = rows[:: max(1, len(rows) // MOST)]
            size = len(own) * x.shape[1]
            if len(rows) < size:
                continue
            square, product = (torch.zeros(size, n, dtype=torch.float64, device=x.device) for n in (size, 1))
            for block in rows.split(BLOCK):
                regressors = (slopes[block][:, own, None] * x[block][:, None]).flatten(1).double()
                square += regressors.T @ regressors
                product += regressors.T @ changes[block, margin, None].double()
            square.diagonal().add_(RIDGE * float(square.diagonal().mean()))
            self.w[own] = torch.linalg.solve(square, product).view(len(own), -1).float()

    def forward(self, x: Tensor, slopes: Tensor, whose: Tensor, margins: int) -> Tensor:
        """Changes (..., margins) for x (..., width) and slopes (..., S)."""
        return (slopes * (_with_one(x) @ self.w.T)) @ F.one_hot(whose, margins).to(x.dtype)


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)


def usual(change: Tensor) -> Tensor:
    """Deviation of a change (N,) from 0 if it were normal, by what nine in ten do not exceed: jumps do not count."""
    return change.abs().kthvalue(max(1, int(0.9 * len(change)))).values / 1.645


def lasting(left: Tensor, follows: Tensor) -> Tensor:
    """How much of what is left of a margin's change (N, M) is left of the next step's too (M,), 0 to 1, jumps apart:
    most where something moves by itself, little where it is an error. follows: where the next row is the next step
    (N - 1,)."""
    found = []
    for one in left.unbind(1):
        smooth = one.abs() < JUMP * usual(one)
        first, second = (part[follows & smooth[:-1] & smooth[1:]] for part in (one[:-1], one[1:]))
        found.append((first * second).sum() / first.square().sum().clamp_min(1e-12))
    return torch.stack(found).clamp(0.0, 1.0)
