"""A made-up cart in front of a wall, in DSRL's arrays, with a task file; violations end an episode."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

KEYS = ("observations", "actions", "next_observations", "rewards", "costs", "terminals", "timeouts")
TASK = """id: MyCart
name: MyCart
simulator: none
max_action: {limit}
goal: Drive towards the wall as far as possible.
rule: The gap to the wall must stay above zero. The cart cannot stop at once.
observation:
  - {{name: gap, size: 1, unit: m, meaning: distance to the wall}}
  - {{name: speed, size: 1, unit: m/s, meaning: speed towards the wall}}
"""


def cart(episodes=40, steps=40, seed=0, terminal=True):
    """Episodes that end with the first violation, or (`terminal` false) run on through it."""
    rng = np.random.default_rng(seed)
    rows = {k: [] for k in KEYS}
    for _ in range(episodes):
        gap, speed, aim = rng.uniform(2, 8), rng.uniform(0, 2), rng.uniform(-0.5, 0.8)
        for t in range(steps):
            action = float(np.clip(aim + 0.5 * rng.standard_normal() - (0 if terminal or gap > 0.2 else 1.5), -1, 1))
            speed_after = float(np.clip(speed + 0.2 * action, 0 if terminal else -2, 3))
            gap_after = gap - 0.1 * speed_after
            unsafe, last = gap_after <= 0.2, t == steps - 1
            row = [gap, speed], [action], [gap_after, speed_after], 0.1 * speed_after, float(unsafe)
            ends = float(unsafe and terminal), float(last and not (unsafe and terminal))
            for key, value in zip(KEYS, (*row, *ends), strict=True):
                rows[key].append(value)
            gap, speed = gap_after, speed_after
            if unsafe and terminal:
                break
    return {k: np.array(v, dtype=np.float32) for k, v in rows.items()}


def task_file(limit=1.0, name="my_cart.yaml"):
    Path(name).write_text(TASK.format(limit=limit))
    return name


def put(arrays, name="d.hdf5"):
    """Write arrays as another program would: without our hash."""
    with h5py.File(name, "w") as handle:
        for key, value in arrays.items():
            handle.create_dataset(key, data=value)
    return name
