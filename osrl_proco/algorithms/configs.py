"""The settings of OSRL's algorithms, with the published defaults. No torch here: flags are read before it loads.

Flags carry OSRL's own names wherever OSRL has one. Whatever an algorithm does not name (seed, data, PROCO's own
settings) is in run/config.py.
"""

import dataclasses
from dataclasses import dataclass
from typing import Optional


def _list(*values: float) -> list:  # type: ignore[type-arg]
    return dataclasses.field(default_factory=lambda: list(values))  # type: ignore[return-value]


# pyrallis reads neither postponed annotations nor `X | None`, and shows the comment above a field as its help.
@dataclass
class BCConfig:
    """Behaviour cloning, OSRL's defaults."""

    # Gradient updates
    update_steps: int = 100_000
    # Transitions per update
    batch_size: int = 512
    # Learning rate of the actor
    actor_lr: float = 0.001
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # What is cloned: all, the trajectories called safe, risky, boundary or frontier, multi-task (all, the limit as an
    # input), with PROCO also feasible (the transitions that keep safety); auto: feasible with PROCO, all without
    bc_mode: str = "auto"
    # With PROCO: width of the feasibility critic's hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # With PROCO: learning rate of the feasibility critic
    critic_lr: float = 0.0003
    # With bc_mode feasible: share of the updates that clone everything, until the critic says what is feasible
    critic_share: float = 0.7
    # With bc_mode feasible: actions in lost states weigh exp(lost_alpha (V_h - Q_h)); none: not cloned
    lost_alpha: Optional[float] = None
    # With PROCO: updates between rollouts, E
    rollout_every: int = 5_000


@dataclass
class COptiDICEConfig:
    """COptiDICE, OSRL's defaults."""

    # Gradient updates
    update_steps: int = 100_000
    # Transitions per update
    batch_size: int = 512
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Learning rate of the actor
    actor_lr: float = 0.0001
    # Learning rate of the nu and chi networks
    critic_lr: float = 0.0001
    # Learning rate of the multiplier lambda and of the temperature tau
    scalar_lr: float = 0.0001
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Width of the hidden layers of the nu and chi networks, and of the feasibility critic
    c_hidden_sizes: list[int] = _list(256, 256)
    # Weight of the divergence from the data's distribution
    alpha: float = 0.5
    # Discount
    gamma: float = 0.99
    # KL divergence that the cost's upper bound allows for; 0: no bound
    cost_ub_epsilon: float = 0.01
    # Divergence: softchi, chi2 or kl
    f_type: str = "softchi"
    # nu networks, the smallest counts
    num_nu: int = 2
    # chi networks, the smallest counts
    num_chi: int = 2
    # With PROCO: mean excess, as a share of h_max, that leaves the multiplier alone
    cost_slack: float = 0.01
    # With PROCO: updates between rollouts, E
    rollout_every: int = 2_000


@dataclass
class CDTConfig:
    """Constrained decision transformer, OSRL's defaults."""

    # Gradient updates
    update_steps: int = 100_000
    # Windows per update
    batch_size: int = 2048
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Learning rate (AdamW)
    learning_rate: float = 0.0001
    # Decay rates of AdamW's averages
    betas: list[float] = _list(0.9, 0.999)
    # Weight decay
    weight_decay: float = 0.0001
    # Largest norm of the gradient
    clip_grad: float = 0.25
    # Updates over which the learning rate rises to its value
    lr_warmup_steps: int = 500
    # Steps of history that the policy sees
    seq_len: int = 10
    # Width of the transformer
    embedding_dim: int = 128
    # Transformer blocks
    num_layers: int = 3
    # Attention heads
    num_heads: int = 8
    # Dropout in the attention
    attention_dropout: float = 0.1
    # Dropout of the blocks' outputs
    residual_dropout: float = 0.1
    # Dropout of the inputs
    embedding_dropout: float = 0.1
    # Layers of the action head
    action_head_layers: int = 1
    # The returns-to-go are an input
    use_rew: bool = True
    # The costs-to-go are an input
    use_cost: bool = True
    # The input is 50 minus the costs-to-go
    cost_transform: bool = True
    # Gaussian actions (false: squared error)
    stochastic: bool = True
    # Weight of the entropy at the start
    init_temperature: float = 0.1
    # Leave the entropy out of the loss
    no_entropy: bool = False
    # Weight of the loss on the step's cost
    loss_cost_weight: float = 0.02
    # Weight of the loss on the next state
    loss_state_weight: float = 0.0
    # Draw a trajectory in proportion to 70 minus its cost, or 1 / (cost + 10) with linear false (false: uniformly)
    cost_sample: bool = True
    # See cost_sample
    linear: bool = True
    # Augmented copies per trajectory (0: none)
    augment_percent: float = 0.2
    # Augmentation: degree of the Pareto front's polynomial; default: the task's, 1 where OSRL has none
    deg: Optional[int] = None
    # Augmentation: highest return of a copy; default: the task's, or the data's highest
    max_reward: Optional[float] = None
    # Augmentation: lowest return of a copy above the front
    min_reward: float = 1.0
    # Augmentation: how much less a stand-in may have returned; default: the task's, or a tenth of the data's range
    max_rew_decrease: Optional[float] = None
    # Augmentation: stand-ins are drawn in proportion to 1 / (distance + beta)
    beta: float = 1.0
    # With PROCO: width of the feasibility critic's hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # With PROCO: recorded transitions per update of the feasibility critic
    critic_batch_size: int = 512
    # With PROCO: learning rate of the feasibility critic
    critic_lr: float = 0.0003
    # With PROCO: share of the updates after which its critic is asked which steps are dangerous
    critic_share: float = 0.7
    # Return that the policy is told to reach; auto: OSRL's for task and cost_limit, else the data's 0.9 quantile
    target_return: str = "auto"


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
    # With PROCO: updates between rollouts, E
    rollout_every: int = 2_000
