"""Train the small policies that drive the velocity tasks and Bullet's Ant: linear, by random search.

    pip install stable-baselines3 sb3-contrib
    python benchmarks/train_behaviours.py --tasks HalfCheetahVelocity --out osrl_proco/data/weights

Augmented random search of Stable-Baselines3-contrib on reward - weight * cost, for several weights of the cost, from
reckless to careful; the policy is kept at several stages of its training, so that weak ones are among them. One .npz
per task holds them all: `weights` (P, act_dim, obs_dim), `mean` and `deviation` of the observations (P, obs_dim), and
for each the cost's weight, the steps it was trained for, its return and cost in one episode. Acting is
`weights @ ((observation - mean) / deviation)`, clipped.
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
from sb3_contrib import ARS
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from osrl_proco.evaluate import make_env
from osrl_proco.tasks import load_task

STAGES = (0.1, 0.3, 0.6, 1.0)
# Steps of training, weights of the cost per unsafe step, what survival pays per step (no search needs that), step size.
PLANS: dict[str, tuple[int, tuple[float, ...], float, float]] = {
    "HalfCheetahVelocity": (200_000, (0.0, 5.0), 0.0, 0.02),
    "HopperVelocity": (500_000, (0.0, 2.0), 1.0, 0.02),
    "SwimmerVelocity": (300_000, (0.0, 1.0), 0.0, 0.03),
    "Walker2dVelocity": (800_000, (0.0, 3.0), 1.0, 0.03),
    "AntVelocity": (800_000, (0.0, 3.0), 1.0, 0.015),
    **{f"Ant{t}": (250_000, (0.0, 10.0), 0.0, 0.02) for t in ("Run", "Circle")},
}
EPISODE = 300  # steps of an episode in training; the simulators' own limits are longer


class Shaped(gym.Wrapper):
    """Reward less the weighted cost, episodes cut, for a library that speaks Gymnasium."""

    def __init__(self, env: gym.Env, weight: float) -> None:
        super().__init__(env)
        self.weight, self.taken = weight, 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self.taken = 0
        return self.env.reset(**kwargs)

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.taken += 1
        shaped = float(reward) - self.weight * float(info.get("cost", 0.0) > 0)
        return observation, shaped, terminated, truncated or self.taken >= EPISODE, info


class Keep(BaseCallback):
    """Keeps the policy at each stage of the training."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.due = [int(s * total) for s in STAGES]
        self.kept: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        while self.due and self.num_timesteps >= self.due[0]:
            self.due.pop(0)
            self.kept.append(snapshot(self.model, self.num_timesteps))


def snapshot(model: ARS, steps: int) -> dict[str, Any]:
    """The policy as arrays."""
    scale = model.get_vec_normalize_env()
    assert scale is not None
    (weights,) = (p.detach().numpy() for p in model.policy.action_net.parameters())
    return {
        "weights": weights.copy(),
        "mean": scale.obs_rms.mean.copy(),
        "deviation": np.sqrt(scale.obs_rms.var + scale.epsilon),
        "steps": steps,
    }


def train(name: str, weight: float, seed: int, share: float) -> list[dict[str, Any]]:
    """The stages of one training."""
    steps, _, alive, step_size = PLANS[name]
    total = int(share * steps)
    task = load_task(name)
    env = VecNormalize(DummyVecEnv([lambda: Monitor(Shaped(make_env(task), weight))]), norm_reward=False, clip_obs=1e9)
    model = ARS(
        "LinearPolicy", env, n_delta=8, n_top=4, learning_rate=step_size, delta_std=0.03, zero_policy=True,
        alive_bonus_offset=-alive, seed=seed, device="cpu",
    )  # fmt: skip
    keep = Keep(total)
    model.learn(total, callback=keep)
    if keep.due:
        keep.kept.append(snapshot(model, model.num_timesteps))
    return [{**stage, "cost_weight": weight, **episode(name, stage)} for stage in keep.kept]


def episode(name: str, stage: dict[str, Any]) -> dict[str, float]:
    """Return and cost of the policy in one whole episode without noise."""
    env = make_env(load_task(name))
    observation, _ = env.reset(seed=0)
    total = cost = 0.0
    done = False
    while not done:
        action = np.clip(stage["weights"] @ ((observation - stage["mean"]) / stage["deviation"]), -1, 1)
        observation, reward, terminated, truncated, info = env.step(action.astype(np.float32))
        total, cost = total + float(reward), cost + float(info.get("cost", 0.0) > 0)
        done = terminated or truncated
    return {"episode_return": total, "episode_cost": cost}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(PLANS), metavar="NAME", choices=list(PLANS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="share of the planned steps (default: 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the .npz files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.tasks:
        began = time.time()
        stages = [s for w in PLANS[name][1] for s in train(name, w, arguments.seed, arguments.share)]
        columns = {key: np.array([s[key] for s in stages], dtype=np.float32) for key in stages[0]}
        np.savez_compressed(arguments.out / f"{name}.npz", **columns)
        for s in stages:
            print(
                f"{name}: cost weight {s['cost_weight']:g}, {s['steps']} steps: return {s['episode_return']:.1f}, "
                f"cost {s['episode_cost']:.0f} ({time.time() - began:.0f} s)",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
