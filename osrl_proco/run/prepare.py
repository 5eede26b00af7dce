"""From a config to what a run needs: device, data, cost function, dynamics model."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from ..algorithms.agent import Problem
from ..algorithms.bounds import ActionScale
from ..core.errors import UserError, first_line
from ..core.files import require_regular
from ..core.products import speed_up
from ..core.random import Streams, derived_seed, drawing_from
from ..costs import CostFunction, load_cost_function
from ..costs.sandbox.checked import load_tried
from ..data.findings import require_names, settle
from ..data.labels import label_findings
from ..data.load import load_dataset, load_file, spaces_of, unsafe_file
from ..data.split import safe_only
from ..data.statistics import episodes
from ..data.transitions import Transitions
from ..envs.make import make_env
from ..evaluation.heldout import HeldOut, hold_out
from ..evaluation.horizon import errors, foresight
from ..proco.danger import Danger
from ..proco.dynamics import Dynamics, fit
from ..proco.reads import Reads
from ..proco.source import FeasibilityData, SourceSettings
from ..tasks.task import Task
from .config import ProcoConfig


def resolve_device(name: str) -> str:
    """`auto` to cuda or cpu. Raises UserError for a device that is not here."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"--device {name}: not available here ({first_line(error)}); use cpu") from None
    return name


@dataclass(frozen=True)
class Prepared:
    """The data of a run on its device, and what is known of the task.

    unsafe: violations kept aside (D_u). heldout: what no update sees, where no episode can be run; else None.
    scale: between the task's action bounds and [-1, 1], which the data's actions are then in; None where one symmetric
        bound holds for all entries (`max_action`).
    fingerprint: SHA-256 of the training data.
    """

    task: Task
    data: Transitions
    unsafe: Transitions
    heldout: HeldOut | None
    max_action: float
    scale: ActionScale | None
    episode_len: int
    reference_returns: tuple[float, float] | None
    fingerprint: str

    def problem(self, streams: Streams, device: str, reads: Reads | None = None) -> Problem:
        """What the algorithm is told."""
        return Problem(
            obs_dim=self.data.observations.shape[1],
            act_dim=self.data.actions.shape[1],
            max_action=self.max_action,
            episode_len=self.episode_len,
            device=device,
            noise=streams["noise"],
            reference_returns=self.reference_returns,
            reads=reads,
        )


def prepare(config: ProcoConfig, task: Task, device: str) -> Prepared:
    """Load, check and split the data of a run."""
    env = _simulator(config, task)
    data, unsafe = training_data(config, env, task)
    if len(data) == 0:
        raise UserError(f"{config.dataset or task.id}: no safe transition is left to train on; give --safe_only false")
    if config.stop_at_timeouts:
        data = dataclasses.replace(data, terminals=torch.maximum(data.terminals, data.timeouts))
    space: Any = env.action_space if env is not None else spaces_of(task, {"actions": data.actions})[1]
    low, high = np.ravel(space.low).tolist(), np.ravel(space.high).tolist()
    scale, max_action = ActionScale.needed(low, high), high[0]
    if scale is not None:
        data, unsafe = (dataclasses.replace(d, actions=scale.to_unit(d.actions)) for d in (data, unsafe))
        max_action = 1.0
    heldout, reference = None, None
    if env is None:
        episode_len = config.episode_len or int(episodes(data)[2].max())
        data, heldout = hold_out(data, unsafe, config.seed)
        heldout = heldout.to(device)
    else:
        limit = env.spec.max_episode_steps if env.spec else None
        episode_len = config.episode_len or limit or int(episodes(data)[2].max())
        base: Any = env.unwrapped
        if getattr(base, "max_episode_reward", None) is not None:
            reference = float(base.min_episode_reward), float(base.max_episode_reward)
        env.close()
    fingerprint = _fingerprint(data)
    return Prepared(
        task, data.to(device), unsafe.to(device), heldout, max_action, scale, episode_len, reference, fingerprint
    )


def _simulator(config: ProcoConfig, task: Task) -> gym.Env | None:
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


def training_data(config: ProcoConfig, env: gym.Env | None, task: Task) -> tuple[Transitions, Transitions]:
    """The training transitions and the unsafe ones kept aside (D_u), on the CPU."""
    data = _pre_process(config, env, task, _load(config, env, task, config.dataset))
    if not config.safe_only:
        return data, data.keep(data.costs > 0)
    split = safe_only(data, config.keep_unsafe, config.seed, config.unsafe_share)
    print(f"Safe-only data: {split.report()}")
    if len(split.unsafe) == 0 and config.dataset:
        beside = unsafe_file(config.dataset)
        if beside.is_file():
            return split.safe, _load(config, env, task, beside)
    return split.safe, split.unsafe


