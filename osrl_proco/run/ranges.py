"""Which values a setting may have."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..core.errors import UserError
from ..data.findings import require_names
from .config import ProcoConfig

MAX_SEED = 2**32 - 1  # NumPy's global generator, which DSRL draws from, takes no larger one
MAX_THREADS = 1024

_POSITIVE = (
    "update_steps", "batch_size", "eval_episodes", "checkpoint_every", "log_every", "threads", "members", "elites",
    "dynamics_epochs", "dynamics_batch", "dynamics_patience", "rollout_every", "rollout_batch", "rollout_length",
    "rollout_repeats", "rollout_buffer", "sample_action_num", "num_samples_mmd_match", "num_q", "num_qc", "num_nu",
    "num_chi", "latent_dim", "critic_batch_size", "lr_warmup_steps", "contrast_lr_factor", "h_max",
    "segment_steps", "num_pairs", "multiplier_max", "lost_alpha", "hold",
    "report_cost_limit", "episode_len", "reward_scale", "cost_scale",
)  # fmt: skip
_NOT_NEGATIVE = (
    "keep_unsafe",
    "eval_every",
    "model_share",
    "rollout_noise",
    "cost_limit",
    "seed",
    "num_workers",
    "phi",
)
# What no machine holds, or needs, is a slip of the keyboard (or a stranger's config).
_AT_MOST = {
    "batch_size": 10**7, "dynamics_batch": 10**7, "rollout_batch": 10**7, "rollout_buffer": 10**9, "members": 1000,
    "num_q": 100, "num_qc": 100, "num_pairs": 10**7, "sample_action_num": 10**4, "rollout_length": 10**5, "hold": 10**4,
    "num_layers": 100, "seq_len": 10**5, "embedding_dim": 2**16,
}  # fmt: skip
WIDEST = 2**16  # of a hidden layer
_BETWEEN_0_AND_1 = ("gamma", "feasibility_gamma")
# 0 and 1 included
_SHARES = (
    "unsafe_share", "pretrain_share", "bc_share", "critic_share", "safe_top", "safe_bottom", "least_safe",
    "min_utility",
)  # fmt: skip
_ABOVE_0_TO_1 = ("tau", "feasibility_tau", "segment_ratio", "score_discount")
_CHOICES = {
    "conservative_backup": ("label", "max"),
    "critic": ("auto", "graded", "ours", "paper"),
    "graded": ("all", "inside", "none"),
    "label": ("margin", "observation"),
    "reads": ("margins", "observation"),
    "of_two": ("mean", "larger"),
    "h_of": ("left", "reached"),
    "recover_where": ("action", "lost"),
    "recover_by": ("critic", "model"),
    "dynamics_loss": ("plain", "robust"),
    "dynamics_margins": ("networks", "slopes"),
    "compat": ("osrl", "fixed"),
    "ablation": (
        "none",
        "without_model",
        "full_model",
        "without_relabel",
        "deterministic_rollout",
        "without_conservativeness",
        "without_reflection",
    ),
    "kernel": ("gaussian", "laplacian"),
}


def check(config: ProcoConfig) -> None:
    """Raise UserError that names the first setting out of its range."""
    values = dataclasses.asdict(config)
    for name, value in values.items():
        _check_one(name, value)
    if not 0.5 < config.expectile < 1:
        raise UserError(f"--expectile: {config.expectile} must lie between 0.5 and 1 (eq. 12)")
    require_names(config.accept)
    if config.seed > MAX_SEED:
        raise UserError(f"--seed: {config.seed} must be at most {MAX_SEED}")
    if config.threads > MAX_THREADS:
        raise UserError(f"--threads: {config.threads} is more than {MAX_THREADS}; as many as there are cores is enough")
    if config.elites > config.members:
        raise UserError(f"--elites: {config.elites} is more than --members {config.members}")
    if config.ablation in ("without_conservativeness", "without_reflection") and not config.cost_function:
        part = config.ablation.removeprefix("without_")
        raise UserError(
            f"--ablation {config.ablation}: give the function that was written so, --cost_function FILE "
            f"(osrl-proco cost generate --without {part} --out FILE)"
        )
    if config.ablation == "full_model" and config.algo in ("cdt", "trac", "presa"):
        raise UserError(f"--ablation full_model: {config.algo} does not learn from single transitions")
    if config.ablation == "full_model" and config.algo == "bc":
        raise UserError("--ablation full_model: bc clones recorded actions; imagined ones are nobody's")
    if config.conservative_backup == "max" and config.model_share == 0:
        raise UserError("--conservative_backup max: needs the dynamics model; give --model_share above 0")
    if config.hold > 1:
        _check_hold(config)
    if config.recover_by == "model" and config.proco:
        if config.model_share == 0:
            raise UserError("--recover_by model: needs the dynamics model; give --model_share above 0")
        if config.recover is None:
            raise UserError("--recover_by model: there is no way back; give --recover a threshold, or --critic ours")
    if config.recover is not None and not -1 < config.recover < config.h_max:
        raise UserError(f"--recover: {config.recover} must lie between -1, the lowest Q, and --h_max {config.h_max:g}")


def _check_hold(config: ProcoConfig) -> None:
    if config.model_share == 0:
        raise UserError(f"--hold {config.hold}: needs the dynamics model; give --model_share above 0, or --hold 1")
    if config.conservative_backup == "max":
        raise UserError(f"--hold {config.hold}: judges the way by the worst elite already; --conservative_backup label")
    if config.ablation == "full_model":
        raise UserError(f"--hold {config.hold}: policies cannot learn from steps of that length; --ablation full_model "
                        "needs --hold 1")  # fmt: skip


def _check_one(name: str, value: Any) -> None:
    if value is None:
        return
    if (name in _POSITIVE or name.endswith("_lr")) and not value > 0:
        raise UserError(f"--{name}: {value} must be greater than 0")
    if name in _NOT_NEGATIVE and value < 0:
        raise UserError(f"--{name}: {value} must not be negative")
    if name in _AT_MOST and value > _AT_MOST[name]:
        raise UserError(f"--{name}: {value} is more than {_AT_MOST[name]}")
    if name in _BETWEEN_0_AND_1 and not 0 < value < 1:
        raise UserError(f"--{name}: {value} must lie between 0 and 1")
    if name in _SHARES and not 0 <= value <= 1:
        raise UserError(f"--{name}: {value} must lie between 0 and 1")
    if name in _ABOVE_0_TO_1 and not 0 < value <= 1:
        raise UserError(f"--{name}: {value} must be above 0 and at most 1")
    if name == "dropout" and not 0 <= value < 1:
        raise UserError(f"--{name}: {value} must be at least 0 and below 1")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise UserError(f"--{name}: {value!r} must be {' or '.join(_CHOICES[name])}")
    if name.endswith(("hidden_sizes", "_hidden")):
        widths = value if isinstance(value, list) else [value]
        if not widths or any(not isinstance(w, int) or w < 1 for w in widths):
            raise UserError(f"--{name}: {value} must be whole numbers above 0, for example [256, 256]")
        if max(widths) > WIDEST or len(widths) > 100:
            raise UserError(f"--{name}: {len(widths)} layers of up to {max(widths)}; at most 100 of up to {WIDEST}")
    if name == "PID" and (len(value) != 3 or any(gain < 0 for gain in value)):
        raise UserError(f"--PID: {value} must be three numbers, none negative, for example [0.1, 0.003, 0.001]")
