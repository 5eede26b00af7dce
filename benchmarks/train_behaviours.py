"""Train the small policies that drive the velocity tasks: proximal policy optimisation of Stable-Baselines3.

    pip install stable-baselines3
    python benchmarks/train_behaviours.py --tasks HalfCheetahVelocity --out osrl_proco/data/weights

The reward is the task's less a weight for each unsafe step; one training per weight, from reckless to careful, and the
policy is kept at several stages of each, so that weak ones are among them. One .npz per task holds them all, P of them:
`mean` and `deviation` of the observations (P, obs_dim), `weights<i>` (P, out, in) and `biases<i>` (P, out) of each
layer, and for each policy the cost's weight, the steps it was trained for, the mean return and cost of three episodes.
Acting: tanh between the layers, the last one's output clipped to [-1, 1].
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from osrl_proco.data.behaviours import act
from osrl_proco.evaluate import make_env
from osrl_proco.tasks import load_task

STAGES = (0.1, 0.25, 0.5, 1.0)
ROBOTS = ("Ant", "HalfCheetah", "Hopper", "Walker2d")


class Shaped(gym.Wrapper):
    """Reward less the weighted cost, for a library that speaks Gymnasium."""

    def __init__(self, env: gym.Env, weight: float) -> None:
        super().__init__(env)
        self.weight = weight

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        shaped = float(reward) - self.weight * float(info.get("cost", 0.0) > 0)
        return observation, shaped, terminated, truncated, info


class Keep(BaseCallback):
    """Keeps the policy at each stage of the training."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.due = [int(s * total) for s in STAGES]
        self.kept: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        while self.due and self.num_timesteps >= self.due[0]:
            self.due.pop(0)
            self.kept.append(snapshot(self.model, self.num_timesteps))


def snapshot(model: PPO, steps: int) -> dict[str, Any]:
    """The policy as arrays."""
    scale = model.get_vec_normalize_env()
    assert scale is not None
    kept = {"mean": scale.obs_rms.mean.copy(), "deviation": np.sqrt(scale.obs_rms.var + scale.epsilon), "steps": steps}
    net = model.policy.mlp_extractor.policy_net
    for i, layer in enumerate([m for m in [*net, model.policy.action_net] if isinstance(m, torch.nn.Linear)]):
        kept[f"weights{i}"] = layer.weight.detach().numpy().copy()
        kept[f"biases{i}"] = layer.bias.detach().numpy().copy()
    return kept


def train(name: str, weight: float, steps: int, seed: int) -> list[dict[str, Any]]:
    """The stages of one training."""
    task = load_task(name)
    envs = DummyVecEnv([lambda: Shaped(make_env(task), weight)] * 4)
    model = PPO(
        "MlpPolicy", VecNormalize(envs), n_steps=512, batch_size=64, n_epochs=10, gamma=0.99, gae_lambda=0.95,
        learning_rate=lambda left: 3e-4 * max(left, 0.1), clip_range=0.2, seed=seed, device="cpu",
    )  # fmt: skip
    keep = Keep(steps)
    model.learn(steps, callback=keep)
    if keep.due:
        keep.kept.append(snapshot(model, model.num_timesteps))
    return [{**stage, "cost_weight": weight, **judge(name, stage)} for stage in keep.kept]


def judge(name: str, stage: dict[str, Any]) -> dict[str, float]:
    """Mean return and cost of the policy in three whole episodes without noise."""
    env, total, cost = make_env(load_task(name)), 0.0, 0.0
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        done = False
        while not done:
            observation, reward, terminated, truncated, info = env.step(act(stage, observation))
            total, cost = total + float(reward), cost + float(info.get("cost", 0.0) > 0)
            done = terminated or truncated
    return {"episode_return": total / 3, "episode_cost": cost / 3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = [f"{robot}Velocity" for robot in ROBOTS]
    parser.add_argument("--tasks", nargs="+", default=tasks, metavar="NAME", choices=tasks)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 1.0, 4.0], metavar="W")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the .npz files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.tasks:
        stages: list[dict[str, Any]] = []
        for weight in arguments.weights:
            began = time.time()
            stages += train(name, weight, arguments.steps, arguments.seed)
            for s in stages[-len(STAGES) :]:
                print(
                    f"{name}: cost weight {weight:g}, {s['steps']} steps: return {s['episode_return']:.1f}, cost "
                    f"{s['episode_cost']:.0f} ({time.time() - began:.0f} s)",
                    flush=True,
                )
            columns = {key: np.array([s[key] for s in stages], dtype=np.float32) for key in stages[0]}
            np.savez_compressed(arguments.out / f"{name}.npz", **columns)
    return 0


if __name__ == "__main__":
    sys.exit(main())
