"""How well a feasibility critic knows the feasible set, where the embedded tasks give the truth."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import trange

from ..envs import EmbeddedTask
from ..proco.feasibility import FeasibilityCritic, FeasibilityLearner
from ..proco.source import FeasibilityData

LEGEND = "Green: the critic calls it feasible. Red: lost. Black line: the true boundary. Dots: training states."


@dataclass(frozen=True)
class Agreement:
    """A critic against the truth on states that are not unsafe yet. Shares; `infeasible` counts the lost states."""

    agree: float
    missed: float  # infeasible states called feasible
    false_alarms: float  # feasible states called infeasible
    states: int
    infeasible: int

    def __str__(self) -> str:
        return (
            f"agrees on {self.agree:.1%} of {self.states} states; calls {self.missed:.1%} of the {self.infeasible} "
            f"lost ones feasible, {self.false_alarms:.1%} of the feasible ones lost"
        )


def agreement(critic: FeasibilityCritic, env: EmbeddedTask, dataset_seed: int) -> Agreement:
    """Hold V <= 0 against `env.is_feasible` on states the same drivers visit in a dataset of another seed.

    Those are states in the data's support, none of which the critic was trained on. States that are unsafe already
    are left out: calling them lost is no merit.
    """
    fresh = deepcopy(env)
    fresh.dataset_seed = dataset_seed
    states = fresh.get_dataset()["observations"]
    states = states[~env.is_unsafe(states)]
    device = critic.obs_mean.device
    with torch.no_grad():
        says = (critic.value(torch.as_tensor(states, device=device)) <= 0).cpu().numpy()
    truth = env.is_feasible(states)
    return Agreement(
        agree=float((says == truth).mean()),
        missed=float(says[~truth].mean()),
        false_alarms=float((~says[truth]).mean()),
        states=len(states),
        infeasible=int((~truth).sum()),
    )


def fit_critic(
    source: FeasibilityData, learner: FeasibilityLearner, observations: Tensor, steps: int, batch_size: int, seed: int
) -> None:
    """Train a feasibility critic alone, without a policy, on what `source` gives."""
    learner.standardise(observations)
    generator = torch.Generator(observations.device).manual_seed(seed)
    for _ in trange(steps, desc="Critic", leave=False):
        learner.update(source.batch(batch_size, generator))


def picture(env: EmbeddedTask, critics: dict[str, FeasibilityCritic], states: np.ndarray, path: Path) -> None:
    """Each critic's feasible set over the task's plane, the true boundary, and the training states (PNG)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(critics), figsize=(5.2 * len(critics), 4.2), sharey=True, layout="constrained")
    for axis, (title, critic) in zip(np.atleast_1d(axes), critics.items(), strict=True):
        draw(axis, env, critic, states)
        axis.set_title(title)
    for axis in np.atleast_1d(axes)[1:]:
        axis.set_ylabel("")
    figure.suptitle(LEGEND, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw(axis: Any, env: EmbeddedTask, critic: FeasibilityCritic, states: np.ndarray) -> None:
    """One critic's feasible set over the task's plane, the true boundary and recorded states on a Matplotlib axis."""
    plane = env.plane()
    grid = plane.states.reshape(-1, plane.states.shape[-1])
    truth = env.is_feasible(grid).reshape(plane.states.shape[:2])
    shown = plane.project(states[:: max(1, len(states) // 4000)])
    with torch.no_grad():
        value = critic.value(torch.as_tensor(grid, device=critic.obs_mean.device)).cpu().numpy().reshape(truth.shape)
    axis.contourf(plane.x, plane.y, value <= 0, levels=[-0.5, 0.5, 1.5], colors=["#f2c6c0", "#cfe8cf"])
    axis.contour(plane.x, plane.y, truth, levels=[0.5], colors="black", linewidths=2)
    axis.scatter(shown[:, 0], shown[:, 1], s=1, color="#3060a0", alpha=0.35, linewidths=0)
    axis.set(xlabel=plane.x_label, ylabel=plane.y_label)
    axis.set(xlim=(plane.x[0], plane.x[-1]), ylim=(plane.y[0], plane.y[-1]))
