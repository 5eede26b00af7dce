"""What a trained twin runs into in a navigation task, and whether its critic or its dynamics model saw it coming.

    python benchmarks/hits.py --run RUN --episodes 40 --ways --out benchmarks/results/hits.json

A hit is the first step with cost after at least 15 without. Of each: what was touched, by the simulator's own account
(hazards, gremlins, buttons); how long until 15 steps without cost; and 1, 5 and 15 steps before, whether the dynamics
model, under the actions that were then taken, said so (any elite, any of these steps unsafe by the cost function), and
whether the critic warned of the action (a Q above the run's --recover) or called the state lost (a V above it). The
same of states that no hit follows within 15 steps: how often each cries wolf. For twins that act by --recover.

With `--ways` also whether there was a way out, by the simulator: the episode is played again up to 5 or 15 steps before
the hit, and each of the 16 actions that the way back tries is held for 15 steps from there; `way out` counts the hits
where one of them touches nothing, `critic` and `model` those where the one does that the critic or the model takes for
the safest. `--out` puts the task's result among those that the file has, `--table FILE` prints them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from kept import keep
from torch import Tensor
from tqdm.auto import tqdm

from osrl_proco.costs.sandbox.checked import load_cost_function
from osrl_proco.envs.make import make_env
from osrl_proco.proco.danger import Danger
from osrl_proco.proco.dynamics import Dynamics
from osrl_proco.proco.held import hold
from osrl_proco.proco.recovery import FAR, all_over
from osrl_proco.run.folder import RunFolder
from osrl_proco.run.policy import Trained, load_policy

KINDS = ("hazards", "gremlins", "buttons")
APART = 15  # steps without cost that tell one hit from the next
BEFORE = (1, 5, 15)


class Played(NamedTuple):
    """An episode: observations (T, obs_dim), actions (T, act_dim), and what each step touched (T, kinds)."""

    observations: Tensor
    actions: Tensor
    touched: Tensor


def play(trained: Trained, episodes: int, seed: int) -> list[Played]:
    """Side by side, in this process."""
    envs = [make_env(trained.task) for _ in range(episodes)]
    policy = trained.policy()
    policy.reset(range(episodes), range(seed, seed + episodes))
    seen = [env.reset(seed=seed + i)[0] for i, env in enumerate(envs)]
    steps = []
    for _ in tqdm(range(trained.episode_len), desc="Playing", leave=False):
        observations = torch.as_tensor(np.stack(seen), dtype=torch.float32)
        actions = policy.act(observations)
        done = [env.step(action) for env, action in zip(envs, actions.numpy(), strict=True)]
        touched = [[one[-1].get(f"cost_{kind}", 0.0) > 0 for kind in KINDS] for one in done]
        assert all((one[-1]["cost"] > 0) == any(some) for one, some in zip(done, touched, strict=True))
        steps.append((observations, actions, torch.tensor(touched)))
        seen = [one[0] for one in done]
    columns = [torch.stack(column, 1) for column in zip(*steps, strict=True)]
    return [Played(*(column[i] for column in columns)) for i in range(episodes)]


def hits(touched: Tensor) -> list[tuple[int, int]]:
    """(first step, steps with cost) of every hit of an episode."""
    found: list[tuple[int, int]] = []
    last = -APART - 1
    for step in torch.nonzero(touched.any(1))[:, 0].tolist():
        if step - last > APART:
            found.append((step, 0))
        first, count = found.pop()
        found.append((first, count + 1))
        last = step
    return found


@torch.no_grad()
def foreseen(dynamics: Dynamics, danger: Danger, path: Played, at: Tensor, steps: int) -> Tensor:
    """Whether from the states before steps `at` on the model gets into danger within `steps` of the actions taken."""
    state = danger.state(path.observations[at]).expand(len(dynamics.elites), -1, -1)
    says = torch.zeros(len(at), dtype=torch.bool)
    for step in range(steps):
        state = dynamics.follow(state, path.actions[at + step])
        says |= (danger.imagined(state) > 0).any(0)
    return says


def touches(env: gym.Env, action: np.ndarray, steps: int) -> int:
    """Steps that touch something of so many of an action held in a copy of the simulator as it is now."""
    child = os.fork()
    if not child:
        try:
            os._exit(sum(env.step(action)[-1]["cost"] > 0 for _ in range(steps)))
        finally:
            os._exit(255)
    found = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not 0 <= found <= steps:
        raise SystemExit("the copy of the simulator failed")
    return found


def clear(env: gym.Env, path: Played, seed: int, at: int, actions: Tensor) -> Tensor:
    """Which of the actions (N, act_dim), held for 15 steps from the state before step `at` on, touch nothing (N,)."""
    seen = env.reset(seed=seed)[0]
    for taken in path.actions[:at].numpy():
        seen = env.step(taken)[0]
    assert np.array_equal(np.float32(seen), path.observations[at].numpy()), "not the same episode"
    steps = min(APART, len(path.actions) - at)
    return torch.tensor([touches(env, action, steps) == 0 for action in actions.numpy()])


@torch.no_grad()
def choices(learner: Any, dynamics: Dynamics, danger: Danger, seen: Tensor, actions: Tensor) -> dict[str, int]:
    """Which of the actions critic and model take for the safest: of the lowest Q; of those that stay out of danger for
    15 steps in every elite, or of all where none does, that of the least danger on the way."""
    here = seen.expand(len(actions), -1)
    way = hold(dynamics, danger, here, actions, APART, torch.Generator().manual_seed(0))[1]
    worst = way.amax(1).clamp_min(0.0) * 100.0 + way.mean(1)
    return {"critic": int(learner.target.q(here, actions).argmin()), "model": int(worst.argmin())}


def measured(
    trained: Trained, dynamics: Dynamics, danger: Danger, paths: list[Played], first_seed: int, ways: bool
) -> dict[str, Any]:
    env = make_env(trained.task)
    learner = trained.agent.feasibility or trained.agent.cost  # type: ignore[attr-defined]
    above = trained.config.recover
    tried = all_over(FAR, paths[0].actions.shape[1], trained.max_action)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    calm: dict[str, list[float]] = defaultdict(list)
    for seed, path in enumerate(tqdm(paths, desc="Episodes"), first_seed):
        events = hits(path.touched)
        with torch.no_grad():
            warned = learner.target.q(path.observations, path.actions) > above
            lost = learner.critic.value(path.observations) > above
        unsafe = danger.recorded(path.observations) > 0
        close = torch.zeros(len(unsafe) + APART, dtype=torch.bool)
        close[: len(unsafe)] = path.touched.any(1) | unsafe
        after = torch.stack([close[i : i + len(unsafe)] for i in range(APART + 1)]).any(0)
        quiet = torch.nonzero(~after[: len(unsafe) - APART])[:, 0]
        calm["warned"].append(float(warned[quiet].float().mean()))
        calm["lost 15"].append(float(lost[quiet].float().mean()))
        for steps in BEFORE:
            calm[f"foreseen {steps}"].append(float(foreseen(dynamics, danger, path, quiet, steps).float().mean()))
        for first, count in events:
            kind = "+".join(name for name, on in zip(KINDS, path.touched[first].tolist(), strict=True) if on)
            row: dict[str, Any] = {"steps": count, "unsafe": bool(unsafe[first])}
            for steps in BEFORE:
                at = first + 1 - steps  # so many actions later the step's state is reached
                if at < 0:
                    continue
                row[f"inside {steps}"] = bool(unsafe[at])
                row[f"foreseen {steps}"] = bool(foreseen(dynamics, danger, path, torch.tensor([at]), steps)[0])
                row[f"warned {steps}"], row[f"lost {steps}"] = bool(warned[at]), bool(lost[at])
                if ways and steps > 1:
                    out = clear(env, path, seed, at, tried)
                    row[f"way out {steps}"] = bool(out.any())
                    for who, which in choices(learner, dynamics, danger, path.observations[at], tried).items():
                        row[f"{who} {steps}"] = bool(out[which])
            found[kind].append(row)
    total = sum(path.touched.any(1).sum() for path in paths)
    return {
        "episodes": len(paths),
        "cost": round(float(total) / len(paths) / 10, 3),
        "hits": {kind: _summary(rows) for kind, rows in sorted(found.items())},
        "no hit follows": {name: round(float(np.mean(shares)), 4) for name, shares in sorted(calm.items())},
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts = sorted(row["steps"] for row in rows)
    made: dict[str, Any] = {"hits": len(rows), "steps": sum(counts), "median": counts[len(counts) // 2]}
    for name in sorted({name for row in rows for name in row} - {"steps"}):
        values = [row[name] for row in rows if name in row]
        made[name] = f"{sum(values)} of {len(values)}"
    return made


def markdown(results: list[dict[str, Any]]) -> str:
    """A line for each task and kind of hit; what was so 15 and 5 steps before."""
    asked = [f"{name} {steps}" for steps in (15, 5) for name in ("foreseen", "lost", "way out", "critic", "model")]
    lines = [f"| task | hits by | hits | steps, median | {' | '.join(asked)} |", "|---" * (4 + len(asked)) + "|"]
    for one in results:
        for kind, row in one["hits"].items():
            cells = [str(row.get(name, "")) for name in asked]
            found = f"| {one['task']} | {kind} | {row['hits']} | {row['steps']}, {row['median']}"
            lines.append(f"{found} | {' | '.join(cells)} |")
        calm = one["no hit follows"]
        shares = [f"{calm[name]:.0%}" if name in calm else "" for name in asked]
        lines.append(f"| {one['task']} | none follows |  |  | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a twin's run")
    parser.add_argument("--dynamics", type=Path, help="the model that the run was trained with (default: its own)")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=40_000, help="of the first episode")
    parser.add_argument("--ways", action="store_true", help="ask the simulator whether there was a way out, too")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="play nothing: print this file's results as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    if arguments.run is None:
        parser.error("--run: the folder of a twin's run")
    torch.set_num_threads(1)
    folder = RunFolder(arguments.run)
    trained = load_policy(folder, "cpu")
    dynamics, _ = Dynamics.load(arguments.dynamics or folder.dynamics, "cpu")
    danger = Danger.of_model(load_cost_function(folder.cost, trained.task), dynamics)
    paths = play(trained, arguments.episodes, arguments.seed)
    result = measured(trained, dynamics, danger, paths, arguments.seed, arguments.ways)
    print(json.dumps(result, indent=1))
    if arguments.out:
        command = "python benchmarks/hits.py --ways" if arguments.ways else "python benchmarks/hits.py"
        keep(arguments.out, command, {"task": trained.task.name, "seed": arguments.seed, **result})


if __name__ == "__main__":
    main()
