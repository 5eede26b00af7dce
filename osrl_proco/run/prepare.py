"""From a config to what a run needs: device, data, labelled data, dynamics model."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from ..core.errors import UserError, first_line
from ..costs import load_cost_function
from ..costs.sandbox.checked import load_tried
from ..data.load import load_dataset, load_file, unsafe_file
from ..data.split import safe_only
from ..data.transitions import Transitions
from ..evaluation.episodes import make_env
from ..proco.dynamics import Dynamics, fit
from ..proco.source import FeasibilityData
from ..tasks.task import Task
from .config import ProcoConfig
from .folder import RunFolder


def resolve_device(name: str) -> str:
    """`auto` to cuda or cpu. Raises UserError for a device that is not here."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: not available here ({first_line(error)}); use cpu") from None
    return name


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what DSRL and OSRL draw from)
    torch.manual_seed(seed)


def open_simulator(config: ProcoConfig, task: Task) -> gym.Env | None:
    """The task's environment, or None where there is no simulator but a dataset file, which is all that training needs.

    Raises UserError where there is neither.
    """
    try:
        return make_env(task)
    except UserError as error:
        if not config.dataset:
            raise UserError(f"{error}; or train on a dataset file, without episodes: --dataset FILE") from None
        print(f"{error}. Training goes on without episodes; heldout.csv gets measures on held-out data")
        return None


def prepare_data(config: ProcoConfig, env: gym.Env | None, task: Task) -> tuple[Transitions, Transitions]:
    """The training transitions and the unsafe ones kept aside (D_u), on the CPU."""
    data = _pre_process(config, env, task, _load(env, task, config.dataset))
    if not config.safe_only:
        return data, data.keep(data.costs > 0)
    split = safe_only(data, config.keep_unsafe, config.seed, config.unsafe_share)
    print(f"Safe-only data: {split.report()}")
    if len(split.unsafe) == 0 and config.dataset:
        beside = unsafe_file(config.dataset)
        if beside.is_file():
            return split.safe, _load(env, task, beside)
    return split.safe, split.unsafe


def _load(env: gym.Env | None, task: Task, file: str | Path | None) -> Transitions:
    if env is not None:
        return load_dataset(env, task.id, file)
    assert file is not None
    return load_file(file, task)


def _pre_process(config: ProcoConfig, env: gym.Env | None, task: Task, data: Transitions) -> Transitions:
    """DSRL's own `pre_process_data`, where one of its flags is given."""
    given = (config.outliers_percent, config.noise_scale, config.inpaint_ranges, config.epsilon)
    if not any(given) and config.density == 1.0:
        return data
    base: Any = getattr(env, "unwrapped", None)
    if not hasattr(base, "pre_process_data"):
        raise UserError(f"task {task.id}: --outliers_percent, --noise_scale and the like are for DSRL's tasks only")
    from dsrl.infos import DENSITY_CFG

    bins: dict[str, Any] = {}
    if config.density != 1.0:
        key = f"{task.id}_density{config.density}"
        if key not in DENSITY_CFG:
            known = [k.split("_density")[1] for k in DENSITY_CFG if k.startswith(task.id + "_")]
            raise UserError(f"--density: DSRL knows {', '.join(known) or 'no density'} for {task.id}")
        bins = DENSITY_CFG[key]
    base.set_target_cost(config.cost_limit)
    return Transitions.from_arrays(base.pre_process_data(data.arrays(), *given, config.density, **bins))


def proco_source(
    config: ProcoConfig, task: Task, data: Transitions, unsafe: Transitions, max_action: float, folder: RunFolder
) -> FeasibilityData:
    """The labelled data and the dynamics model that imagines what they lack."""
    if config.cost_function:
        path = Path(config.cost_function)
        cost, trial = load_tried(path, task, data.next_observations)
        print(f"Sandbox: {trial.enforcement.report()}")
    else:
        path = task.cost_path
        cost = load_cost_function(path, task)
    dynamics = _dynamics(config, data, folder) if config.model_share > 0 else None
    source = FeasibilityData(data, cost, dynamics, config, max_action)
    share = source.unsafe_share if config.relabel else float(cost(data.next_observations).mean())
    found = float(cost(unsafe.next_observations.to(data.observations.device)).mean()) if len(unsafe) else float("nan")
    if share == 1.0:
        raise UserError(f"{path}: the cost function calls every recorded state unsafe; nothing would be left to learn")
    if share == 0.0 and not found > 0.0:
        raise UserError(f"{path}: the cost function calls no state of the data unsafe, nor any kept aside; check it")
    checked = (
        f"finds {found:.1%} of {len(unsafe)} unsafe transitions kept aside" if len(unsafe) else "nothing to check on"
    )
    print(f"Cost function {path.name}: {checked}, calls {share:.1%} of the training data unsafe")
    return source


def recorded_only(config: ProcoConfig, data: Transitions) -> FeasibilityData:
    """What the feasibility critic sees without PROCO: recorded transitions, the simulator's own labels, no model."""
    plain = dataclasses.replace(config, relabel=False, model_share=0.0, conservative_backup="label")
    return FeasibilityData(data, lambda s: s.new_zeros(s.shape[:-1]), None, plain, max_action=1.0)


def _dynamics(config: ProcoConfig, data: Transitions, folder: RunFolder) -> Dynamics:
    """The given model, the one this run fitted before, or a new one. Leaves the random state as it found it."""
    if config.dynamics or folder.dynamics.exists():
        path = Path(config.dynamics) if config.dynamics else folder.dynamics
        model, _ = Dynamics.load(path, str(data.observations.device))
        expected = data.observations.shape[1], data.actions.shape[1]
        if (model.shape["obs_dim"], model.shape["act_dim"]) != expected:
            raise UserError(f"{path}: a model of another task (sizes {model.shape}, the data have {expected})")
        return model
    with torch.random.fork_rng():
        model, report = fit_dynamics(config, data)
    model.save(folder.dynamics, task=config.task, seed=config.seed, holdout_mse=report)
    return model


def fit_dynamics(config: ProcoConfig, data: Transitions) -> tuple[Dynamics, list[float]]:
    """A model fitted to `data` as `config` says, and each member's held-out error."""
    torch.manual_seed(config.seed)
    model = Dynamics(
        data.observations.shape[1], data.actions.shape[1], config.dynamics_hidden, config.members, config.elites
    ).to(data.observations.device)
    report = fit(
        model,
        data,
        epochs=config.dynamics_epochs,
        patience=config.dynamics_patience,
        batch_size=config.dynamics_batch,
        learning_rate=config.dynamics_lr,
        seed=config.seed,
    )
    print(
        f"Dynamics model: {report.epochs} epochs, held-out error of the elites {report.elite_mse:.4f} "
        "(mean squared, in deviations of the change per step)"
    )
    return model, report.holdout_mse
