"""Small networks that several algorithms share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..core.random import normal
from .mish import mish


def xavier(layer: nn.Linear) -> nn.Linear:
    """Xavier-uniform weights, biases 0: what the JAX code bases of IQL and FISOR start from."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def lecun(layer: nn.Linear) -> nn.Linear:
    """Truncated normal weights of variance 1 / inputs, biases 0: the default of Flax."""
    # A normal cut at two deviations has .8796 of its deviation left.
    deviation = math.sqrt(1.0 / layer.in_features) / 0.87962566
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2.0 * deviation, b=2.0 * deviation)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(sizes: Sequence[int], init: str = "torch") -> nn.Sequential:
    """Linear layers with ReLU between them and a linear end: `sizes` holds inputs, hidden widths, outputs.

    init: "torch" for PyTorch's own first weights, "xavier" for `xavier`.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layer = nn.Linear(n_in, n_out)
        layers += [xavier(layer) if init == "xavier" else layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class TwinQ(nn.Module):
    """Two Q(s, a)."""

    def __init__(self, obs_dim: int, act_dim: int, hidden: Sequence[int], init: str = "torch") -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp([obs_dim + act_dim, *hidden, 1], init) for _ in range(2))

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Both values (2, ...) for observations (..., obs_dim) and actions (..., act_dim)."""
        x = torch.cat([observations, actions], -1)
        return torch.stack([net(x).squeeze(-1) for net in self.nets])


class GaussianHead(nn.Module):
    """Mean and logarithm of the deviation, the latter clamped to `bounds`, from one MLP."""

    def __init__(self, sizes: Sequence[int], bounds: tuple[float, float]) -> None:
        super().__init__()
        self.net = mlp([*sizes[:-1], 2 * sizes[-1]])
        self.bounds = bounds

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.net(x).chunk(2, -1)
        return mean, log_std.clamp(*self.bounds)


class ConditionalVAE(nn.Module):
    """Actions given states: encoder (s, a) -> Gaussian latent, decoder (s, z) -> action within +-max_action."""

    def __init__(self, obs_dim: int, act_dim: int, latent_dim: int, hidden: Sequence[int], max_action: float) -> None:
        super().__init__()
        self.encoder = GaussianHead([obs_dim + act_dim, *hidden, latent_dim], (-4.0, 15.0))
        self.decoder = mlp([obs_dim + latent_dim, *hidden, act_dim])
        self.max_action = max_action

    def encode(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-deviation of the latent, each (N, latent_dim)."""
        return self.encoder(torch.cat([observations, actions], -1))

    def decode(self, observations: Tensor, latents: Tensor) -> Tensor:
        """Actions (N, act_dim)."""
        return self.max_action * torch.tanh(self.decoder(torch.cat([observations, latents], -1)))


class Heads(nn.Module):
    """K tanh means on hidden layers that they share."""

    def __init__(self, obs_dim: int, act_dim: int, hidden: Sequence[int], heads: int) -> None:
        super().__init__()
        self.net = mlp([obs_dim, *hidden, heads * act_dim])
        self.heads = heads

    def forward(self, observations: Tensor) -> Tensor:
        """Means (K, N, act_dim) in [-1, 1]."""
        return torch.tanh(self.net(observations)).unflatten(-1, (self.heads, -1)).movedim(-2, 0)


class DropoutMean(nn.Module):
    """A tanh mean in [-1, 1]: linear, dropout, ReLU for each hidden width; orthogonal weights, biases 0."""

    def __init__(self, obs_dim: int, act_dim: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        layers = [nn.Linear(*sizes) for sizes in pairwise([obs_dim, *hidden, act_dim])]
        for layer in layers:
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout

    def forward(self, observations: Tensor, dropout: torch.Generator | None = None) -> Tensor:
        """Means (..., act_dim) for observations (..., obs_dim).

        dropout: what draws the dropped entries; without it, none are.
        """
        x, keep = observations, 1.0 - self.dropout
        for layer in self.layers[:-1]:
            x = layer(x)
            if dropout is not None and keep < 1.0:
                x = x * torch.rand(x.shape, generator=dropout, device=x.device).lt_(keep).div_(keep)
            x = torch.relu(x)
        return torch.tanh(self.layers[-1](x))


class _Block(nn.Module):
    """x + W2 mish(W1 norm(dropout(x))), W1 four times as wide as x."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.wide, self.narrow = lecun(nn.Linear(width, 4 * width)), lecun(nn.Linear(4 * width, width))
        self.dropout = dropout

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        inner = x
        if generator is not None:
            keep = 1.0 - self.dropout
            # Half the time of bernoulli_.
            inner = x * torch.rand(x.shape, generator=generator, device=x.device).lt_(keep).div_(keep)
        return x + self.narrow(mish(self.wide(self.norm(inner))))


class ScoreNetwork(nn.Module):
    """The noise in a noised action, (s, a_t, t) -> (act_dim,): residual blocks, t by learned Fourier features.

    Args:
        steps: noise levels; t is an index in 0 .. steps - 1.
        width, blocks: of the residual blocks.
        dropout: share of inputs that a block drops in training.
    """

    def __init__(
        self,
        obs_dim: int,
        act_dim: int,
        *,
        steps: int,
        width: int,
        blocks: int,
        dropout: float = 0.1,
        features: int = 32,
    ) -> None:
        super().__init__()
        self.register_buffer("levels", torch.arange(steps, dtype=torch.float32)[:, None], persistent=False)
        self.frequencies = nn.Parameter(0.2 * torch.randn(features))
        embedded = 4 * features
        self.time = nn.Sequential(
            xavier(nn.Linear(2 * features, embedded)), nn.Mish(), xavier(nn.Linear(embedded, embedded))
        )
        self.first = xavier(nn.Linear(act_dim + obs_dim + embedded, width))
        self.blocks = nn.ModuleList(_Block(width, dropout) for _ in range(blocks))
        self.last = xavier(nn.Linear(width, act_dim))

    levels: Tensor

    def forward(
        self, observations: Tensor, noised: Tensor, steps: Tensor, dropout: torch.Generator | None = None
    ) -> Tensor:
        """Noise (N, act_dim) for observations (N, obs_dim), noised actions (N, act_dim), t (N,) as integers.

        dropout: what draws the dropped entries; without it, none are.
        """
        # There are only a few levels: each is embedded once, not once per row.
        angles = 2.0 * math.pi * self.levels * self.frequencies
        embedding = self.time(torch.cat([angles.cos(), angles.sin()], -1))
        x = self.first(torch.cat([noised, observations, embedding[steps]], -1))
        for block in self.blocks:
            x = block(x, dropout)
        return self.last(mish(x))


def reparameterised(mean: Tensor, log_std: Tensor, generator: torch.Generator) -> Tensor:
    """A sample of the Gaussian through which gradients pass to mean and deviation."""
    return mean + log_std.exp() * normal(mean.shape, generator, mean.device)
