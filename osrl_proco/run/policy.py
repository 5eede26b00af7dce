"""A trained policy read back from a run's folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ..algorithms.agent import Agent, Policy, Problem
from ..algorithms.bounds import ActionScale
from ..algorithms.registry import algorithm
from ..core.errors import UserError, first_line
from ..core.random import Streams, drawing_from
from ..costs import CostFunction
from ..costs.sandbox.checked import load_cost_function
from ..proco.danger import Danger
from ..proco.drift import Drift
from ..proco.dynamics import Dynamics
from ..proco.feasibility import FeasibilityCritic, FeasibilityLearner
from ..proco.lookahead import LookAhead
from ..proco.reads import Reads
from ..proco.recovery import recovering
from ..proco.ways import Ways
from ..tasks.task import Task, load_task
from .config import ProcoConfig
from .folder import RunFolder
from .prepare import asks_the_model, resolve_device
from .settings import parse
from .train import MISFIT


@dataclass(frozen=True)
class Ahead:
    """How far a policy looks in the dynamics model (proco/ways.py)."""

    steps: int
    dynamics: Dynamics
    danger: Danger

    def ways(self, drift: Drift | None = None) -> Ways:
        """Of one policy's episodes."""
        return Ways(self.dynamics, self.danger, self.steps, drift)


@dataclass(frozen=True)
class Trained:
    """An agent with its trained weights, and the run it comes from. `ahead`: where its policy looks ahead
    (proco/lookahead.py); `back`: where it asks the model for its way back (proco/recovery.py)."""

    agent: Agent
    config: ProcoConfig
    task: Task
    step: int
    episode_len: int
    device: str
    max_action: float
    scale: ActionScale | None = None
    ahead: Ahead | None = None
    back: Ahead | None = None

    def policy(self) -> Policy:
        """What acts, in the task's own action bounds."""
        make = self.scale.policy(self._inner) if self.scale else self._inner
        return make()

    def _inner(self) -> Policy:
        ways = self.back.ways() if self.back else None
        policy = recovering(self.agent.policy(), self.agent.feasibility, self.config, self.max_action, ways)
        if self.ahead is None:
            return policy
        return LookAhead(
            policy,
            self.ahead.dynamics,
            self.ahead.danger,
            self.ahead.ways(ways.drift if ways else None),
            max_action=self.max_action,
            device=self.device,
        )


def load_policy(
    folder: RunFolder,
    device: str = "auto",
    algo: str | None = None,
    cost_limit: float | None = None,
    lookahead: int = 0,
    dynamics: str | Path | None = None,
) -> Trained:
    """The policy of a run's last checkpoint.

    cost_limit: what policies that act by a limit are told at test time; by default what the run trained with.
    lookahead: steps that the policy looks ahead before it acts (0: none), in `dynamics`, by default the run's own.

    Raises UserError if the folder holds no run, or the checkpoint is missing, damaged or not of `algo` (when given).
    """
    config = parse([], base=folder.read_config())
    if cost_limit is not None:
        config = dataclasses.replace(config, cost_limit=cost_limit)
    device = resolve_device(device)
    state = folder.load(algorithm(algo).name if algo else config.algo, device)
    task = load_task(folder.task)
    streams = Streams(config.seed, device)
    try:
        reference = state["reference_returns"]
        problem = Problem(
            obs_dim=task.obs_dim,
            act_dim=int(state["act_dim"]),
            max_action=float(state["max_action"]),
            episode_len=int(state["episode_len"]),
            device=device,
            noise=streams["noise"],
            reference_returns=tuple(reference) if reference else None,
            reads=Reads.of(_cost(folder, task), task.obs_dim, state["reads"]) if state.get("reads") else None,
        )
        with drawing_from(streams["networks"]):
            agent = algorithm(config.algo).create(config, problem)
        agent.load_state_dict(state["agent"])
        step, bounds = int(state["step"]), state["action_bounds"]
        scale = ActionScale(*(tuple(map(float, bound)) for bound in bounds)) if bounds else None
    except MISFIT as error:
        raise UserError(
            f"{folder.checkpoint}: does not fit the settings in config.yaml ({first_line(error)})"
        ) from None
    agent.train(False)
    if config.fast:
        agent.speed_up()
    asks = asks_the_model(config)
    ahead = back = None
    if lookahead or asks:
        file = dynamics or (config.dynamics if not folder.dynamics.is_file() else None)
        model, danger = _model(folder, task, problem, file, "--lookahead" if lookahead else "--recover_by model")
        ahead = Ahead(lookahead, model, danger) if lookahead else None
        back = Ahead(config.hold, model, danger) if asks else None
    return Trained(agent, config, task, step, problem.episode_len, device, problem.max_action, scale, ahead, back)


def _model(
    folder: RunFolder, task: Task, problem: Problem, file: str | Path | None, asked: str
) -> tuple[Dynamics, Danger]:
    path = Path(file) if file is not None else folder.dynamics
    if file is None and not path.is_file():
        raise UserError(
            f"{asked}: {folder.path} has no dynamics model; fit one: osrl-proco dynamics fit --task {task.id} "
            "--out FILE, and give it: --dynamics FILE"
        )
    dynamics, _ = Dynamics.load(path, problem.device)
    danger = Danger.of_model(_cost(folder, task), dynamics)
    if (danger.obs_dim, dynamics.shape["act_dim"]) != (problem.obs_dim, problem.act_dim):
        raise UserError(f"{path}: a model of another task (sizes {dynamics.shape}, {task.id} has {problem.obs_dim})")
    return dynamics, danger


def _cost(folder: RunFolder, task: Task) -> CostFunction:
    return load_cost_function(folder.cost if folder.cost.is_file() else task.cost_path, task)


def critic_of(agent: Agent) -> FeasibilityCritic | None:
    """The feasibility critic of an agent: PROCO's, or a stock algorithm's own (FISOR); None where there is none."""
    learner = agent.feasibility or getattr(agent, "cost", None)
    return learner.critic if isinstance(learner, FeasibilityLearner) else None
