"""Pictures of what a run has learned, and the numbers in them as CSV files beside."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.errors import UserError
from ..core.files import make_folder, replacing, write_text
from ..costs.sandbox.checked import load_cost_function
from ..data.transitions import Transitions
from ..envs import EmbeddedTask
from ..envs.make import make_env
from ..evaluation import before_violation as before
from ..evaluation import feasible_set
from ..evaluation.feasible_types import Types, types
from ..evaluation.horizon import errors
from ..evaluation.panels import Panel, map_panels, rows_of_map, save_panels, types_panel, v_panel
from ..evaluation.teleport import has_map, position_map
from ..proco.danger import Danger
from ..proco.dynamics import Dynamics
from ..proco.feasibility import FeasibilityCritic
from .folder import RunFolder
from .policy import Trained, critic_of, load_policy
from .prepare import recorded

STEPS = {"embedded": 30, "bullet": 50}  # before a violation; others:
OTHER_STEPS = 100


def feasibility(folder: RunFolder, out: Path, oracle: RunFolder | None = None, seed: int = 0) -> list[str]:
    """Draw what the critic of a run calls feasible into `out`; what was found, in words.

    oracle: a run trained on all data, against whose critic the signs are held; an embedded task has the truth.

    Raises UserError for a run without a feasibility critic, an oracle of another task, and where there is no simulator
    and no dataset.
    """
    trained = load_policy(folder, "cpu")
    critic = _critic(trained, folder)
    data = recorded(trained.task, _dataset(folder), trained.config.accept)
    env = make_env(trained.task)
    base = env.unwrapped
    panels: list[Panel] = []
    said: list[str] = []
    if isinstance(base, EmbeddedTask):
        safe = data.observations.numpy()[~base.is_unsafe(data.observations.numpy())]
        panels.append(("feasible set", lambda axis: feasible_set.draw(axis, base, critic, safe)))
    elif has_map(trained.task):
        grid = position_map(trained.task, env, seed)
        values = {title: _values(critic, states) for title, states in grid.states.items()}
        panels += map_panels(grid, values)
        _table(out.with_suffix(".map.csv"), rows_of_map(grid, values))
    horizon = STEPS.get(trained.task.family, OTHER_STEPS)
    found = before.before_violation(critic, data, horizon)
    if len(found.episodes):
        panels.append(("V before a violation", lambda axis: v_panel(axis, found)))
        _table(out.with_suffix(".before.csv"), found.rows())
        said.append(_warning(found))
    compared = _types(trained, critic, data, base, oracle)
    if compared is not None:
        name, result = compared
        panels.append((f"against {name}", lambda axis: types_panel(axis, result)))
        _table(out.with_suffix(".types.csv"), [{"against": name, **vars(result)}])
        said.append(f"against {name}: {result}")
    env.close()
    _save(panels, out, f"{trained.config.algo} on {trained.task.name}, step {trained.step}")
    return said


def _types(
    trained: Trained, critic: FeasibilityCritic, data: Transitions, base: Any, oracle: RunFolder | None
) -> tuple[str, Types] | None:
    """The three types on recorded states that are not unsafe yet; None where there is nothing to hold V against."""
    states = data.next_observations[data.costs <= 0]
    if oracle is not None:
        other = load_policy(oracle, "cpu")
        if other.task.id != trained.task.id:
            raise UserError(f"--oracle {oracle.path}: a run on {other.task.id}, not on {trained.task.id}")
        lost = before.values(_critic(other, oracle), states) > 0
        return "the oracle", types(before.values(critic, states) > 0, lost)
    if isinstance(base, EmbeddedTask):
        states = states[torch.as_tensor(~base.is_unsafe(states.numpy()))]
        return "the truth", types(before.values(critic, states) > 0, ~base.is_feasible(states.numpy()))
    return None


def _warning(found: before.BeforeViolation) -> str:
    rows = found.rows()
    early = next((row["steps_to_violation"] for row in rows if row["called_lost"] >= 0.5), None)
    alarm = float((found.rest > 0).mean()) if len(found.rest) else float("nan")
    when = "never calls half of them lost" if early is None else f"calls half of them lost {early} steps before"
    return (
        f"{len(found.episodes)} episodes with a violation: V {when}; V > 0 in {alarm:.1%} of the other episodes' states"
    )


def dynamics(folder: RunFolder, out: Path, horizon: int) -> list[str]:
    """Draw the error of a run's dynamics model over the rollout horizon into `out`; what was found, in words.

    Raises UserError for a run without a model.
    """
    trained = load_policy(folder, "cpu")
    file = folder.dynamics if folder.dynamics.exists() else Path(trained.config.dynamics or folder.dynamics)
    model, _ = Dynamics.load(file)
    danger = None
    if folder.cost.exists():
        danger = Danger.of_model(load_cost_function(folder.cost, trained.task), model)
    rows = errors(model, recorded(trained.task, _dataset(folder), trained.config.accept), horizon, danger)
    names = list(dict.fromkeys(row["quantity"] for row in rows))

    def panel(name: str) -> Panel:
        own = [row for row in rows if row["quantity"] == name]
        unit = "root mean square, deviations of the data" if name == "observation" else "mean error of the margin"

        def draw(axis: Any) -> None:
            steps = [row["steps"] for row in own]
            axis.plot(steps, [row["model"] for row in own], "o-", color="#2f62b0", label="model")
            axis.plot(steps, [row["still"] for row in own], "s--", color="#888888", label="standing still")
            axis.set_xlabel("steps")
            axis.set_ylabel(unit)
            axis.set_ylim(bottom=0)
            axis.legend()

        return name, draw

    _table(out.with_suffix(".csv"), rows)
    _save([panel(name) for name in names[:4]], out, f"Dynamics model of {trained.task.name}")
    last = [row for row in rows if row["steps"] in (1, horizon)]
    return [
        f"after {row['steps']} steps, {row['quantity']}: model {row['model']:.4g}, standing still {row['still']:.4g}"
        for row in last
    ]


def _critic(trained: Trained, folder: RunFolder) -> FeasibilityCritic:
    critic = critic_of(trained.agent)
    if critic is None:
        raise UserError(f"{folder.path}: {trained.config.algo} (stock) has no feasibility critic; name a PROCO run")
    return critic


def _dataset(folder: RunFolder) -> str | None:
    try:
        return folder.facts()["data"]["file"]
    except (KeyError, TypeError):
        raise UserError(f"{folder.path / 'run.json'}: damaged; it must be what osrl-proco train wrote") from None


def _values(critic: FeasibilityCritic, states: np.ndarray) -> np.ndarray:
    flat = torch.as_tensor(states.reshape(-1, states.shape[-1]))
    return before.values(critic, flat).reshape(states.shape[:-1])


def _save(panels: Sequence[Panel], out: Path, title: str) -> None:
    if not panels:
        raise UserError("nothing to draw: no map for this task, and no violation in its data")
    make_folder(out.parent, "--out")
    with replacing(out) as partial:
        save_panels(panels, partial, title)


def _table(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    make_folder(file.parent, "--out")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, text.getvalue())
