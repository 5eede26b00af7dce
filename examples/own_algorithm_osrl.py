"""An own algorithm that builds on an OSRL class: the mixin makes its PROCO twin.

    python examples/own_algorithm_osrl.py

The stock class stays as it is. With `proco=False` the same file trains the stock algorithm.
"""

from dataclasses import dataclass

from osrl_proco import evaluate, register, train  # first: it mends the imports of OSRL

# isort: split
from osrl.algorithms import CPQ, CPQTrainer
from quick_start import SMALL

from osrl_proco.algorithms.configs import CPQConfig
from osrl_proco.algorithms.osrl import OsrlAgent, ProcoMixin


class MyCPQ(CPQ):
    """An own variant: CPQ that acts more gently."""

    def gentle(self, observations):
        return 0.9 * self._actor_forward(observations, True, True)[0]


class ProcoMyCPQ(ProcoMixin, MyCPQ):
    """Its twin: the cost critic is the feasibility critic. `policy` is what acts."""

    def policy(self, observations):
        return self.gentle(observations)


@dataclass
class Config(CPQConfig):
    """My CPQ."""


def create(config, problem):
    return OsrlAgent(ProcoMyCPQ, CPQTrainer, config, problem, changing=["log_alpha"])


def main() -> None:
    register("mycpq", __name__)
    run = train(algo="mycpq", task="OfflineBrake-v0", logdir="runs/mycpq", **SMALL)
    print(evaluate(run, episodes=3).rows[["algorithm", "mode", "normalized_reward", "cost"]].to_string(index=False))


if __name__ == "__main__":
    main()
