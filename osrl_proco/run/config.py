"""The settings of a run that are no algorithm's own, with their defaults.

A value comes from, in rising order: the dataclasses (the algorithm's settings beside these), `configs/families.yaml`
for the task's family, `configs/presets/` for the preset, the file given with `--config`, the command line. What the
command line says always wins, also where it equals a default.
"""

import dataclasses
import os
from dataclasses import dataclass, field
from functools import cache
from typing import List, Optional

from ..algorithms.registry import algorithm


def _sizes(*widths: int) -> list[int]:
    return field(default_factory=lambda: list(widths))  # type: ignore[return-value]


# pyrallis reads neither postponed annotations nor `X | None`, and shows the comment above a field as its help.
@dataclass
class RunConfig:
    """What is run, on which data, and where it is written."""

    # Algorithm (osrl-proco train --help lists them)
    algo: str = "bcql"
    # Task id, for example OfflinePointGoal1Gymnasium-v0
    task: str = "OfflineBrake-v0"
    # PROCO on, or the stock algorithm on the same data
    proco: bool = True
    # osrl: published faults as released; fixed: mended (docs/algorithms lists them)
    compat: str = "osrl"
    # paper: published sizes and steps; laptop: sizes with which a run ends within 10 minutes on one core
    preset: str = "paper"
    # HDF5 file in DSRL's format; without it, the task's own dataset
    dataset: Optional[str] = None
    # Remove every transition that touches an unsafe state (the setting PROCO is made for)
    safe_only: bool = True
    # Unsafe transitions kept aside to check the cost function
    keep_unsafe: int = 100
    # Share of the unsafe transitions that stays in the data with safe_only (the paper's 0.1, 0.2, 0.5, 1)
    unsafe_share: float = 0.0
    # What is wrong with the data but accepted (names that `data check` prints, separated by commas)
    accept: str = ""
    # Seed of networks, batches, rollouts and split
    seed: int = 0
    # cpu, cuda, cuda:1, ...; auto takes a GPU where there is one
    device: str = "auto"
    # CPU threads of PyTorch; more than there are idle cores makes updates several times slower
    threads: int = max(1, min(4, (os.cpu_count() or 1) // 2))
    # Matrix products by oneDNN where that is faster (AMD's Zen 5); false: bit for bit PyTorch's own
    fast: bool = True
    # Start each update of FISOR, LSPC or CAPS as one CUDA graph (PyTorch 2.4 and newer; not run on a GPU yet)
    cuda_graph: bool = False
    # Folder of this run; default runs/<task>/<algo>[-stock]-seed<seed>
    logdir: Optional[str] = None
    # Also log to TensorBoard (into the run's folder)
    tensorboard: bool = False
    # Also log to Weights & Biases
    wandb: bool = False
    # Weights & Biases: project
    project: str = "osrl-proco"
    # Weights & Biases: group; default: the task
    group: Optional[str] = None
    # Weights & Biases: name; default: that of the folder
    name: Optional[str] = None
    # Put before the name
    prefix: Optional[str] = None
    # Put after the name
    suffix: Optional[str] = None
    # Print all settings at the start
    verbose: bool = False
    # Gradient updates
    update_steps: int = 100_000
    # Transitions per update
    batch_size: int = 512
    # Factor on rewards in training (scores are always unscaled)
    reward_scale: float = 0.1
    # Factor on costs in training
    cost_scale: float = 1.0
    # Episode cost that the algorithm trains with; PROCO's twins need none, but for BC's modes by trajectory
    cost_limit: float = 10.0
    # Episode cost that counts as a normalised cost of 1 in the scores
    report_cost_limit: float = 10.0
    # Stop bootstrapping where time ran out, as OSRL, FISOR and LSPC do
    stop_at_timeouts: bool = False
    # Steps per episode; default: the task's own
    episode_len: Optional[int] = None
    # Episodes per evaluation
    eval_episodes: int = 10
    # Updates between evaluations (0: only at the end)
    eval_every: int = 2500
    # Updates between checkpoints
    checkpoint_every: int = 1000
    # Updates between rows of metrics.csv
    log_every: int = 100
    # DSRL's pre_process_data: share of episodes turned into outliers
    outliers_percent: Optional[float] = None
    # DSRL's pre_process_data: noise on the observations
    noise_scale: Optional[float] = None
    # DSRL's pre_process_data: parts of the cost-return plane to leave out, [[cost min, max, return min, max], ...]
    inpaint_ranges: Optional[List[List[float]]] = None
    # DSRL's pre_process_data: leave out the best safe (above 0) or best unsafe (below 0) episodes
    epsilon: Optional[float] = None
    # DSRL's pre_process_data: keep this density of episodes
    density: float = 1.0
    # Accepted so that OSRL's command lines work; the data live on the device and need no loader processes
    num_workers: int = 0


@dataclass
class ProcoConfig(RunConfig):
    """PROCO's own settings; equations and appendices are the paper's."""

    # Cost function file; default: the library's for this task
    cost_function: Optional[str] = None
    # Relabel the data with the cost function (false: the ablation "w/o relabel")
    relabel: bool = True
    # The paper's table 9: without_model, full_model, without_relabel, deterministic_rollout, without_conservativeness,
    # without_reflection (the last two say which --cost_function was made with cost generate --without ...)
    ablation: str = "none"
    # paper: its own form; ours: with the cost function's margins; graded: experimental; auto: ours in simulators, but
    # paper with an ablation, without model or with --conservative_backup max; else paper (docs/critic.md)
    critic: str = "auto"
    # h of a state: none: its label's, -1 or h_max; inside: -1 where safe, where unsafe h_max to twice that by the cost
    # function's margin; all: by the margin everywhere, -1 to h_max
    graded: str = "all"
    # Graded danger: counts as unsafe from so many spreads of the margin before the boundary on
    caution: float = 0.0
    # What labels an imagined state: the margin that the model predicts beside the observation (margin), or the cost
    # function on the predicted observation (observation, the paper's)
    label: str = "margin"
    # What the feasibility critic reads beside the observation: the cost function's margins and how they hang on it
    # (margins), or nothing (observation, the paper's)
    reads: str = "margins"
    # h of an unsafe state (see graded); the smallest of a safe one is -1
    h_max: float = 1.0
    # Discount of the feasibility critic: danger more than about 1/(1-gamma) steps ahead is not called lost
    feasibility_gamma: float = 0.99
    # Rate of the average that is the feasibility critic's target
    feasibility_tau: float = 0.02
    # Whose violation counts in eq. 6: that of the state a step leaves (left) or arrives in (reached)
    h_of: str = "reached"
    # Which of the feasibility critic's two Q counts: their mean, or the larger (the paper's)
    of_two: str = "mean"
    # Steps for which an action is held in the dynamics model before the feasibility critic judges it (1: the paper's).
    # As many as it takes to stop
    hold: int = 1
    # At test time an action of a feasibility Q above this gives way to one of 16 all over the action space, the most
    # similar that is not above it, else the safest (proco/recovery.py); null: what the policy does stands, as in the
    # paper
    recover: Optional[float] = None
    # With --recover: action: wherever an action's Q is above it; lost: only where V is above it, too
    recover_where: str = "action"
    # With --recover: where no action passes, that of the lowest Q acts (critic), or that which is the least dangerous
    # in the dynamics model when held (model)
    recover_by: str = "critic"
    # tau of eq. 12, in (0.5, 1)
    expectile: float = 0.9
    # How eq. 8 is made conservative: any elite labels (label), or also the worst elite's value (max)
    conservative_backup: str = "label"
    # At most so many imagined transitions per recorded one in the feasibility critic's batches (0: no model, ablation)
    model_share: float = 0.5
    # Fitted dynamics model; default: fit one
    dynamics: Optional[str] = None
    # Dynamics model (C.1): width of the hidden layers
    dynamics_hidden: list[int] = _sizes(200, 200, 200, 200)
    # Dynamics model: networks trained
    members: int = 7
    # Dynamics model: networks used, those with the lowest held-out error
    elites: int = 5
    # Dynamics model: passes over the data, at most
    dynamics_epochs: int = 200
    # Dynamics model: transitions per step
    dynamics_batch: int = 256
    # Dynamics model: learning rate
    dynamics_lr: float = 1e-3
    # Dynamics model: robust: no entry's jumps count, and margins weigh a fifth of the rest; plain: margins' jumps alone
    # do not, and they weigh as much as the rest (the paper's where there are no margins)
    dynamics_loss: str = "plain"
    # Dynamics model: slopes: margins change by the chain rule, as their slopes say, and the networks tell what that
    # leaves; networks: they tell all
    dynamics_margins: str = "networks"
    # Dynamics model: passes without progress before it stops
    dynamics_patience: int = 5
    # Rollouts (C.3): updates between them, E
    rollout_every: int = 1000
    # Rollouts: states they start from, B
    rollout_batch: int = 10_000
    # Rollouts: steps, k; with --hold, actions held one after the other while in danger
    rollout_length: int = 3
    # Rollouts: repetitions, R
    rollout_repeats: int = 10
    # Rollouts: deviation of the noise on the policy's actions, as a share of the largest action
    rollout_noise: float = 0.1
    # Imagined transitions kept, newest first
    rollout_buffer: int = 200_000


@cache
def config_class(algo: str) -> type[ProcoConfig]:
    """The settings of a run of `algo`: the algorithm's own dataclass with ProcoConfig and RunConfig."""
    own = algorithm(algo).config_class()
    return dataclass(type(f"{algorithm(algo).name}Config", (own, ProcoConfig), {"__doc__": own.__doc__}))


def field_names(config: type) -> list[str]:
    """The names of all settings of a config class."""
    return [f.name for f in dataclasses.fields(config)]
