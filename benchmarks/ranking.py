"""Does a dynamics model, and the critic that learns from it, know which action is the better one?

    python benchmarks/ranking.py --run RUN --dynamics PLAIN.pt ROBUST.pt --out benchmarks/results/ranking.json

States within 15 cm of danger (by the cost function's margins, not in it) of a navigation twin's own episodes, at most
10 of each. In each the 16 actions that the way back tries are held for 15 steps, in the simulator (in a fork of this
process) and in every model. Of what is reached, `spread` is its deviation over the actions, in the simulator and in
the model, and `correlation` that of the model's with the simulator's, both less their mean over the actions of a
state; of the largest margin (m; cut at one spread, as the model holds it, elites' mean), of the speed ahead (m/s) and
of half the heading's sine. `knows`: how well a model tells the actions that meet danger from those that do not, by the
most danger that any elite sees on the way: the share of pairs of one each that it puts in order, of all (`overall`) and
of those of one state (`within`); .5 is a guess. Of the run's critic, by its Q, likewise, and of the actions that meet
no danger, and of those that do, the share that it lets pass (a Q of at most the run's --recover). `--table FILE` prints
a file's results.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from kept import keep
from torch import Tensor
from tqdm.auto import tqdm

from osrl_proco.costs.language.robustness import robustness
from osrl_proco.costs.sandbox.checked import load_cost_function
from osrl_proco.envs.make import make_env
from osrl_proco.proco.danger import Danger
from osrl_proco.proco.dynamics import Dynamics
from osrl_proco.proco.recovery import FAR, all_over
from osrl_proco.run.folder import RunFolder
from osrl_proco.run.policy import Trained, load_policy

STEPS = 15
NEAR = 0.15  # m
EVERY, MOST = 25, 10  # steps between two states of an episode, and how many it gives
ENTRIES = {"speed": ("velocimeter", 0), "heading": ("magnetometer", 0)}


class Asked(NamedTuple):
    """States (N, obs_dim), actions (16, act_dim), and the observations (N, 16, 15, obs_dim) that they lead to."""

    states: Tensor
    actions: Tensor
    reached: Tensor


def held(env: gym.Env, action: np.ndarray, size: int) -> np.ndarray:
    """The observations (15, size) of an action held in a copy of the simulator as it is now."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with os.fdopen(write, "wb") as out:
            for _ in range(STEPS):
                out.write(np.float32(env.step(action)[0]).tobytes())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as source:
        found = np.frombuffer(source.read(), np.float32).reshape(-1, size)
    os.waitpid(child, 0)
    return found


def asked(trained: Trained, count: int, first_seed: int) -> Asked:
    env = make_env(trained.task)
    cost = load_cost_function(trained.task.cost_path, trained.task)
    actions = all_over(FAR, env.action_space.shape[0], trained.max_action)  # type: ignore[index]
    states: list[Tensor] = []
    reached: list[np.ndarray] = []
    with tqdm(total=count, desc="States") as bar:
        for seen in _near(trained, env, cost, first_seed):
            states.append(seen)
            reached.append(np.stack([held(env, action, len(seen)) for action in actions.numpy()]))
            bar.update()
            if len(states) == count:
                break
    return Asked(torch.stack(states), actions, torch.from_numpy(np.stack(reached)))


def _near(trained: Trained, env: gym.Env, cost: Any, seed: int) -> Iterator[Tensor]:
    """The states asked for, one episode after the other; `env` is in each when it is given."""
    while True:
        policy = trained.policy()
        policy.reset([0], [seed])
        seen = torch.as_tensor(env.reset(seed=seed)[0], dtype=torch.float32)
        given = 0
        last = -EVERY
        for step in range(trained.episode_len - STEPS):
            if step >= last + EVERY and -NEAR < float(robustness(cost, seen).amax()) <= 0:  # type: ignore[union-attr]
                last = step
                given += 1
                yield seen
                if given == MOST:
                    break
            seen = torch.as_tensor(env.step(policy.act(seen[None])[0].numpy())[0], dtype=torch.float32)
        seed += 1


@torch.no_grad()
def measured(trained: Trained, ways: Asked, dynamics: Dynamics) -> dict[str, Any]:
    """Spreads and correlations of a model, and what it knows of danger."""
    danger = Danger.of_model(load_cost_function(trained.task.cost_path, trained.task), dynamics)
    assert danger.spread is not None
    state = danger.state(ways.states.repeat_interleave(FAR, 0)).expand(len(dynamics.elites), -1, -1)
    most = torch.full((len(ways.states) * FAR,), -torch.inf)
    for _ in range(STEPS):
        state = dynamics.follow(state, ways.actions.repeat(len(ways.states), 1))
        most = torch.maximum(most, danger.imagined(state).amax(0))
    state = state.unflatten(1, (-1, FAR))
    end = ways.reached[:, :, -1]
    true = danger.state(end)
    pairs = {"margin": (_margin(danger, true), _margin(danger, state).mean(0))}
    for name, (entry, place) in ENTRIES.items():
        at = next(e.start for e in trained.task.entries if e.name == entry) + place
        pairs[name] = end[..., at], state[..., at].mean(0)
    found: dict[str, Any] = {
        name: {
            "spread": round(float(one.std(1).mean()), 4),
            "modelled": round(float(other.std(1).mean()), 4),
            "correlation": round(correlation(one, other), 3),
        }
        for name, (one, other) in pairs.items()
    }
    return {**found, "knows": told_apart(most.view(-1, FAR), meets(trained, ways))}


