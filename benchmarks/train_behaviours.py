"""Train the policies that drive the velocity tasks and Bullet's Ant, small ones, with Stable-Baselines3.

    pip install stable-baselines3 sb3-contrib
    python benchmarks/train_behaviours.py --tasks HalfCheetahVelocity --out osrl_proco/data/weights

The reward is the task's less a weight for each unsafe step; one training per weight, from reckless to careful, and the
policy is kept at several stages of each, so that weak ones are among them. One .npz per task holds them all, P of them:
`mean` and `deviation` of the observations (P, obs_dim), `weights<i>` (P, out, in) and `biases<i>` (P, out) of each
layer, and for each policy the cost's weight, the steps it was trained for, the mean return and cost of three episodes.
Acting: tanh between the layers, the last one's output clipped to [-1, 1].

PPO with two layers of 64; but for HalfCheetah augmented random search on a linear policy, which got further in fewer
steps (return 3,839 after 200,000; PPO: 1,669 after 600,000).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import TimeLimit
from sb3_contrib import ARS
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from osrl_proco.drivers.behaviours import act
from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import load_task

STAGES = (0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Plan:
    """How a task is trained: steps, weights of an unsafe step, and what PPO or the search needs."""

    steps: int
    weights: tuple[float, ...]
    gamma: float = 0.99  # PPO
    search: bool = False


PLANS = {
    "AntVelocity": Plan(1_000_000, (0.0, 2.0)),
    "HalfCheetahVelocity": Plan(200_000, (0.0, 5.0), search=True),
    "HopperVelocity": Plan(600_000, (0.0, 2.0)),
    "SwimmerVelocity": Plan(600_000, (0.0,), gamma=0.9999),  # a stroke pays seconds after it begins
    "Walker2dVelocity": Plan(1_000_000, (0.0, 2.0)),
    "AntRun": Plan(400_000, (0.0, 5.0)),
    "AntCircle": Plan(400_000, (0.0, 5.0)),
}
EPISODE = 300  # steps of an episode in the search


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


def snapshot(model: PPO | ARS, steps: int) -> dict[str, Any]:
    """The policy as arrays."""
    scale = model.get_vec_normalize_env()
    assert scale is not None
    kept = {"mean": scale.obs_rms.mean.copy(), "deviation": np.sqrt(scale.obs_rms.var + scale.epsilon), "steps": steps}
    # The order of definition: PPO's hidden layers (policy, then value), then what acts.
    layers = [m for key, m in model.policy.named_modules() if isinstance(m, torch.nn.Linear) and "value" not in key]
    for i, layer in enumerate(layers):
        kept[f"weights{i}"] = layer.weight.detach().numpy().copy()
        kept[f"biases{i}"] = np.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().numpy().copy()
    return kept


def train(name: str, weight: float, seed: int) -> list[dict[str, Any]]:
    """The stages of one training."""
    task, plan = load_task(name), PLANS[name]
    model: PPO | ARS
    if plan.search:
        env = DummyVecEnv([lambda: Monitor(TimeLimit(Shaped(make_env(task), weight), EPISODE))])
        model = ARS(
            "LinearPolicy", VecNormalize(env, norm_reward=False, clip_obs=1e9), n_delta=8, n_top=4, learning_rate=0.02,
            delta_std=0.03, zero_policy=True, seed=seed, device="cpu",
        )  # fmt: skip
    else:
        env = DummyVecEnv([lambda: Shaped(make_env(task), weight)] * 4)
        model = PPO(
            "MlpPolicy", VecNormalize(env, gamma=plan.gamma), n_steps=512, batch_size=64, n_epochs=10, gamma=plan.gamma,
            gae_lambda=0.95, learning_rate=lambda left: 3e-4 * max(left, 0.1), clip_range=0.2, seed=seed, device="cpu",
        )  # fmt: skip
    keep = Keep(plan.steps)
    model.learn(plan.steps, callback=keep)
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
    parser.add_argument("--tasks", nargs="+", default=list(PLANS), metavar="NAME", choices=list(PLANS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the .npz files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.tasks:
        stages: list[dict[str, Any]] = []
        for weight in PLANS[name].weights:
            began = time.time()
            stages += train(name, weight, arguments.seed)
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
