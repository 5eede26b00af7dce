"""What happens beside the updates: refresh the imagined data, log, evaluate, save."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..algorithms.agent import Agent, Info, Policy
from ..envs.vector import default_workers
from ..evaluation.episodes import evaluate, summary
from ..evaluation.heldout import HeldOut, measure
from ..proco.feasibility import out_of_range
from ..proco.recovery import recovering
from ..proco.source import FeasibilityData
from ..proco.ways import Ways
from .config import ProcoConfig
from .fit import Callback, Fit, require_finite
from .folder import RunFolder
from .prepare import Prepared

EVAL_SEED = 10_000  # evaluation episodes are the same for every run, algorithm and training seed


class Refresh(Callback):
    """New branched rollouts of the present policy, every `every` updates (PROCO C.3)."""

    name = "refresh"

    def __init__(self, source: FeasibilityData, every: int) -> None:
        self.source, self.every = source, every
        self.figures: dict[str, float] = {}

    def before(self, fit: Fit) -> None:
        if fit.step % self.every == 0:
            generator = fit.streams["imagination"]
            fit.agent.train(False)
            self.figures = self.source.refresh(lambda states: fit.agent.imagine(states, generator), generator)
            fit.agent.train(True)

    def state_dict(self) -> dict[str, Any]:
        return {"source": self.source.state_dict(), "figures": self.figures}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.source.load_state_dict(state["source"])
        self.figures = dict(state["figures"])


class Log(Callback):
    """A row of metrics.csv every `every` updates: means over the updates since the last one, and the newest rollout.

    Loggers of FSRL get the same row. Losses that are not finite stop the run. Where the feasibility critic has left the
    values that `h_max` allows, a line says so, once; None: it is not asked.
    """

    name = "log"
    SHOWN = ("feasibility/infeasible", "rollout/violating", "loss/actor_loss")

    def __init__(
        self,
        folder: RunFolder,
        every: int,
        loggers: Sequence[Any] = (),
        refresh: Refresh | None = None,
        h_max: float | None = None,
    ) -> None:
        self.folder, self.every, self.loggers, self.refresh = folder, every, loggers, refresh
        self.h_max = h_max
        self.sums: dict[str, Tensor | float] = {}  # tensors where the update made them, on the device
        self.summed = 0
        self._began: tuple[float, int] | None = None

    def before(self, fit: Fit) -> None:
        self._began = self._began or (time.monotonic(), fit.step)

    def after(self, fit: Fit, info: Info) -> None:
        for key, value in info.items():
            value = value.detach().float() if isinstance(value, Tensor) else float(value)
            self.sums[key] = self.sums[key] + value if key in self.sums else value
        self.summed += 1
        if fit.step % self.every and not fit.last:
            return
        means: dict[str, float] = {}
        for on_device in (True, False):  # tensors of two devices can't be stacked
            group = {k: torch.as_tensor(v) for k, v in self.sums.items() if isinstance(v, Tensor) == on_device}
            require_finite(group, fit.step)
            if group:
                stacked = torch.stack([value.reshape(()) for value in group.values()])
                means |= zip(group, (stacked / self.summed).tolist(), strict=True)
        row = {**{name: means[name] for name in self.sums}, **(self.refresh.figures if self.refresh else {})}
        self.sums, self.summed = {}, 0
        assert self._began is not None
        began, first = self._began
        speed = (fit.step - first) / max(time.monotonic() - began, 1e-9)
        self.folder.append("metrics.csv", [{"step": fit.step, **row, "updates_per_second": round(speed, 2)}])
        for logger in self.loggers:
            logger.store(**row)
            logger.write(fit.step, display=False)
        if self.h_max is not None and "feasibility/q" in row and out_of_range(row, self.h_max):
            tqdm.write(
                f"step {fit.step}: WARNING: the feasibility critic diverges: loss {row['loss/feasibility_q']:.3g}, "
                f"mean Q {row['feasibility/q']:.3g}, where h allows -1 to {2 * self.h_max:g}. What it calls feasible "
                "means nothing; look at the data (osrl-proco data check) or lower the learning rates"
            )
            self.h_max = None
        fit.postfix = {k.split("/")[1]: f"{v:.3g}" for k, v in row.items() if k in self.SHOWN}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "summed": self.summed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sums, self.summed = dict(state["sums"]), int(state["summed"])


class Evaluate(Callback):
    """Rows of eval.csv (an episode each), every `every` updates (0: only at the end).

    Where the simulator is slow, as many processes step it as the run has threads; elsewhere it is done before they
    would have started.
    """

    name = "evaluate"

    def __init__(
        self,
        config: ProcoConfig,
        folder: RunFolder,
        prepared: Prepared,
        device: str,
        loggers: Sequence[Any],
        ways: Callable[[], Ways] | None,
    ) -> None:
        self.config, self.folder, self.prepared, self.device, self.loggers = config, folder, prepared, device, loggers
        self.ways = ways

    def after(self, fit: Fit, info: Info) -> None:
        every = self.config.eval_every
        if not (fit.last or (every and fit.step % every == 0)):
            return
        fit.agent.train(False)
        self._evaluate(fit.agent, fit.step)
        fit.agent.train(True)

    def _evaluate(self, agent: Agent, step: int) -> None:
        task, scale = self.prepared.task, self.prepared.scale

        def policy() -> Policy:
            ways = self.ways() if self.ways else None
            return recovering(agent.policy(), agent.feasibility, self.config, self.prepared.max_action, ways)

        runs = evaluate(
            scale.policy(policy) if scale else policy,
            task,
            episodes=self.config.eval_episodes,
            seed=EVAL_SEED,
            cost_limit=self.config.report_cost_limit,
            episode_len=self.prepared.episode_len,
            device=self.device,
            workers=min(self.config.threads, default_workers(task)),
        )
        self.folder.append("eval.csv", [{"step": step, **dataclasses.asdict(run)} for run in runs])
        means = summary(runs)
        tqdm.write(
            f"step {step}: normalised reward {means['normalized_reward']:.3f}, "
            f"normalised cost {means['normalized_cost']:.3f} ({len(runs)} episodes)"
        )
        for logger in self.loggers:
            logger.store(tab="eval", Reward=means["return"], Cost=means["cost"])
            logger.write(step, display=False)


class MeasureHeldOut(Evaluate):
    """Rows of heldout.csv, where no episode can be run."""

    def __init__(self, config: ProcoConfig, folder: RunFolder, heldout: HeldOut) -> None:
        self.config, self.folder, self.heldout = config, folder, heldout

    def _evaluate(self, agent: Agent, step: int) -> None:
        figures = measure(agent, self.heldout)
        self.folder.append("heldout.csv", [{"step": step, **figures}])
        tqdm.write(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()) + " (held out)")


class Save(Callback):
    """A checkpoint every `every` updates, at the end, and when a signal asks the run to stop. Only finite weights."""

    name = "save"

    def __init__(self, write: Callable[[dict[str, Any]], None], every: int) -> None:
        self.write, self.every = write, every

    def after(self, fit: Fit, info: Info) -> None:
        if not (fit.last or fit.stopping or fit.step % self.every == 0):
            return
        state = fit.state_dict()
        require_finite(dict(_tensors(state["agent"], "")), fit.step)
        self.write(state)


def _tensors(state: Mapping[Any, Any], prefix: str) -> list[tuple[str, Tensor]]:
    found: list[tuple[str, Tensor]] = []
    for key, value in state.items():
        if isinstance(value, Mapping):
            found += _tensors(value, f"{prefix}{key}.")
        elif isinstance(value, Tensor) and value.is_floating_point():
            found.append((f"{prefix}{key}", value))
    return found
