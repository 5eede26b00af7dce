"""Updates per second of FISOR at its published sizes: the official JAX code beside ours, taking turns.

    git clone https://github.com/ZhengYinan-AIR/FISOR
    python -m venv jax-env && jax-env/bin/pip install jax flax optax
    python benchmarks/fisor_jax.py --checkout FISOR --jax jax-env/bin/python --out benchmarks/results/fisor_jax.json

Random data of PointGoal1's sizes on both sides, drawing the batches included, two threads. The official settings are
those of its configs/train_config.py. What its modules import and an update does not use (gym, W&B, DSRL) is stood in
for by empty modules, and its weight-decay mask is unfrozen, which today's optax asks for; its update runs as it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from osrl_proco.run.folder import commit, versions

OFFICIAL = """
import sys, time, types, importlib
checkout, seconds = sys.argv[1], float(sys.argv[2])
sys.path.insert(0, checkout)
class Empty(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})
for name in ("gym", "gym.spaces", "distrax", "wandb", "dsrl"):
    sys.modules[name] = Empty(name)
sys.modules["gym"].spaces = sys.modules["gym.spaces"]
agents = types.ModuleType("jaxrl5.agents")
agents.__path__ = [checkout + "/jaxrl5/agents"]
dataset = types.ModuleType("jaxrl5.data.dataset")
dataset.DatasetDict = dict
data = types.ModuleType("jaxrl5.data")
data.__path__ = []
sys.modules.update({"jaxrl5.agents": agents, "jaxrl5.data": data, "jaxrl5.data.dataset": dataset})
import flax, jax, numpy as np
module = importlib.import_module("jaxrl5.agents.fisor.fisor")
mask = module.get_weight_decay_mask
module.get_weight_decay_mask = lambda params: flax.core.unfreeze(mask(params))
class Space:
    def __init__(self, size):
        self.shape = (size,)
    def sample(self):
        return np.zeros(self.shape, np.float32)
agent = module.FISOR.create(
    0, Space(60), Space(2), cost_limit=10, actor_lr=3e-4, critic_lr=3e-4, value_lr=3e-4, cost_temperature=5,
    reward_temperature=3, T=5, N=16, M=0, clip_sampler=True, actor_dropout_rate=0.1, actor_num_blocks=3,
    actor_weight_decay=None, decay_steps=3_000_000, actor_layer_norm=True, value_layer_norm=False, actor_tau=0.001,
    actor_architecture="ln_resnet", critic_objective="expectile", critic_hyperparam=0.9, cost_critic_hyperparam=0.9,
    critic_type="hj", cost_ub=150, beta_schedule="vp", actor_objective="feasibility", sampling_method="ddpm",
    extract_method="minqc")
draw, rows = np.random.default_rng(0), 100_000
data = {
    "observations": draw.normal(size=(rows, 60)), "next_observations": draw.normal(size=(rows, 60)),
    "actions": draw.uniform(-1, 1, (rows, 2)), "rewards": draw.uniform(size=rows),
    "costs": np.where(draw.uniform(size=rows) < 0.05, 25, -1), "masks": np.ones(rows)}
data = {name: column.astype(np.float32) for name, column in data.items()}
def update(agent):
    chosen = draw.integers(rows, size=2048)
    agent, _ = agent.update({name: column[chosen] for name, column in data.items()})
    jax.block_until_ready(agent.score_model.params)
    return agent
agent, count = update(agent), 0
began = time.perf_counter()
while time.perf_counter() - began < seconds:
    agent, count = update(agent), count + 1
print(count / (time.perf_counter() - began), jax.__version__)
"""


def official(python: Path, checkout: Path, seconds: float) -> tuple[float, str]:
    """Updates per second of the official code, and JAX's version."""
    command = [str(python), "-c", OFFICIAL, str(checkout.resolve()), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the official code stopped: {done.stderr.strip().splitlines()[-1]}")
    rate, version = done.stdout.split()[-2:]
    return float(rate), version


def ours(seconds: float) -> float:
    """Updates per second of our FISOR, in a process of its own like the other."""
    script = Path(__file__).with_name("updates.py")
    flags = ["--algos", "fisor", "--threads", "2", "--rounds", "1", "--seconds", str(seconds)]
    done = subprocess.run([sys.executable, str(script), *flags], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[0].split()[-2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, required=True, help="of the official repository")
    parser.add_argument("--jax", type=Path, required=True, help="a Python with jax, flax and optax")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each side in each round")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rounds, version = [], ""
    for _ in range(arguments.rounds):
        theirs, version = official(arguments.jax, arguments.checkout, arguments.seconds)
        rounds.append({"official": theirs, "ours": ours(arguments.seconds)})
        print(f"official {theirs:.2f}  ours {rounds[-1]['ours']:.2f} updates/s", flush=True)
    ratio = statistics.median(r["ours"] / r["official"] for r in rounds)
    print(f"ours / official, median of {len(rounds)} rounds: {ratio:.2f}")
    if arguments.out:
        flags = f"--rounds {arguments.rounds} --seconds {arguments.seconds:g}"
        about = {"command": f"python benchmarks/fisor_jax.py {flags}", "machine": {**versions(), "jax": version}}
        result = {**about, "commit": commit(), "ratio": ratio, "rounds": rounds}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
