"""An own dataset, of a robot without a simulator: a task file, arrays of what was recorded, a cost function.

    python examples/own_dataset.py

docs/your_own_data.md explains every part. Training leaves out all violations and measures on data held out.
"""

from pathlib import Path

import numpy as np
from quick_start import SMALL

from osrl_proco import load_policy, train
from osrl_proco.data import write_hdf5

TASK = """\
id: MyCart
name: MyCart
simulator: none
max_action: 1.0
goal: Drive towards the wall as far as possible.
rule: The gap to the wall must stay above zero. The cart cannot stop at once.
observation:
  - {name: gap, size: 1, unit: m, meaning: distance to the wall}
  - {name: speed, size: 1, unit: m/s, meaning: speed towards the wall}
"""
COST = """\
# Written by hand: 0.2 m before the wall.
def cost(obs):
    return obs["gap"][..., 0] <= 0.2
"""


def record(episodes: int = 60, length: int = 50) -> dict[str, np.ndarray]:
    """Stands for your own log: carts that drive at a wall and brake, some of them too late."""
    rng = np.random.default_rng(0)
    gap, speed = rng.uniform(4.0, 8.0, episodes), rng.uniform(0.0, 1.0, episodes)
    brake_at = rng.uniform(0.2, 2.5, episodes)
    steps = []
    for t in range(length):
        throttle = np.where(gap > brake_at, 0.8, np.clip(-5.0 * speed, -1.0, 1.0)) + 0.1 * rng.standard_normal(episodes)
        throttle = np.clip(throttle, -1.0, 1.0)
        new_speed = np.clip(speed + 0.2 * throttle, -2.0, 4.0)
        new_gap = gap - 0.1 * new_speed
        last = np.full(episodes, float(t == length - 1))
        # costs label the state that the step arrives in
        steps.append((gap, speed, throttle, new_gap, new_speed, gap - new_gap, new_gap <= 0.0, last))
        gap, speed = new_gap, new_speed
    columns = np.array(steps, dtype=np.float32).transpose(2, 0, 1).reshape(-1, 8)  # episode after episode
    return {
        "observations": columns[:, 0:2],
        "actions": columns[:, 2:3],
        "next_observations": columns[:, 3:5],
        "rewards": columns[:, 5],
        "costs": columns[:, 6],
        "terminals": np.zeros(len(columns), dtype=np.float32),
        "timeouts": columns[:, 7],
    }


def main() -> None:
    Path("my_cart.yaml").write_text(TASK)
    Path("my_cost.py").write_text(COST)
    write_hdf5("my_cart.hdf5", record(), task="MyCart")
    run = train(
        algo="cpq",
        task="my_cart.yaml",
        dataset="my_cart.hdf5",
        cost_function="my_cost.py",
        logdir="runs/my_cart",
        **SMALL,
    )
    print(run.evaluations.T.to_string(header=False))  # no simulator: measures on data held out
    print("throttle at 3 m and 1 m/s:", load_policy(run).act([3.0, 1.0]))


if __name__ == "__main__":
    main()