def meets(trained: Trained, ways: Asked) -> Tensor:
    """Which actions (N, 16) meet danger in the simulator, by the cost function."""
    return (load_cost_function(trained.task.cost_path, trained.task)(ways.reached) > 0).any(-1)


def told_apart(danger: Tensor, unsafe: Tensor) -> dict[str, float]:
    """How often the danger (N, 16) of an unsafe action is the larger: over all pairs, and over those of one state."""
    both = [(d[u], d[~u]) for d, u in zip(danger, unsafe, strict=True) if u.any() and not u.all()]
    within = [_larger(*pair) for pair in both]
    overall = _larger(danger[unsafe], danger[~unsafe])
    return {"overall": round(overall, 3), "within": round(float(np.mean(within)), 3)}


def _larger(one: Tensor, other: Tensor) -> float:
    return float(((one[:, None] > other).float() + 0.5 * (one[:, None] == other).float()).mean())


def _margin(danger: Danger, states: Tensor) -> Tensor:
    """The largest margin (...,) of the model's states."""
    assert danger.spread is not None
    return (states[..., danger.obs_dim :].clamp(-1.0, 1.0) * danger.spread).amax(-1)


@torch.no_grad()
def passing(trained: Trained, ways: Asked) -> dict[str, Any]:
    """What the critic lets pass."""
    learner = trained.agent.feasibility
    assert learner is not None
    count = len(ways.states)
    q = learner.target.q(ways.states.repeat_interleave(FAR, 0), ways.actions.repeat(count, 1)).view(count, FAR)
    clear = ~meets(trained, ways)
    passes = (q <= trained.config.recover).float()
    return {
        "clear": int(clear.sum()),
        "of": clear.numel(),
        "clear pass": round(float(passes[clear].mean()), 3),
        "others pass": round(float(passes[~clear].mean()), 3),
        "knows": told_apart(q, ~clear),
    }


def correlation(one: Tensor, other: Tensor) -> float:
    """Of two (N, actions), each less its mean over the actions."""
    one, other = (x - x.mean(1, keepdim=True) for x in (one, other))
    return float((one * other).sum() / (one.square().sum() * other.square().sum()).sqrt())


def markdown(results: list[dict[str, Any]]) -> str:
    """A line for each model."""
    head = ["task", "twin of", "its critic: clear actions pass", "others", "knows", "model", "knows: overall", "within"]
    head += [f"{name}: {what}" for name in ("margin", *ENTRIES) for what in ("spread", "correlation")]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in results:
        for name, row in one["models"].items():
            cells = [
                cell
                for what in ("margin", *ENTRIES)
                for cell in (
                    f"{row[what]['modelled']:.3f} of {row[what]['spread']:.3f}",
                    f"{row[what]['correlation']:.2f}",
                )
            ]
            critic = [f"{one['critic'][f'{which} pass']:.0%}" for which in ("clear", "others")]
            critic.append(_knows(one["critic"], "overall"))
            knows = [_knows(row, which) for which in ("overall", "within")]
            lines.append(f"| {' | '.join([one['task'], one['run'], *critic, name, *knows, *cells])} |")
    return "\n".join(lines)


def _knows(row: dict[str, Any], which: str) -> str:
    return f"{row['knows'][which]:.2f}" if "knows" in row else ""  # not asked before commit 4750856


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a twin's run on a navigation task")
    parser.add_argument(
        "--dynamics", type=Path, nargs="+", help="models, named by their files (default: the run's own)"
    )
    parser.add_argument("--states", type=int, default=80)
    parser.add_argument("--seed", type=int, default=40_000, help="of the first episode")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's results as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    if arguments.run is None:
        parser.error("--run: the folder of a twin's run")
    torch.set_num_threads(1)
    folder = RunFolder(arguments.run)
    trained = load_policy(folder, "cpu")
    ways = asked(trained, arguments.states, arguments.seed)
    files = arguments.dynamics or [folder.dynamics]
    result = {
        "task": trained.task.name,
        "run": folder.path.name,
        "states": arguments.states,
        "seed": arguments.seed,
        "critic": passing(trained, ways),
        "models": {file.stem: measured(trained, ways, Dynamics.load(file, "cpu")[0]) for file in files},
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        command = "python benchmarks/ranking.py --run RUN --dynamics FILES"
        keep(arguments.out, command, result, same=("task", "run"))


if __name__ == "__main__":
    main()
