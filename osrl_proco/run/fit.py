"""The loop: it owns cadence, files, logging and random states. One step per update, data on the device."""

from __future__ import annotations

import hashlib
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..algorithms import Agent, build_agent
from ..core.errors import UserError
from ..data.statistics import episodes
from ..data.transitions import Transitions
from ..evaluation.episodes import evaluate, summary
from ..evaluation.heldout import HeldOut, hold_out, measure
from ..proco.source import FeasibilityData
from ..tasks.task import Task, load_task
from .config import ProcoConfig
from .folder import RunFolder
from .prepare import open_simulator, prepare_data, proco_source, resolve_device, seed_everything

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
    env = open_simulator(config, task)
    data, unsafe = prepare_data(config, env, task)
    heldout, max_action = None, task.max_action
    if env is None:
        config.episode_len = config.episode_len or int(episodes(data)[2].max())
        data, heldout = hold_out(data, unsafe, config.seed)
    else:
        config.episode_len = config.episode_len or (env.spec.max_episode_steps if env.spec else None)
        max_action = float(env.action_space.high[0])  # type: ignore[attr-defined]
    data = data.to(device)
    agent = build_agent(config, task.obs_dim, data.actions.shape[1], max_action, device)
    saved = folder.load(config.algo, device) if resume and folder.checkpoint.exists() else None
    source = None
    if config.proco:
        source = proco_source(config, task, data, unsafe, max_action, folder)
        agent.model.feasibility_batch = source.batch
        agent.model.standardise(data.observations)
    loop = Loop(config, folder, task, agent, data, source, device, heldout=heldout.to(device) if heldout else None)
    if saved is not None:
        loop.load_state_dict(saved)
        folder.drop_after(loop.step)
    loop.run()


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
        heldout: HeldOut | None = None,
    ) -> None:
        self.config, self.folder, self.task, self.agent = config, folder, task, agent
        self.data, self.source, self.device = data, source, device
        self.evaluating, self.heldout = evaluating, heldout
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
        if self.heldout is not None:
            figures = measure(self.agent, self.heldout)
            self.agent.model.train()
            self.folder.append("heldout.csv", [{"step": self.step, **figures}])
            tqdm.write(f"step {self.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()) + " (held out)")
            return
        runs = evaluate(
            self.agent.act,
            self.task,
            episodes=config.eval_episodes,
            seed=EVAL_SEED,
            cost_limit=config.cost_limit,
            episode_len=config.episode_len,
            device=self.device,
        )
        self.agent.model.train()
        self.folder.append_episodes("eval.csv", self.step, runs)
        means = summary(runs)
        tqdm.write(
            f"step {self.step}: normalised reward {means['normalized_reward']:.3f}, "
            f"normalised cost {means['normalized_cost']:.3f} ({len(runs)} episodes)"
        )
        for logger in self.loggers:
            logger.store(tab="eval", Reward=means["return"], Cost=means["cost"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "algo": self.config.algo,
            "proco": self.config.proco,
            "step": self.step,
            "act_dim": self.data.actions.shape[1],
            "max_action": self.agent.model.max_action,
            "episode_len": self.config.episode_len,
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
        digest.update(tensor.cpu().contiguous().numpy().data)
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
