"""The loop: it owns cadence, files, logging and random states. One step per update, data on the device."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .algorithms import Agent, build_agent
from .config import ProcoConfig
from .costs import load_cost_function
from .data.load import load_dataset
from .data.split import safe_only
from .data.transitions import Transitions
from .dynamics import Dynamics, fit
from .errors import UserError, first_line
from .evaluate import evaluate, make_env, summary
from .feasibility_data import FeasibilityData
from .run_folder import RunFolder
from .tasks import Task, load_task

EVAL_SEED = 10_000  # evaluation episodes are the same for every run, algorithm and training seed


def train(config: ProcoConfig, folder: RunFolder, resume: bool = False) -> None:
    """Train as `config` says and write everything to `folder`; with `resume`, go on from its checkpoint.

    Stops cleanly after the update under way on Ctrl-C or SIGTERM, with a checkpoint (KeyboardInterrupt is raised).
    Raises UserError for whatever the user can mend.
    """
    device = resolve_device(config.device)
    torch.set_num_threads(config.threads)
    seed_everything(config.seed)
    task = load_task(config.task)
    env = make_env(task)
    act_dim, max_action = env.action_space.shape[0], float(env.action_space.high[0])  # type: ignore[index,attr-defined]
    config.episode_len = config.episode_len or (env.spec.max_episode_steps if env.spec else None)
    data, unsafe = prepare_data(config, env, task)
    data = data.to(device)
    agent = build_agent(config, task.obs_dim, act_dim, max_action, device)
    saved = folder.load(config.algo, device) if resume and folder.checkpoint.exists() else None
    source = None
    if config.proco:
        source = proco_source(config, task, data, unsafe, max_action, folder)
        agent.model.feasibility_batch = source.batch
        agent.model.standardise(data.observations)
    loop = Loop(config, folder, task, agent, data, source, device)
    if saved is not None:
        loop.load_state_dict(saved)
        folder.drop_after(loop.step)
    loop.run()


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


def prepare_data(config: ProcoConfig, env: gym.Env, task: Task) -> tuple[Transitions, Transitions]:
    """The training transitions and the unsafe ones kept aside (D_u), on the CPU."""
    data = _pre_process(config, env, task, load_dataset(env, task.id, config.dataset))
    if not config.safe_only:
        return data, data.keep(data.costs > 0)
    split = safe_only(data, config.keep_unsafe, config.seed)
    print(f"Safe-only data: {split.report()}")
    beside = Path(config.dataset or "").with_suffix(".unsafe.hdf5")
    if len(split.unsafe) == 0 and config.dataset and beside.is_file():  # both written by `data split`
        return split.safe, load_dataset(env, task.id, beside)
    return split.safe, split.unsafe


def _pre_process(config: ProcoConfig, env: gym.Env, task: Task, data: Transitions) -> Transitions:
    """DSRL's own `pre_process_data`, where one of its flags is given."""
    given = (config.outliers_percent, config.noise_scale, config.inpaint_ranges, config.epsilon)
    if not any(given) and config.density == 1.0:
        return data
    base: Any = env.unwrapped
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
    path = Path(config.cost_function) if config.cost_function else task.cost_path
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


