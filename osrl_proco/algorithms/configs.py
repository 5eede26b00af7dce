"""The settings of each built-in algorithm, with the published defaults. No torch here: flags are read before it loads.

Flags carry OSRL's own names wherever OSRL has one. Whatever an algorithm does not name (seed, data, PROCO's own
settings) is in run/config.py.
"""

import dataclasses
from dataclasses import dataclass


def _list(*values: float) -> list:  # type: ignore[type-arg]
    return dataclasses.field(default_factory=lambda: list(values))  # type: ignore[return-value]


# pyrallis reads neither postponed annotations nor `X | None`, and shows the comment above a field as its help.
@dataclass
class BCQLConfig:
    """BCQ-Lagrangian, OSRL's defaults."""

    # Gradient updates
    update_steps: int = 100_000
    # Transitions per update
    batch_size: int = 512
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Learning rate of the actor
    actor_lr: float = 0.001
    # Learning rate of the critics
    critic_lr: float = 0.001
    # Learning rate of the VAE
    vae_lr: float = 0.001
    # The actor perturbs the VAE's action by at most this share of the largest action
    phi: float = 0.05
    # Weight of the smaller of two critics in the target, that of the larger is 1 - lmbda
    lmbda: float = 0.75
    # Weight of the VAE's KL divergence
    beta: float = 0.5
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Width of the critics' hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # Width of the VAE's hidden layers
    vae_hidden_sizes: int = 400
    # Actions per next state in the critics' targets
    sample_action_num: int = 10
    # Discount
    gamma: float = 0.99
    # Rate of the targets' Polyak average
    tau: float = 0.005
    # Reward critics in each of the two ensembles
    num_q: int = 2
    # Cost critics in each of the two ensembles
    num_qc: int = 2
    # Gains of the multiplier's controller: proportional, integral, derivative
    PID: list[float] = _list(0.1, 0.003, 0.001)


@dataclass
class BEARLConfig:
    """BEAR-Lagrangian, OSRL's defaults."""

    # Gradient updates
    update_steps: int = 300_000
    # Transitions per update
    batch_size: int = 512
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Learning rate of the actor
    actor_lr: float = 0.001
    # Learning rate of the critics
    critic_lr: float = 0.001
    # Learning rate of the VAE
    vae_lr: float = 0.001
    # Learning rate of the MMD's multiplier
    alpha_lr: float = 0.001
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Width of the critics' hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # Width of the VAE's hidden layers
    vae_hidden_sizes: int = 400
    # Actions per next state in the critics' targets
    sample_action_num: int = 10
    # Discount
    gamma: float = 0.99
    # Rate of the targets' Polyak average
    tau: float = 0.005
    # Weight of the VAE's KL divergence
    beta: float = 0.5
    # Weight of the smaller of two critics in the target, that of the larger is 1 - lmbda
    lmbda: float = 0.75
    # Width of the MMD's kernel
    mmd_sigma: float = 50.0
    # MMD that the policy may have to the data
    target_mmd_thresh: float = 0.05
    # Actions per state that the MMD is estimated from
    num_samples_mmd_match: int = 10
    # Updates in which the policy only follows the data
    start_update_policy_step: int = 0
    # Kernel of the MMD: gaussian or laplacian
    kernel: str = "gaussian"
    # Reward critics in each of the two ensembles
    num_q: int = 2
    # Cost critics in each of the two ensembles
    num_qc: int = 2
    # Gains of the multiplier's controller: proportional, integral, derivative
    PID: list[float] = _list(0.1, 0.003, 0.001)


@dataclass
class CPQConfig:
    """Constraints-penalised Q-learning, OSRL's defaults."""

    # Gradient updates
    update_steps: int = 100_000
    # Transitions per update
    batch_size: int = 512
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Learning rate of the actor
    actor_lr: float = 0.0001
    # Learning rate of the critics
    critic_lr: float = 0.001
    # Learning rate of the multiplier on actions that the data lack
    alpha_lr: float = 0.0001
    # Learning rate of the VAE
    vae_lr: float = 0.001
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Width of the critics' hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # Width of the VAE's hidden layers
    vae_hidden_sizes: int = 400
    # Actions per state that are tried for being unlike the data
    sample_action_num: int = 10
    # Discount
    gamma: float = 0.99
    # Rate of the targets' Polyak average
    tau: float = 0.005
    # Weight of the VAE's KL divergence
    beta: float = 0.5
    # Reward critics
    num_q: int = 2
    # Cost critics
    num_qc: int = 2
    # The cost critic's threshold as a multiple of the cost limit's
    qc_scalar: float = 1.5
