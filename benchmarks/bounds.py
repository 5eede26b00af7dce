"""What would a twin cost on a navigation task if it knew what its actions bring? The way back, asked of the simulator.

    python benchmarks/bounds.py --run RUN --episodes 20 --out benchmarks/results/bounds.json

The policy of a twin's run, without its own way back. In every state within 20 cm of danger (by the cost function's
margins) its action is held for 15 steps in a copy of the simulator; where that touches something, of the 16 actions
that the way back tries that acts which touches nothing and is most like it, or, where all do, the one of the fewest
steps that do. What is left is what the form costs, 16 actions held for 15 steps; the rest of a twin's cost is what
critic and model do not know. `--out` puts the result among those that the file has.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from hits import KINDS, hits, touches
from torch import Tensor
from tqdm.auto import tqdm

from osrl_proco.costs.language.robustness import robustness
from osrl_proco.costs.sandbox.checked import load_cost_function
from osrl_proco.envs.make import make_env
from osrl_proco.proco.recovery import FAR, all_over
from osrl_proco.run.folder import RunFolder, commit, versions
from osrl_proco.run.policy import Trained, load_policy

STEPS = 15
NEAR = 0.2  # m


def chosen(env: gym.Env, own: np.ndarray, actions: np.ndarray, steps: int) -> np.ndarray:
    """The policy's action, or what stands in for it."""
    if not touches(env, own, steps):
        return own
    found = np.array([touches(env, action, steps) for action in actions])
    distance = np.square(actions - own).sum(1)
    return actions[np.where(found == 0, distance, np.inf if (found == 0).any() else found).argmin()]


def episode(trained: Trained, env: gym.Env, cost: Any, actions: np.ndarray, seed: int) -> tuple[float, Tensor]:
    """Return and what each step touched (T, kinds)."""
    policy = trained.policy()
    policy.reset([0], [seed])
    seen = torch.as_tensor(env.reset(seed=seed)[0], dtype=torch.float32)
    total, touched = 0.0, []
    for step in range(trained.episode_len):
        action = policy.act(seen[None])[0].numpy()
        if float(robustness(cost, seen).amax()) > -NEAR:  # type: ignore[union-attr]
            action = chosen(env, action, actions, min(STEPS, trained.episode_len - step))
        after, reward, *_, info = env.step(action)
        total += float(reward)
        touched.append([info.get(f"cost_{kind}", 0.0) > 0 for kind in KINDS])
        seen = torch.as_tensor(after, dtype=torch.float32)
    return total, torch.tensor(touched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a twin's run on a navigation task")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=40_000, help="of the first episode")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = RunFolder(arguments.run)
    trained = load_policy(folder, "cpu")
    trained.config.recover = None  # its way back, the critic's
    env = make_env(trained.task)
    cost = load_cost_function(trained.task.cost_path, trained.task)
    actions = all_over(FAR, env.action_space.shape[0], trained.max_action).numpy()  # type: ignore[index]
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    played = [episode(trained, env, cost, actions, seed) for seed in tqdm(seeds, desc="Episodes")]
    steps = [int(touched.any(1).sum()) for _, touched in played]
    result = {
        "task": trained.task.name,
        "algo": trained.config.algo,
        "training seed": trained.config.seed,
        "seed": arguments.seed,
        "episodes": arguments.episodes,
        "commit": commit(),
        "cost": round(sum(steps) / len(steps) / 10, 3),
        "steps with a touch": steps,
        "hits": sum(len(hits(touched)) for _, touched in played),
        "return": round(sum(total for total, _ in played) / len(played), 2),
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        kept = json.loads(arguments.out.read_text())["results"] if arguments.out.exists() else []
        kept = [one for one in kept if one["task"] != result["task"]]
        about = {"machine": versions(), "command": "python benchmarks/bounds.py --run RUN --out FILE"}
        arguments.out.write_text(json.dumps({**about, "results": [*kept, result]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
