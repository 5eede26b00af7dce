"""FISOR: reward where the state is feasible, the way back where it is lost, by a weighted diffusion policy.

Critics   Q, V by IQL (iql.py); Q_h, V_h by the feasible Bellman operator and reverse expectile (proco/feasibility.py)
Weight    w(s,a) = 1(V_h <= 0) 1(Q_h <= 0) min(e^{b_r (Q - V)}, c_r) + 1(V_h > 0) min(e^{b_c (V_h - Q_h)}, c_c)
Policy    min E_{(s,a)~D, t, n} [ w(s,a) |eps(s, sqrt(A_t) a + sqrt(1 - A_t) n, t) - n|^2 ]
Acting    of N samples of the policy, the one of the lowest Q_h

Source: Zheng et al., "Safe Offline Reinforcement Learning with Feasibility-Guided Diffusion Model", ICLR 2024,
arXiv 2401.10700: feasible values, feasibility-dependent objective and weighted diffusion loss; PROCO eq. 13.

An update: actor on the first half of the batch, actor on the second, then V, Q, V_h, Q_h on its first 256 rows.
Where paper and published code differ this is the code: h is that of the state reached, and t is one of 5 levels.

How the twin differs: Q_h and V_h learn from recorded and imagined transitions with PROCO's backup. Nothing else, but
that with `--critic ours` actor and reward critic see standardised observations.
How this differs from the published code: docs/algorithms/fisor.md. `compat` changes nothing here.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.random import normal
from ..core.state import Attributes, Parts
from ..data.transitions import Transitions
from ..proco.danger import signed
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from ..proco.losses import advantage_weight, feasible_weight, polyak, weighted_error
from ..proco.optim import adam, anneal, descend, rates_on_device
from .agent import Agent, Info, Policy, Problem, Seeded
from .iql import IQLCritic
from .networks import ScoreNetwork, mlp
from .seen import Seen

LEVELS = 5  # of noise
INSIDE = 1.0 - 1e-5  # recorded actions are kept so far inside the bounds


def noise_schedule(levels: int) -> tuple[Tensor, Tensor]:
    """alpha_t and their running product A_t, each (levels,): the variance-preserving schedule from 0.1 to 10."""
    t = torch.arange(1, levels + 1, dtype=torch.float64)
    alphas = torch.exp(-0.1 / levels - 0.5 * 9.9 * (2.0 * t - 1.0) / levels**2)
    return alphas.float(), alphas.cumprod(0).float()


class FISOR(Agent):
    """FISOR, and with `config.proco` its twin."""

    capturable = True

    def __init__(self, config: Any, problem: Problem) -> None:
        if config.select not in ("minqc", "maxq", "allowed", "first"):
            raise UserError(f"select: minqc, maxq, allowed or first, not {config.select!r}")
        if len(set(config.a_hidden_sizes)) != 1:
            raise UserError(f"a_hidden_sizes: FISOR's residual blocks all have one width, not {config.a_hidden_sizes}")
        self.config, self.problem = config, problem
        self.select = "minqc" if config.select == "first" and not config.proco else config.select
        self.batch_size, self.feasibility_batch_size = config.batch_size, config.critic_batch_size
        obs_dim, act_dim, device = problem.obs_dim, problem.act_dim, problem.device
        critic = {"gamma": config.gamma, "tau": config.tau, "lr": config.critic_lr, "device": device}
        sizes = (obs_dim, act_dim, config.c_hidden_sizes)
        self.reward = IQLCritic(
            "reward", *sizes, expectile=config.reward_expectile, fresh=True, init="xavier", **critic
        )
        width, blocks = config.a_hidden_sizes[0], len(config.a_hidden_sizes)
        self.actor = ScoreNetwork(obs_dim, act_dim, steps=LEVELS, width=width, blocks=blocks).to(device)
        self.actor_average = deepcopy(self.actor).requires_grad_(False)
        self.actor_optimizer = adam(self.actor.parameters(), config.actor_lr)
        self.actor_steps: int | Tensor = 0
        if config.proco:
            self.cost = self.feasibility = FeasibilityLearner.create(
                obs_dim, act_dim, ProcoSettings.of(config, problem.reads), device, lr=config.critic_lr
            )
        else:
            settings = replace(
                ProcoSettings.of(config),
                h_max=config.stock_h_max,
                feasibility_gamma=config.gamma,
                h_of="reached",
                of_two="larger",
                polyak=config.tau,
                hold=1,
                farthest=math.inf,  # nor are its inputs standardised
            )
            self.cost = FeasibilityLearner.create(
                obs_dim, act_dim, settings, device, lr=config.critic_lr, network=_xavier
            )
        self.alphas, self.products = (x.to(device) for x in noise_schedule(LEVELS))
        self.seen = Seen(obs_dim, standardise=config.standardise, device=device)
        self.return_scale: Tensor | None = None  # only where the task has no reference returns
        if problem.reference_returns is None:
            self.return_scale = torch.ones((), device=device)
            self._reference_scale = 1.0
        else:
            self._reference_scale = _scale(torch.tensor(problem.reference_returns), problem.episode_len)

    def prepare(self, data: Transitions) -> None:
        """Scale of the networks' inputs; the data's range of returns where the task has no reference returns."""
        super().prepare(data)
        self.seen.fit(data.observations)
        if self.return_scale is not None:
            self.return_scale.fill_(_scale(_returns(data), self.problem.episode_len))

    def rewards(self, batch: Transitions) -> Tensor:
        """Rewards (N,) as the critic sees them: r T / (Rmax - Rmin), so that a perfect episode sums to about T."""
        scale = self._reference_scale if self.return_scale is None else self.return_scale
        return batch.rewards * (scale * self.config.reward_scale)

    def weight(self, q: Tensor, v: Tensor, q_h: Tensor, v_h: Tensor) -> Tensor:
        """w (N,), without gradient; values (N,)."""
        c = self.config
        gain = advantage_weight(q - v, c.reward_temperature, c.reward_clip)
        lost = advantage_weight(v_h - q_h, c.cost_temperature, c.cost_clip).clamp_min(c.cost_floor)
        return feasible_weight(gain, lost, q_h, v_h)

    def noised(self, actions: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
        """Actions (N, act_dim) in [-1, 1] with as much noise as t (N,) says."""
        kept = self.products[steps][:, None]
        return kept.sqrt() * actions + (1.0 - kept).sqrt() * noise

    def actor_loss(
        self,
        observations: Tensor,
        actions: Tensor,
        weight: Tensor,
        steps: Tensor,
        noise: Tensor,
        dropout: torch.Generator | None = None,
    ) -> tuple[Tensor, Info]:
        """The weighted error of the predicted noise; observations as `seen`, actions (N, act_dim) in [-1, 1]."""
        predicted = self.actor(observations, self.noised(actions, steps, noise), steps, dropout)
        loss = weighted_error(predicted - noise, weight)
        return loss, {"loss/actor": loss.detach()}

    def update(self, batch: Transitions, feasibility: FeasibilityBatch | None = None) -> Info:
        bound, generator = self.problem.max_action, self.problem.noise
        batch = replace(batch, actions=batch.actions.clamp(-INSIDE * bound, INSIDE * bound))
        observations = self.seen(batch.observations)
        q, v = self.reward.judge(observations, batch.actions)
        q_h, v_h = self.cost.judge(batch.observations, batch.actions)
        weight = self.weight(q, v, q_h, v_h)
        info: Info = {"weight/mean": weight.mean(), "weight/none": (weight == 0).float().mean()}

        actions, half = batch.actions / bound, len(batch) // 2
        for rows in (slice(0, half), slice(half, 2 * half)):
            steps = torch.randint(LEVELS, (half,), generator=generator, device=actions.device)
            noise = normal((half, actions.shape[1]), generator, actions.device)
            loss, figures = self.actor_loss(
                observations[rows], actions[rows], weight[rows], steps, noise, dropout=generator
            )
            anneal(self.actor_optimizer, self.config.actor_lr, self.actor_steps, self.config.lr_decay_steps)
            descend(self.actor_optimizer, loss)
            polyak(self.actor_average, self.actor, self.config.ema_tau)
            self.actor_steps += 1
            info.update(figures)

        first = batch.index(slice(0, self.config.critic_batch_size))
        _, _, figures = self.reward.update(self.seen.batch(first), self.rewards(first))
        info.update(figures)
        if self.feasibility is None:
            feasibility = FeasibilityBatch(
                first.observations,
                first.actions,
                first.next_observations,
                signed(first.previous_costs),
                signed(first.costs),
                first.terminals,
            )
        assert feasibility is not None, "the twin's critic needs its own batch"
        info.update(self.cost.update(feasibility))
        info["feasibility/h_max"] = self.cost.settings.h_max  # the temperatures were tuned for 25
        return info

    def denoise(self, x: Tensor, predicted: Tensor, step: int, noise: Tensor | None) -> Tensor:
        """One step of the reverse process from level `step`: actions (N, act_dim), clipped to [-1, 1]."""
        alpha, product = self.alphas[step], self.products[step]
        x = (x - (1.0 - alpha) / (1.0 - product).sqrt() * predicted) / alpha.sqrt()
        if noise is not None:
            x = x + (1.0 - alpha).sqrt() * noise
        return x.clamp(-1.0, 1.0)

    @torch.no_grad()
    def sample(self, observations: Tensor, noise: Tensor) -> Tensor:
        """Actions (N, act_dim) of the averaged network, from noise (N, LEVELS, act_dim)."""
        x, observations = noise[:, 0], self.seen(observations)
        for level in reversed(range(LEVELS)):
            steps = torch.full((len(x),), level, device=x.device)
            predicted = self.actor_average(observations, x, steps)
            x = self.denoise(x, predicted, level, noise[:, LEVELS - level] if level else None)
        return x * self.problem.max_action

    @torch.no_grad()
    def choose(self, observations: Tensor, noise: Tensor) -> Tensor:
        """The best (N, act_dim) of several samples; noise (N, num_samples, LEVELS, act_dim)."""
        count = noise.shape[1]
        repeated = observations.repeat_interleave(count, 0)
        candidates = self.sample(repeated, noise.flatten(0, 1))
        select = self.select
        safety = -self.cost.target.q(repeated, candidates) if select != "maxq" else None
        worth, least = None, 0.0
        if select in ("maxq", "allowed"):
            worth = self.reward.target_q(self.seen(repeated), candidates)
        elif select == "first":  # the samples come in no order: the first is what the policy does by itself
            worth = -torch.arange(count, device=candidates.device).to(candidates).repeat(len(observations))
            least = -(self.config.recover or 0.0)
        best = _best(safety, worth, count, least)
        return candidates.view(len(observations), count, -1)[torch.arange(len(best), device=best.device), best]

    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        shape = (len(observations), LEVELS, self.problem.act_dim)
        return self.sample(observations, normal(shape, generator, observations.device))

    def policy(self) -> Policy:
        shape = (self.config.num_samples, LEVELS, self.problem.act_dim)
        return Seeded(self.choose, shape, self.problem.device)

    def count_on_device(self) -> None:
        self.actor_steps = torch.as_tensor(self.actor_steps, device=self.problem.device)
        rates_on_device(self.actor_optimizer)

    def parts(self) -> Parts:
        parts = {
            "reward": self.reward.parts(),
            "cost": self.cost.parts(),
            "actor": self.actor,
            "actor_average": self.actor_average,
            "actor_optimizer": self.actor_optimizer,
            "counters": Attributes(self, ["actor_steps"]),
        }
        if self.return_scale is not None:
            parts["return_scale"] = self.return_scale
        return {**parts, **self.seen.parts()}


def _best(safety: Tensor | None, worth: Tensor | None, count: int, least: float = 0.0) -> Tensor:
    """Of each state's `count` candidates the index (N,) of the one to take.

    The safest, or the worthiest; where both are given (each (N count,)), the worthiest of those whose safety is not
    below `least`, if there is one, else the safest.
    """
    if worth is None or safety is None:
        one = safety if worth is None else worth
        assert one is not None
        return one.view(-1, count).argmax(1)
    safety, worth = safety.view(-1, count), worth.view(-1, count)
    allowed = safety >= least
    among = worth.masked_fill(~allowed, -torch.inf).argmax(1)
    return torch.where(allowed.any(1), among, safety.argmax(1))


def _xavier(n_in: int, hidden: Any) -> torch.nn.Module:
    return mlp([n_in, *hidden, 1], "xavier")


def _returns(data: Transitions) -> Tensor:
    """The return of every run of consecutive transitions; a cut episode is several."""
    run = data.last.cumsum(0).long() - data.last.long()
    return torch.zeros(int(run[-1]) + 1, device=run.device).index_add_(0, run, data.rewards)


def _scale(returns: Tensor, episode_len: int) -> float:
    """T / (Rmax - Rmin); 1 where all returns are the same."""
    spread = float(returns.max() - returns.min())
    return episode_len / spread if spread > 1e-6 else 1.0


def create(config: Any, problem: Problem) -> FISOR:
    """A fresh agent."""
    return FISOR(config, problem)
