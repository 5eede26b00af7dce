"""Search the gaits by which the bold ants and walkers drive (osrl_proco/data/gaits.py): hill climbing on distance.

    python benchmarks/search_gaits.py --task AntVelocity --seconds 300 --seed 0

A gait is a frequency, and for every torque an amplitude, a phase and a mean. Each step changes some of these at random
and keeps the change where the robot gets farther, over three starts, within `--steps` steps. Prints the best gait, and
how far it gets and how often it is too fast in whole episodes. The time decides how many steps there are, so the gaits
that ship are not found again to the digit.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from osrl_proco.evaluate import make_env
from osrl_proco.tasks import load_task

ALIVE = 0.002  # metres that a step without a fall is worth


def torques(gait: np.ndarray, seconds: float) -> np.ndarray:
    """The action (act_dim,) of a gait (1 + 3 act_dim,): log frequency, amplitudes, phases, means."""
    amplitude, phase, mean = np.split(gait[1:], 3)
    swing = np.sin(2 * np.pi * np.exp(gait[0]) * seconds + phase)
    return np.clip(amplitude * swing + mean, -1.0, 1.0).astype(np.float32)


def run(env: Any, gait: np.ndarray, steps: int, seed: int) -> tuple[float, int, int]:
    """Distance along x (m), steps that cost, and steps until the end."""
    env.reset(seed=seed)
    simulator = env.unwrapped
    distance, cost, taken = 0.0, 0, 0
    for _ in range(steps):
        taken += 1
        _, _, terminated, truncated, info = env.step(torques(gait, simulator.data.time))
        distance += info["x_velocity"] * simulator.dt
        cost += info["cost"] > 0
        if terminated or truncated:
            break
    return distance, cost, taken


def score(env: Any, gait: np.ndarray, steps: int) -> float:
    runs = [run(env, gait, steps, seed) for seed in (1, 2, 3)]
    return float(np.mean([distance + ALIVE * taken for distance, _, taken in runs]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="AntVelocity", choices=["AntVelocity", "Walker2dVelocity"])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    env = make_env(load_task(arguments.task))
    rng = np.random.default_rng(arguments.seed)
    joints = int(env.action_space.shape[0])  # type: ignore[index]
    best = np.concatenate(
        [[np.log(2.0)], rng.uniform(-1, 1, joints), rng.uniform(0, 2 * np.pi, joints), np.zeros(joints)]
    )
    height, began, tried = score(env, best, arguments.steps), time.time(), 0
    while time.time() - began < arguments.seconds:
        change = rng.choice([0.02, 0.06, 0.2, 0.6]) * rng.standard_normal(len(best)) * (rng.random(len(best)) < 0.4)
        now = score(env, best + change, arguments.steps)
        tried += 1
        if now > height:
            best, height = best + change, now
    print(f"{tried} gaits tried; the best: frequency {np.exp(best[0]):.2f} Hz")
    for name, values in zip(("amplitude", "phase", "mean"), np.split(best[1:], 3), strict=True):
        print(f"  {name}: {tuple(round(float(v), 2) for v in values)}")
    for seed in (11, 12, 13):
        distance, cost, taken = run(env, best, 1000, seed)
        print(f"  seed {seed}: {distance:.1f} m in {taken} steps, {cost} of them too fast")
    return 0


if __name__ == "__main__":
    sys.exit(main())
