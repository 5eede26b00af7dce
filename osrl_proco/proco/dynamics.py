"""The dynamics model: an ensemble of Gaussian networks, (s, a) -> change of s (PROCO appendix C.1).

All members are computed in one batched matrix product per layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import trange

from ..core.errors import UserError, first_line
from ..core.products import LEAST, linear
from ..core.tensors import load_tensors, save_tensors
from ..data.split import runs_apart
from ..data.transitions import Transitions
from .losses import WeightedLikelihood as _WeightedLikelihood
from .members import BatchedLinear, batched, member_by_member
from .optim import adam
from .rates import JUMP, Rates, lasting, owner, usual
from .scale import standardised

ROBUST = 0.2  # of the weight of everything else, what the margins have together with the robust loss
BLOCK, SMALL = 1000, 150  # rows: at a time, and fewer than which all members are computed at once


class Dynamics(nn.Module):
    """An ensemble of `members` Gaussian networks of which the best few, the elites, are used.

    Predicts the change of the observation and the reward (the reward serves the `full_model` ablation only).
    Inputs and targets are standardised with the data's own mean and deviation.

    Args:
        obs_dim, act_dim: sizes of state and action; a state is an observation, or one with its margins (danger.py).
        margins: how many of the state's entries are margins, the last ones.
        slopes: how many slopes of the margins it reads beside state and action (danger.py); `reads` says what they are.
        chain: whether margins change by the chain rule (rates.py), and the networks say what that leaves.
        hidden: width of each hidden layer.
        members: networks trained.
        elites: networks kept, those with the lowest held-out error.
    """

    elites: Tensor
    spread: Tensor  # (margins,): the unit of each margin, see danger.py
    changing: Tensor  # (slopes,): which slopes it reads, see danger.py
    output_weights: Tensor
    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self,
        obs_dim: int,
        act_dim: int,
        hidden: Sequence[int] = (200,) * 4,
        members: int = 7,
        elites: int = 5,
        margins: int = 0,
        slopes: int = 0,
        chain: bool = False,
    ) -> None:
        super().__init__()
        self.shape: dict[str, Any] = {
            "obs_dim": obs_dim,
            "act_dim": act_dim,
            "hidden": list(hidden),
            "members": members,
            "elites": elites,
            "margins": margins,
            "slopes": slopes,
            "chain": chain,
        }
        self.obs_dim, self.members = obs_dim, members
        self.reads: Callable[[Tensor], Tensor] | None = None  # states (..., obs_dim) -> slopes (..., S)
        sizes = [obs_dim + act_dim + slopes, *hidden, 2 * (obs_dim + 1)]
        layers = [BatchedLinear(members, a, b) for a, b in pairwise(sizes)]
        self.layers: Sequence[BatchedLinear] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.max_logvar = nn.Parameter(torch.full((obs_dim + 1,), 0.5))
        self.min_logvar = nn.Parameter(torch.full((obs_dim + 1,), -10.0))
        self.cut = slice(obs_dim - margins, obs_dim)  # the entries whose jumps are cut, see `standardise`
        self.register_buffer("output_weights", torch.ones(obs_dim + 1), persistent=False)
        if margins:
            self.register_buffer("spread", torch.ones(margins))
        if slopes:
            self.register_buffer("changing", torch.arange(slopes))
        self.rates = Rates(slopes, obs_dim - margins + act_dim, margins) if chain else None
        self.register_buffer("elites", torch.arange(elites))
        self.register_buffer("input_mean", torch.zeros(sizes[0]))
        self.register_buffer("input_std", torch.ones(sizes[0]))
        self.register_buffer("target_mean", torch.zeros(obs_dim + 1))
        self.register_buffer("target_std", torch.ones(obs_dim + 1))

    def standardise(self, data: Transitions, slopes: Tensor | None = None, robust: bool = False) -> None:
        """Take means and deviations of inputs and targets from `data` and their slopes (N, S), and what each output
        weighs in the loss.

        Margins are measured in their usual change, or what the chain rule usually leaves of it, jumps cut, and weigh
        together as much as everything else. robust: all entries of the state are, and margins weigh a fifth of
        everything else. Where collisions and goals that change make entries jump, and many margins jump with them,
        these jumps are otherwise what is learned, and how an action moves the robot is not.
        """
        for name, parts in (("input", self._input_parts(data, slopes)), ("target", self._target_parts(data))):
            means, stds = zip(*((part.mean(0), part.std(0)) for part in parts), strict=True)
            getattr(self, f"{name}_mean").copy_(torch.cat(means))
            getattr(self, f"{name}_std").copy_(floored(torch.cat(stds)))
        margins = self.shape["margins"]
        if margins:
            others = self.obs_dim + 1 - margins
            self.output_weights[self.obs_dim - margins : self.obs_dim] = (ROBUST if robust else 1.0) * others / margins
            self.output_weights /= self.output_weights.mean()
        self.cut = slice(0 if robust else self.obs_dim - margins, self.obs_dim)
        rule = self._fit_rates(data, slopes)
        for column in range(self.cut.start, self.obs_dim):
            change = data.next_observations[:, column] - data.observations[:, column]
            if rule is not None and column >= self.obs_dim - margins:
                change -= rule[:, column - self.obs_dim]
            unit = usual(change)
            self.target_mean[column] = 0.0
            self.target_std[column] = torch.where(unit > 1e-6, unit, self.target_std[column])

    def _input_parts(self, data: Transitions, slopes: Tensor | None) -> Iterator[Tensor]:
        """Inputs (N, some columns), all columns one after the other, never many of a large dataset at a time."""
        yield from _columns(data.observations)
        yield data.actions
        if slopes is not None:
            yield slopes

    def _target_parts(self, data: Transitions) -> Iterator[Tensor]:
        for now, after in zip(_columns(data.observations), _columns(data.next_observations), strict=True):
            yield after - now
        yield data.rewards[:, None]

    def _fit_rates(self, data: Transitions, slopes: Tensor | None) -> Tensor | None:
        """Fit the chain rule to all changes of margins but jumps; what it says of each (N, M)."""
        if self.rates is None or slopes is None:
            return None
        now, after = (x[:, self.obs_dim - self.shape["margins"] :] for x in (data.observations, data.next_observations))
        smooth = (after - now).abs() < JUMP * torch.stack([usual(one) for one in (after - now).unbind(1)])
        x = self._moving(self.standard_inputs(data.observations, data.actions, slopes))
        self.rates.fit(x, slopes, self._owner, after - now, smooth)
        rule = self.rates(x, slopes, self._owner, now.shape[1])
        follows = (data.next_observations[:-1] == data.observations[1:]).all(1)
        self.rates.lasting.copy_(lasting(after - now - rule, follows))
        return rule

    @property
    def _owner(self) -> Tensor:
        return owner(self.changing, self.obs_dim - self.shape["margins"])

    def _moving(self, inputs: Tensor) -> Tensor:
        """Observation and action (..., obs_dim - margins + act_dim) among standardised inputs."""
        margins = slice(self.obs_dim - self.shape["margins"], self.obs_dim)
        return torch.cat([inputs[..., : margins.start], inputs[..., margins.stop :][..., : self.shape["act_dim"]]], -1)

    def by_rule(self, inputs: Tensor, slopes: Tensor | None) -> Tensor | None:
        """What the chain rule says that changes of states (..., obs_dim), of their standardised inputs and slopes: 0
        but for margins; None where no rule is asked."""
        if self.rates is None or slopes is None:
            return None
        margins = self.shape["margins"]
        return F.pad(self.rates(self._moving(inputs), slopes, self._owner, margins), (self.obs_dim - margins, 0))

    @property
    def lasting(self) -> Tensor:
        """The share of what the chain rule leaves of a change that it leaves of the next, too (obs_dim,); else 0."""
        found = self.target_std.new_zeros(self.shape["margins"]) if self.rates is None else self.rates.lasting
        return F.pad(found, (self.obs_dim - len(found), 0))

    @property
    def left_by_rule(self) -> Tensor:
        """What it usually leaves of a step's change, and of the next one's too (obs_dim,)."""
        return self.target_std[:-1] * self.lasting

    def targets(self, data: Transitions, rule: Tensor | None = None) -> Tensor:
        """Standardised targets (N, obs_dim + 1): the change of the observation less what the `rule` says of it, and the
        reward. An entry of `cut` that jumps counts as `JUMP` at most, or the few jumps would be all that is learned."""
        change = data.next_observations - data.observations
        if rule is not None:
            change = change - rule
        change = torch.cat([change, data.rewards[:, None]], 1)
        found = (change - self.target_mean) / self.target_std
        found[:, self.cut] = found[:, self.cut].clamp(-JUMP, JUMP)
        return found

    def slopes(self, observations: Tensor) -> Tensor | None:
        """What it reads beside states (..., obs_dim) and actions; None where that is nothing."""
        if not self.shape["slopes"]:
            return None
        assert self.reads is not None, "Danger.serve gives the model what it reads"
        return self.reads(observations)

    def standard_inputs(self, observations: Tensor, actions: Tensor, slopes: Tensor | None) -> Tensor:
        """Standardised inputs (..., obs_dim + act_dim + S), clipped: a collision reads as hundreds of deviations."""
        parts = [observations, actions] if slopes is None else [observations, actions, slopes]
        return standardised(torch.cat(parts, -1), self.input_mean, self.input_std)

    def distribution(self, inputs: Tensor, members: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (M, N, obs_dim + 1) of the standardised targets, for standardised inputs (M, N, in)."""
        layers = [layer.of(members) for layer in self.layers]
        if self.layers[0].fast and inputs.shape[1] * layers[len(layers) // 2][0][0].numel() >= LEAST:
            x = member_by_member(inputs, layers, linear)
        else:
            x = batched(inputs, layers)
        mean, logvar = x.chunk(2, dim=-1)
        logvar = self.max_logvar - F.softplus(self.max_logvar - logvar)
        logvar = self.min_logvar + F.softplus(logvar - self.min_logvar)
        return mean, logvar

    def predict(self, observations: Tensor, actions: Tensor, noise: bool = True) -> tuple[Tensor, Tensor]:
        """What each elite thinks comes next, for observations (N, obs_dim) and actions (N, act_dim).

        Returns next observations (elites, N, obs_dim) and rewards (elites, N): samples, or means without `noise`.
        """
        slopes = self.slopes(observations)
        inputs = self.standard_inputs(observations, actions, slopes)
        rule = self.by_rule(inputs, slopes)
        inputs = inputs.expand(len(self.elites), *inputs.shape)
        if noise:
            mean, logvar = self.distribution(inputs, self.elites)
            mean = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        else:
            mean = self._mean(inputs)
        outputs = mean * self.target_std + self.target_mean
        change = outputs[..., :-1] if rule is None else outputs[..., :-1] + rule
        return observations + change, outputs[..., -1]

    def follow(self, states: Tensor, actions: Tensor) -> Tensor:
        """Where each elite expects its own state (elites, N, obs_dim) to go under actions (N, act_dim)."""
        slopes = self.slopes(states)
        inputs = self.standard_inputs(states, actions.expand(len(self.elites), *actions.shape), slopes)
        change = (self._mean(inputs) * self.target_std + self.target_mean)[..., :-1]
        rule = self.by_rule(inputs, slopes)
        return states + (change if rule is None else change + rule)

    def _mean(self, inputs: Tensor) -> Tensor:
        """The elites' means (elites, N, obs_dim + 1) of the standardised targets, for standardised inputs (elites, N,
        in). Without the variance, and on a CPU in blocks of rows that its caches hold: 2.5 times as fast."""
        layers = [layer.of(self.elites) for layer in self.layers]
        weight, bias = layers[-1]
        layers[-1] = weight[..., : self.obs_dim + 1], bias[..., : self.obs_dim + 1]
        if inputs.device.type != "cpu" or inputs.shape[1] < SMALL:
            return batched(inputs, layers)
        product = linear if self.layers[0].fast else F.linear
        return torch.cat([member_by_member(rows, layers, product) for rows in inputs.split(BLOCK, 1)], 1)

    def save(self, path: Path, **about: Any) -> None:
        """Write the model and what it was fitted on (`about`) to `path`, whole or not at all."""
        save_tensors(path, {"shape": self.shape, "weights": dict(self.state_dict()), "about": about})

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> tuple[Dynamics, dict[str, Any]]:
        """The model at `path` and what it was fitted on. Raises UserError if the file is missing or damaged."""
        if not path.is_file():
            raise UserError(f"{path}: no such dynamics model; fit one with: osrl-proco dynamics fit --out {path}")
        saved = load_tensors(path, device, "dynamics model")
        try:
            shape, weights = saved["shape"], saved["weights"]
            widest = max([*shape["hidden"], 2 * (shape["obs_dim"] + 1)])
            if len(shape["hidden"]) > 32 or widest * shape["members"] > sum(w.numel() for w in weights.values()):
                raise ValueError("sizes that its weights do not have")
            model = cls(**shape).to(device)
            model.load_state_dict(weights)
            if not all(0 <= e < model.members for e in model.elites.tolist()):
                raise ValueError("elites that are not among its members")
            if not all(bool(torch.isfinite(w).all()) for w in weights.values()):
                raise ValueError("weights that are not finite")
            about = dict(saved["about"])
        except Exception as error:  # whatever a stranger's file can hold
            raise UserError(f"{path}: not a dynamics model of osrl-proco ({first_line(error)})") from None
        return model.requires_grad_(False).eval(), about


def _columns(matrix: Tensor, elements: int = 2**26) -> Iterator[Tensor]:
    """The matrix in blocks of whole columns of at most `elements` numbers."""
    yield from matrix.split(max(1, elements // max(1, len(matrix))), dim=1)


def floored(std: Tensor) -> Tensor:
    """Deviation of each column (D,), but never below a hundredth of the median one.

    A planar robot's vertical entries are numerical noise; divided by their own deviation they would drown the rest.
    A column that never changes at all must not be divided by zero either.
    """
    moving = std[std > 0]
    floor = 0.01 * moving.median() if len(moving) else std.new_tensor(1.0)
    return std.clamp_min(float(floor))


@dataclass(frozen=True)
class FitReport:
    """How the fit went: epochs run, held-out error of each member (mean squared, standardised), the elites, and which
    rows (H,) were held out, in whole runs where there are enough."""

    epochs: int
    holdout_mse: list[float]
    elites: list[int]
    held: Tensor

    @property
    def elite_mse(self) -> float:
        return sum(self.holdout_mse[e] for e in self.elites) / len(self.elites)


def fit(
    model: Dynamics,
    data: Transitions,
    *,
    epochs: int = 200,
    patience: int = 5,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    weight_decay: Sequence[float] = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4),
    holdout: float = 0.2,
    seed: int = 0,
    progress: bool = True,
    robust: bool = False,
) -> FitReport:
    """Fit by weighted maximum likelihood with early stopping on held-out runs; keep each member's best weights.

    Stops after `patience` epochs in which no member improved by more than 1 % (MOPO's rule), or after `epochs`.
    robust: as in `Dynamics.standardise`. Seeded by `seed` alone. Raises UserError when there are too few transitions.
    """
    device = data.observations.device
    count = len(data)
    generator = torch.Generator(device).manual_seed(seed)
    apart = runs_apart(data.last, holdout, generator)
    held, train = torch.nonzero(apart).squeeze(1), torch.nonzero(~apart).squeeze(1)
    if len(held) < 1 or len(train) < batch_size:
        raise UserError(f"the dynamics model needs more data: {count} transitions for batches of {batch_size}")
    slopes = model.slopes(data.observations)
    model.standardise(data, slopes, robust)

    layers = list(model.layers)
    if len(weight_decay) != len(layers):  # other depth than the default: the same range, evenly spread
        weight_decay = torch.linspace(2.5e-5, 1e-4, len(layers)).tolist()
    groups = [{"params": layer.parameters(), "weight_decay": d} for layer, d in zip(layers, weight_decay, strict=True)]
    bounds = {"params": [model.max_logvar, model.min_logvar], "weight_decay": 0.0}
    # Decay enters the gradient (0.5 d |w|^2 in the loss), as in MOPO.
    optimizer = adam([*groups, bounds], learning_rate)

    best = torch.full((model.members,), float("inf"), device=device)
    best_weights = [p.detach().clone() for layer in layers for p in layer.parameters()]
    waited = done = 0
    bar = trange(epochs, desc="Dynamics", disable=not progress, leave=False)
    for _ in bar:
        # Every member sees the data in an order of its own.
        shuffled = torch.argsort(torch.rand(model.members, len(train), generator=generator, device=device), 1)
        for start in range(0, len(train) - batch_size + 1, batch_size):
            rows = train[shuffled[:, start : start + batch_size]]
            batch, read = data.index(rows.reshape(-1)), None if slopes is None else slopes[rows.reshape(-1)]
            inputs = model.standard_inputs(batch.observations, batch.actions, read)
            targets = model.targets(batch, model.by_rule(inputs, read)).view(*rows.shape, -1)
            mean, logvar = model.distribution(inputs.view(*rows.shape, -1))
            weighted = _WeightedLikelihood.apply(mean, logvar, targets, model.output_weights)
            loss = weighted + 0.01 * (model.max_logvar.sum() - model.min_logvar.sum())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        errors = _holdout_error(model, data, held, slopes)
        improved = errors < 0.99 * best
        better = errors < best
        parameters = [p for layer in layers for p in layer.parameters()]
        for kept, now in zip(best_weights, parameters, strict=True):
            kept[better] = now.detach()[better]
        best = torch.minimum(best, errors)
        waited = 0 if bool(improved.any()) else waited + 1
        bar.set_postfix(holdout=f"{best.min().item():.4f}")
        done += 1
        if waited >= patience:
            break
    with torch.no_grad():
        for now, kept in zip((p for layer in layers for p in layer.parameters()), best_weights, strict=True):
            now.copy_(kept)
    model.elites.copy_(torch.argsort(best)[: len(model.elites)])
    model.requires_grad_(False).eval()
    return FitReport(done, best.tolist(), model.elites.tolist(), held)


@torch.no_grad()
def _holdout_error(
    model: Dynamics, data: Transitions, held: Tensor, slopes: Tensor | None, chunk: int = 8192
) -> Tensor:
    """Mean squared error of each member (members,) on the held-out rows."""
    total = torch.zeros(model.members, device=held.device)
    for rows in held.split(chunk):
        batch = data.index(rows)
        read = None if slopes is None else slopes[rows]
        inputs = model.standard_inputs(batch.observations, batch.actions, read)
        targets = model.targets(batch, model.by_rule(inputs, read))
        mean, _ = model.distribution(inputs.expand(model.members, -1, -1))
        total += ((mean - targets) ** 2 * model.output_weights).mean(2).sum(1)
    return total / len(held)
