"""A trained policy read back from a run's folder."""

from __future__ import annotations

from dataclasses import dataclass

from ..algorithms import Agent, build_agent
from ..tasks.task import Task, load_task
from .config import ProcoConfig
from .folder import RunFolder
from .prepare import resolve_device
from .settings import parse


@dataclass(frozen=True)
class Policy:
    """An agent with its trained weights, and the run it comes from."""

    agent: Agent
    config: ProcoConfig
    task: Task
    step: int
    device: str


def load_policy(folder: RunFolder, device: str = "auto", algo: str | None = None) -> Policy:
    """The policy of a run's last checkpoint.

    Raises UserError if the folder holds no run, or the checkpoint is missing, damaged or not of `algo` (when given).
    """
    settings = folder.read_config()
    config = parse([], base=settings)
    device = resolve_device(device)
    state = folder.load(algo or config.algo, device)
    task = load_task(config.task)
    config.episode_len = state["episode_len"]
    agent = build_agent(config, task.obs_dim, state["act_dim"], state["max_action"], device)
    agent.load_state_dict(state["agent"])
    agent.model.eval()
    return Policy(agent, config, task, state["step"], device)
