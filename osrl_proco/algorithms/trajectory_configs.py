"""The settings of the algorithms that learn from whole trajectories or segments of them; as configs.py, no torch."""

from dataclasses import dataclass
from typing import Optional

from .configs import _list


# pyrallis reads neither postponed annotations nor `X | None`, and shows the comment above a field as its help.
@dataclass
class CCACConfig:
    """CCAC, the published code's defaults."""

    # Gradient updates, of both stages together
    update_steps: int = 400_000
    # Share of the updates in which what knows danger is learned alone: CVAE and classifier, with PROCO the critic
    pretrain_share: float = 0.5
    # Transitions per update
    batch_size: int = 512
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Learning rate of the actor and of the multipliers
    actor_lr: float = 0.0001
    # Learning rate of the critics
    critic_lr: float = 0.001
    # Learning rate of CVAE and classifier
    vae_lr: float = 0.001
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Width of the critics' hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # Width of the hidden layers of CVAE, classifier and multipliers, two in each
    vae_hidden_sizes: int = 512
    # Entries of a latent
    latent_dim: int = 64
    # Weight of the CVAE's KL divergence
    beta: float = 0.5
    # Discount
    gamma: float = 0.99
    # Rate of the targets' Polyak average
    tau: float = 0.005
    # Reward critics, the smallest counts
    num_q: int = 4
    # Stock cost critics, the smallest counts (with --compat fixed the largest)
    num_qc: int = 4
    # Reward critics end in a softplus as published, and so are never negative (also mended by --compat fixed)
    reward_softplus: bool = True
    # With PROCO: updates between rollouts, E
    rollout_every: int = 5_000


@dataclass
class TraCConfig:
    """TraC, the published code's defaults for Safety-Gymnasium."""

    # Gradient updates, of both stages together
    update_steps: int = 100_000
    # Share of the updates that clone all the data; the clone is what scores are measured against
    bc_share: float = 0.3
    # Segments per update
    batch_size: int = 96
    # Learning rate of the actor while it clones
    actor_lr: float = 0.0001
    # Factor on it afterwards
    contrast_lr_factor: float = 0.1
    # Updates over which the learning rate rises to its value afterwards
    lr_warmup_steps: int = 10_000
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Dropout in the actor
    dropout: float = 0.25
    # Steps of a segment, as a share of the episode (published: Bullet 1, MetaDrive 0.25)
    segment_ratio: float = 0.75
    # Factor on the score (published: Bullet and MetaDrive 0.2)
    alpha: float = 0.1
    # Discount of the score over a segment, above 0 and at most 1 (published: MetaDrive 1)
    score_discount: float = 0.99
    # Weight of all undesirable segments against all desirable ones (published: Bullet and MetaDrive 0.25)
    eta: float = 0.5
    # Share of the safe segments, those of the highest return, that is desirable (published: MetaDrive 0.25)
    safe_top: float = 0.5
    # Share of the safe segments, those of the lowest return, that is not (published: Bullet and MetaDrive 0)
    safe_bottom: float = 0.5
    # Bound the classifier's probabilities at 1e-6 as published, so that the worst segments get no gradient
    clamp_score: bool = False
    # With PROCO: share of the segments that counts as safe at least, those with the fewest dangerous steps
    least_safe: float = 0.25
    # With PROCO: width of the feasibility critic's hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # With PROCO: recorded transitions per update of the feasibility critic
    critic_batch_size: int = 512


@dataclass
class PreSaConfig:
    """PreSa; the paper publishes few settings, most defaults are proposals (docs/algorithms/presa.md says which)."""

    # Gradient updates, of both stages together
    update_steps: int = 100_000
    # Share of the updates that clone all the data; the clone is what scores are measured against
    bc_share: float = 0.3
    # Pairs of segments per update
    batch_size: int = 96
    # Learning rate of the actor while it clones
    actor_lr: float = 0.0001
    # Factor on it afterwards
    contrast_lr_factor: float = 0.1
    # Updates over which the learning rate rises to its value afterwards
    lr_warmup_steps: int = 10_000
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = _list(256, 256)
    # Dropout in the actor
    dropout: float = 0.25
    # Steps of a segment, at most; never more than a fifth of the episode
    segment_steps: int = 64
    # Pairs of segments that are compared
    num_pairs: int = 10_000
    # Factor on the score
    alpha: float = 0.2
    # Discount of the score over a segment, above 0 and at most 1
    score_discount: float = 1.0
    # Factor on the score of the segment that is not preferred
    loser_bias: float = 0.75
    # Utility that the safety labels demand, of at most 1
    min_utility: float = 0.9
    # Learning rate of the constraint's multiplier
    multiplier_lr: float = 0.01
    # Largest multiplier
    multiplier_max: float = 10.0
    # Measure utility against the batch's mean score, as KTO does, instead of against 0
    kto_reference: bool = False
    # File of preferences between segments (osrl-proco label); default: the larger return is preferred
    preferences: Optional[str] = None
    # File that says which segments are safe (osrl-proco label); default: by their costs
    safety_labels: Optional[str] = None
    # With PROCO: share of the segments that counts as safe at least, those with the fewest dangerous steps
    least_safe: float = 0.25
    # With PROCO: width of the feasibility critic's hidden layers
    c_hidden_sizes: list[int] = _list(256, 256)
    # With PROCO: recorded transitions per update of the feasibility critic
    critic_batch_size: int = 512