def recorded(task: Task, file: str | Path | None, accept: str = "") -> Transitions:
    """Everything that was recorded, violations included: of `file`, else the task's own dataset. On the CPU.

    Raises UserError where there is neither.
    """
    if file is not None:
        return load_file(file, task, accept=accept)
    env = make_env(task)
    try:
        return load_dataset(env, task.id, accept=accept)
    finally:
        env.close()


def _load(config: ProcoConfig, env: gym.Env | None, task: Task, file: str | Path | None) -> Transitions:
    if env is not None:
        return load_dataset(env, task.id, file, accept=config.accept)
    assert file is not None
    return load_file(file, task, accept=config.accept)


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
    np.random.seed(config.seed)  # noqa: NPY002 (what DSRL draws from)
    return Transitions.from_arrays(base.pre_process_data(data.arrays(), *given, config.density, **bins))


def _fingerprint(data: Transitions) -> str:
    digest = hashlib.sha256()
    for tensor in (data.observations, data.actions, data.rewards, data.costs, data.terminals, data.last):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


# ---- the cost function -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A cost function with its text and what messages call it."""

    cost: CostFunction
    text: str
    name: str


def cost_function(file: str | Path | None, prepared: Prepared, config: ProcoConfig) -> Rule:
    """The cost function in `file`, or the library's for the task, held against the recorded labels.

    A file runs here only after it passed the sandbox. Raises UserError for one that cannot be meant (see data/labels.py
    for the findings; `--accept` overrules).
    """
    task = prepared.task
    path = Path(file) if file is not None else task.cost_path
    if file is not None:
        require_regular(path, "--cost_function")
        cost, trial = load_tried(path, task, prepared.data.next_observations.cpu())
        print(f"Sandbox: {trial.enforcement.report()}")
    else:
        cost = load_cost_function(path, task)
    labels, known = cost(prepared.data.next_observations), prepared.unsafe
    share, on_known = float(labels.mean()), cost(known.next_observations)
    found = float(on_known.mean()) if len(known) else float("nan")
    recorded = torch.cat([prepared.data.costs, known.costs])
    # A shift by a row shows only where episodes are whole.
    last = None if config.safe_only else torch.cat([prepared.data.last, torch.ones_like(known.last)])
    settle(label_findings(torch.cat([labels, on_known]), recorded, str(path), last=last), require_names(config.accept))
    checked = (
        f"finds {found:.1%} of {len(known)} unsafe transitions kept aside" if len(known) else "nothing to check on"
    )
    print(f"Cost function {path.name}: {checked}, calls {share:.1%} of the training data unsafe")
    return Rule(cost, cost.source, path.name)


def recorded_only(data: Transitions) -> FeasibilityData:
    """What the feasibility critic sees without PROCO: recorded transitions, the simulator's own labels, no model."""
    settings = SourceSettings(relabel=False, model_share=0.0)
    return FeasibilityData(data, None, None, settings, max_action=1.0)


# ---- the dynamics model ----------------------------------------------------------------------------------------------


def reads_of(config: ProcoConfig, prepared: Prepared, rule: Rule) -> Reads | None:
    """What the feasibility critic reads beside the observation, as `config` says."""
    if config.reads != "margins":
        return None
    reads = Reads.fitted(rule.cost, prepared.data.observations)
    if reads is None:
        print(f"Cost function {rule.name} has no margins (it counts or averages truths): the critic reads none")
    return reads


def danger_of(config: ProcoConfig, prepared: Prepared, rule: Rule) -> Danger:
    """What reads danger from states, as `config` says."""
    wanted = config.graded, config.label == "margin" and SourceSettings.of(config).model_share > 0
    danger = Danger.fitted(
        rule.cost, prepared.data.observations, graded=wanted[0], margins=wanted[1], caution=config.caution
    )
    if (danger.graded, danger.margins) != wanted:
        print(f"Cost function {rule.name} has no margins (it counts or averages truths): its labels alone are used")
    return danger