class Loop:
    """The updates of one run, from wherever it stands to `update_steps`."""

    def __init__(
        self,
        config: ProcoConfig,
        folder: RunFolder,
        task: Task,
        agent: Agent,
        data: Transitions,
        source: FeasibilityData | None,
        device: str,
        evaluating: bool = True,
    ) -> None:
        self.config, self.folder, self.task, self.agent = config, folder, task, agent
        self.data, self.source, self.device = data, source, device
        self.evaluating = evaluating
        self.step = 0
        self.rollout: dict[str, float] = {}
        self.sums: dict[str, Tensor] = {}
        self.summed = 0
        # Batches have a generator of their own: the same for every algorithm, with PROCO and without.
        self.batches = torch.Generator(device).manual_seed(config.seed)
        self.loggers = _fsrl_loggers(config, folder)

    def run(self) -> None:
        config = self.config
        name = config.algo if config.proco else f"{config.algo} (stock)"
        began, first = time.time(), self.step
        with (
            _stop_after_step() as stop,
            tqdm(total=config.update_steps, initial=self.step, desc=name, mininterval=_bar_interval()) as bar,
        ):
            while self.step < config.update_steps:
                if self.source is not None and self.step % config.rollout_every == 0:
                    self.rollout = self.source.refresh(self.agent.act)
                self._accumulate(self.agent.update(self.data.sample(config.batch_size, self.batches)))
                self.step += 1
                bar.update()
                last = self.step == config.update_steps
                if self.step % config.log_every == 0 or last:
                    row = self._log((self.step - first) / (time.time() - began))
                    bar.set_postfix({k.split("/")[1]: f"{v:.3g}" for k, v in row.items() if k in _SHOWN})
                if self.evaluating and (last or (config.eval_every and self.step % config.eval_every == 0)):
                    self._evaluate()
                if last or self.step % config.checkpoint_every == 0 or stop:
                    self.folder.save(self.state_dict())
                if stop:
                    raise KeyboardInterrupt

    def _accumulate(self, info: dict[str, Any]) -> None:
        for key, value in info.items():
            value = torch.as_tensor(value, dtype=torch.float32, device=self.device)
            self.sums[key] = self.sums[key] + value if key in self.sums else value
        self.summed += 1

    def _log(self, speed: float) -> dict[str, float]:
        """A row of metrics.csv: means over the updates since the last one, and the newest rollout."""
        means = (torch.stack(list(self.sums.values())) / self.summed).tolist()
        row = {**dict(zip(self.sums, means, strict=True)), **self.rollout}
        self.sums, self.summed = {}, 0
        self.folder.append("metrics.csv", [{"step": self.step, **row, "updates_per_second": round(speed, 2)}])
        for logger in self.loggers:
            logger.store(**row)
            logger.write(self.step, display=False)
        return row

    def _evaluate(self) -> None:
        config = self.config
        self.agent.model.eval()
        episodes = evaluate(
            self.agent.act,
            self.task,
            episodes=config.eval_episodes,
            seed=EVAL_SEED,
            cost_limit=config.cost_limit,
            episode_len=config.episode_len,
            device=self.device,
        )
        self.agent.model.train()
        self.folder.append_episodes("eval.csv", self.step, episodes)
        means = summary(episodes)
        tqdm.write(
            f"step {self.step}: normalised reward {means['normalized_reward']:.3f}, "
            f"normalised cost {means['normalized_cost']:.3f} ({len(episodes)} episodes)"
        )
        for logger in self.loggers:
            logger.store(tab="eval", Reward=means["return"], Cost=means["cost"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "algo": self.config.algo,
            "proco": self.config.proco,
            "step": self.step,
            "data": _fingerprint(self.data),
            "agent": self.agent.state_dict(),
            "source": self.source.state_dict() if self.source else None,
            "rollout": self.rollout,
            "sums": self.sums,
            "summed": self.summed,
            "random": {
                "batches": self.batches.get_state(),
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if self.device.startswith("cuda") else [],
                "numpy": np.random.get_state(),  # noqa: NPY002
                "python": random.getstate(),
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["data"] != _fingerprint(self.data):
            raise UserError(f"{self.folder.path}: the data are not those this run was started with (--dataset, --seed)")
        self.step, self.rollout = state["step"], state["rollout"]
        self.sums, self.summed = state["sums"], state["summed"]
        self.agent.load_state_dict(state["agent"])
        if self.source is not None:
            self.source.load_state_dict(state["source"])
        states = state["random"]
        self.batches.set_state(states["batches"].cpu())
        torch.set_rng_state(states["torch"].cpu())
        if states["cuda"]:
            torch.cuda.set_rng_state_all([s.cpu() for s in states["cuda"]])
        np.random.set_state(states["numpy"])  # noqa: NPY002
        random.setstate(states["python"])


def _bar_interval() -> float:
    """Redraw ten times a second on a terminal, every half minute into a log file."""
    return 0.1 if sys.stderr.isatty() else 30.0


_SHOWN = ("feasibility/infeasible", "rollout/violating", "loss/actor_loss")


def _fingerprint(data: Transitions) -> str:
    digest = hashlib.sha256()
    for tensor in (data.observations, data.actions, data.rewards):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _fsrl_loggers(config: ProcoConfig, folder: RunFolder) -> list[Any]:
    """FSRL's loggers, those asked for."""
    loggers: list[Any] = []
    try:
        if config.tensorboard:
            from fsrl.utils import TensorboardLogger

            loggers.append(TensorboardLogger(str(folder.path), name="tensorboard"))
        if config.wandb:
            from fsrl.utils import WandbLogger

            name = "".join([config.prefix or "", config.name or folder.path.name, config.suffix or ""])
            loggers.append(WandbLogger(vars(config), config.project, config.group or config.task, name, None))
    except ImportError as error:
        raise UserError(f"--tensorboard/--wandb: {error}; pip install tensorboard wandb") from None
    return loggers


@contextmanager
def _stop_after_step() -> Iterator[list[int]]:
    """A list that fills on the first Ctrl-C or SIGTERM; a second one interrupts at once."""
    caught: list[int] = []
    previous = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def handler(number: int, _frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        for number in previous:
            signal.signal(number, handler)
    except ValueError:  # not the main thread: the caller handles signals
        previous = {}
    try:
        yield caught
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
