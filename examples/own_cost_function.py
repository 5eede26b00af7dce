"""An own cost function: write it, hold it against the data, train with it.

    python examples/own_cost_function.py

It is read and interpreted, never executed (docs/sandbox.md). `osrl-proco cost generate` asks a language model for one.
"""

from pathlib import Path

import torch
from quick_start import SMALL

from osrl_proco import evaluate, load_task, train
from osrl_proco.costs import CostFunction
from osrl_proco.data.load import load_dataset
from osrl_proco.envs.make import make_env

COST = """\
# Half a metre before the wall, and no faster than 2 m/s in the last two metres.
def cost(obs):
    gap = obs["gap"][..., 0]
    velocity = obs["velocity"][..., 0]
    return (gap <= 0.5) | ((gap <= 2.0) & (velocity > 2.0))
"""


def main() -> None:
    task = load_task("OfflineBrake-v0")
    cost = CostFunction(COST, task)
    data = load_dataset(make_env(task), task.id, None)
    labels = cost(data.next_observations)
    print(
        f"finds {labels[data.costs > 0].mean():.1%} of the violations, calls {labels.mean():.1%} of all states unsafe"
    )
    print("at 1 m and 3 m/s:", cost(torch.tensor([[1.0, 3.0]])))

    Path("my_cost.py").write_text(COST)
    run = train(algo="bearl", task=task.id, cost_function="my_cost.py", logdir="runs/my_cost", **SMALL)
    print(f"mean cost {evaluate(run, episodes=3).means['cost']:.1f}")


if __name__ == "__main__":
    main()