def dynamics_model(config: ProcoConfig, prepared: Prepared, rule: Rule, danger: Danger, file: Path) -> Dynamics:
    """The model given by `--dynamics`, else the one at `file` if it is of these data and settings, else a new one,
    written to `file`."""
    data = prepared.data
    widths = data.observations.shape[1] + danger.added, data.actions.shape[1]
    key = _dynamics_key(config, prepared, rule, danger)
    if config.dynamics or file.exists():
        path = Path(config.dynamics) if config.dynamics else file
        model, about = Dynamics.load(path, str(data.observations.device))
        if config.dynamics or about.get("key") == key:
            if (model.shape["obs_dim"], model.shape["act_dim"]) != widths:
                raise UserError(
                    f"{path}: a model of another task or --label (sizes {model.shape}, data and margins {widths})"
                )
            if danger.margins and about.get("margins") not in (None, rule.cost.sha256):
                raise UserError(f"{path}: its margins are those of another --cost_function than {rule.name}")
            if config.dynamics and asks_the_model(config):
                model.save(file, **about)  # what the trained policy asks goes with it
            danger.serve(model)
            if config.fast:
                speed_up([model])
            return model
    model, errors = fit_dynamics(config, data, danger)
    save_dynamics(model, file, config, rule, danger, errors, key=key)
    return model


def asks_the_model(config: ProcoConfig) -> bool:
    """Whether a run's way back asks its dynamics model where no action passes."""
    asked = config.proco and config.recover is not None and config.recover_by == "model"
    return asked and SourceSettings.of(config).model_share > 0


def save_dynamics(
    model: Dynamics, file: Path, config: ProcoConfig, rule: Rule, danger: Danger, errors: list[float], **more: str
) -> None:
    """Write a fitted model with what it was fitted to."""
    margins = rule.cost.sha256 if danger.margins else None
    model.save(file, task=config.task, seed=config.seed, holdout_mse=errors, margins=margins, **more)


def _dynamics_key(config: ProcoConfig, prepared: Prepared, rule: Rule, danger: Danger) -> str:
    """What the model depends on: another model of the same key would be the same."""
    names = ("seed", "dynamics_hidden", "members", "elites", "dynamics_epochs", "dynamics_batch", "dynamics_lr")
    values = [getattr(config, n) for n in (*names, "dynamics_patience")]
    values += ["robust"] if config.dynamics_loss == "robust" else []
    values += ["slopes"] if config.dynamics_margins == "slopes" else []
    margins = f" margins and slopes {rule.cost.sha256}" if danger.margins else ""
    return f"{prepared.fingerprint} {values}{margins}"


def fit_dynamics(config: ProcoConfig, data: Transitions, danger: Danger) -> tuple[Dynamics, list[float]]:
    """A model fitted to `data` and their margins as `config` says, and each member's held-out error."""
    recordings = data
    data = dataclasses.replace(
        data, observations=danger.state(data.observations), next_observations=danger.state(data.next_observations)
    )
    with drawing_from(torch.Generator().manual_seed(derived_seed(config.seed, "dynamics"))):
        model = Dynamics(
            data.observations.shape[1],
            data.actions.shape[1],
            config.dynamics_hidden,
            config.members,
            config.elites,
            margins=danger.added,
            slopes=len(danger.changing) if danger.changing is not None else 0,
            chain=config.dynamics_margins == "slopes" and danger.margins,
        ).to(data.observations.device)
    if config.fast:
        speed_up([model])
    if danger.margins:
        assert danger.spread is not None
        model.spread.copy_(danger.spread)
        if danger.changing is not None and len(danger.changing):
            model.changing.copy_(danger.changing)
        danger.serve(model)
    report = fit(
        model,
        data,
        epochs=config.dynamics_epochs,
        patience=config.dynamics_patience,
        batch_size=config.dynamics_batch,
        learning_rate=config.dynamics_lr,
        seed=config.seed,
        robust=config.dynamics_loss == "robust",
    )
    print(
        f"Dynamics model: {report.epochs} epochs, held-out error of the elites {report.elite_mse:.4f} "
        "(mean squared, in deviations of the change per step)"
    )
    _say_what_it_foresees(model, recordings.index(report.held), danger, config.rollout_length)
    return model, report.holdout_mse


def _say_what_it_foresees(model: Dynamics, held: Transitions, danger: Danger, horizon: int) -> None:
    """Print how good the model is at what the cost function reads, on held-out rows; warn where it is not."""
    for steps in sorted({1, horizon}):
        try:
            rows = errors(model, held, steps, danger)
            seen = foresight(model, held, danger, steps)
        except UserError:
            continue  # no run of the held-out data is that long
        print(f"  held out, {seen}")
        read = [r for r in rows if r["steps"] == steps and r["quantity"].startswith("margin") == danger.margins]
        for row in read:
            if row["quantity"] == "observation":
                continue
            worse = row["model"] >= row["still"]
            print(
                f"  held out, {row['quantity']} after {steps}: error {row['model']:.4g}, standing still "
                f"{row['still']:.4g}{'. WARNING: the model is worse than standing still' if worse else ''}"
            )
