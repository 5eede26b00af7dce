"""The settings of FISOR, LSPC and CAPS, which share IQL's critics (iql.py); as configs.py, no torch."""

from dataclasses import dataclass
from typing import Optional

from .configs import _list


# pyrallis reads neither postponed annotations nor `X | None`, and shows the comment above a field as its help.
@dataclass
class FISORConfig:
    """FISOR, the published code's defaults."""

    # Gradient updates
    update_steps: int = 1_000_000
    # Transitions per update; the actor takes one step on either half
    batch_size: int = 2048
    # Transitions of the batch that the critics see
    critic_batch_size: int = 256
    # Factor on rewards in training, beside FISOR's own T / (Rmax - Rmin)
    reward_scale: float = 1.0
    # Learning rate of the actor, at the start
    actor_lr: float = 0.0003
    # Learning rate of the critics
    critic_lr: float = 0.0003
    # Steps of the actor (two per update) after which its learning rate would have fallen to 0 along a cosine
    lr_decay_steps: int = 3_000_000
    # Width of the actor's residual blocks, one number for each block, all the same
    a_hidden_sizes: list[int] = _list(256, 256, 256)
    # Width of the critics' hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # Discount
    gamma: float = 0.99
    # Rate of the targets' Polyak average
    tau: float = 0.005
    # Rate of the average of the actor's weights, which is what acts
    ema_tau: float = 0.001
    # Expectile of the reward value, in (0.5, 1)
    reward_expectile: float = 0.9
    # h of an unsafe state in the stock critic, as published (with PROCO: --h_max)
    stock_h_max: float = 25.0
    # Temperature of the reward advantage in feasible states
    reward_temperature: float = 3.0
    # Largest weight of an action in a feasible state
    reward_clip: float = 100.0
    # Temperature of the feasibility advantage in lost states
    cost_temperature: float = 5.0
    # Largest weight of an action in a lost state
    cost_clip: float = 150.0
    # Smallest weight of an action in a lost state (0: the published main branch; 1: its branch for MetaDrive)
    cost_floor: float = 0.0
    # Actions drawn per state, of which one is chosen
    num_samples: int = 16
    # Which of them: that of the lowest feasibility Q (minqc), of the highest reward Q (maxq), of the highest reward Q
    # among those of a feasibility Q of at most 0 (allowed), or, twin only, the first of a feasibility Q of at most
    # --recover, by default 0 (first); the last two take the lowest feasibility Q where there is none
    select: str = "minqc"
    # Actor and reward critic see observations standardised by the data; the published code's see them as they are
    standardise: bool = False
    # With PROCO: updates between rollouts, E
    rollout_every: int = 10_000


@dataclass
class LSPCConfig:
    """LSPC on IQL, the published code's defaults."""

    # Gradient updates
    update_steps: int = 1_000_000
    # Transitions per update
    batch_size: int = 1024
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 1.0
    # Learning rate of the latent policy
    actor_lr: float = 0.0003
    # Learning rate of the critics
    critic_lr: float = 0.0003
    # Learning rate of the CVAE
    vae_lr: float = 0.0003
    # Width of the latent policy's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Width of the critics' hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # Width of the CVAE's hidden layers, two in the encoder and two in the decoder
    vae_hidden_sizes: int = 256
    # Entries of a latent
    latent_dim: int = 32
    # Bound of a latent's entries; default: the published one of the task, 0.6 for most of Bullet and 0.25 elsewhere
    z_max: Optional[float] = None
    # Weight of the CVAE's KL divergence
    beta: float = 0.5
    # Discount
    gamma: float = 0.99
    # Rate of the targets' Polyak average
    tau: float = 0.005
    # Expectile of the reward value, in (0.5, 1)
    reward_expectile: float = 0.7
    # Temperature of the reward advantage
    reward_temperature: float = 2.0
    # Largest weight of an action in the latent policy's loss
    reward_clip: float = 200.0
    # Expectile of the stock cost value, in (0.5, 1)
    cost_expectile: float = 0.7
    # Temperature of the safety advantage
    cost_temperature: float = 2.0
    # Largest weight of an action in the CVAE's loss
    cost_clip: float = 200.0
    # Stock: cost value from which the CVAE ignores a transition (999: none; the published value for MetaDrive is 0.02)
    cost_threshold: float = 999.0
    # With PROCO, transitions of lost states enter the CVAE by how well they lead out (feasible) or not at all (drop)
    lost_states: str = "feasible"
    # What acts at evaluation: the latent policy (O) or the CVAE's prior (S); rollouts always follow O
    policy_mode: str = "O"
    # Act by the latents' mean instead of a sample
    deterministic: bool = False
    # CVAE, latent policy and IQL's critics see observations standardised by the data; the published code's do not
    standardise: bool = False


@dataclass
class CAPSConfig:
    """CAPS on IQL, the published code's defaults."""

    # Gradient updates
    update_steps: int = 100_000
    # Transitions per update
    batch_size: int = 512
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Learning rate of the actor, at the start
    actor_lr: float = 0.0003
    # Learning rate of the critics
    critic_lr: float = 0.0003
    # Updates after which the actor's learning rate would have fallen to 0 along a cosine
    lr_decay_steps: int = 1_000_000
    # Width of the hidden layers that the heads share
    a_hidden_sizes: list[int] = _list(512, 512)
    # Width of the critics' hidden layers
    c_hidden_sizes: list[int] = _list(512, 512)
    # Heads of the policy, from reward alone to cost alone; at least 2
    num_heads: int = 2
    # Discount
    gamma: float = 0.99
    # Rate of the targets' Polyak average
    tau: float = 0.005
    # Expectile of the reward value, in (0.5, 1)
    reward_expectile: float = 0.7
    # Temperature of the reward advantage
    reward_temperature: float = 3.0
    # Largest weight of an action by its reward advantage
    reward_clip: float = 100.0
    # Expectile of the stock cost value, in (0.5, 1)
    cost_expectile: float = 0.7
    # Temperature of the safety advantage
    cost_temperature: float = 3.0
    # Largest weight of an action by its safety advantage
    cost_clip: float = 100.0
    # Learn the heads' deviation, which the published code meant to and leaves at 1 (also with --compat fixed)
    learn_std: bool = False
    # With PROCO, no reward weight for actions of lost states and for those that lose a feasible one (as in FISOR)
    mask_reward_head: bool = False
    # Actor and IQL's critics see observations standardised by the data; the published code's see them as they are
    standardise: bool = False
    # With PROCO: updates between rollouts, E
    rollout_every: int = 2_000
