"""The dynamics model's training beside OfflineRL-Kit's: time of an epoch, held-out error.

    git clone https://github.com/yihaosun1124/OfflineRL-Kit kit
    python benchmarks/dynamics.py --kit kit --out benchmarks/results/dynamics.json

The same rows, sizes (7 networks of 4 x 200, batches of 256) and rates, one thread, CPU time, in turns; ours validates
after every epoch within the time, theirs does not. A made-up system of PointGoal1's sizes, that can be learned. With a
margin of the cost function as a further entry, ours is measured again. The error is the mean square one of the elites,
in deviations of the change, on rows that neither saw; in the end theirs trains on until its error is ours, or for
`--most` epochs. Nothing of theirs is part of this package.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from osrl_proco.core.products import speed_up
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.dynamics import Dynamics, fit
from osrl_proco.run.folder import commit, versions

OBS, ACT, BATCH = 60, 2, 256
HIDDEN, MEMBERS, ELITES = [200, 200, 200, 200], 7, 5
DECAYS = [2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4]


def made_up(rows: int, obs_dim: int, seed: int) -> Transitions:
    """Transitions of one smooth system, in episodes of 1,000 steps of which only the flags matter here."""
    draw, system = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(0)
    states, actions = torch.randn(rows, obs_dim, generator=draw), torch.rand(rows, ACT, generator=draw) * 2 - 1
    inner = torch.randn(obs_dim + ACT, 64, generator=system) / 4
    outer = torch.randn(64, obs_dim, generator=system) / 80
    change = torch.tanh(torch.cat([states, 4 * actions], 1) @ inner) @ outer
    noise = 0.01 * torch.randn(rows, obs_dim, generator=draw)
    none, ends = torch.zeros(rows), torch.zeros(rows)
    ends[999::1000] = 1.0
    return Transitions(states, actions, states + change + noise, states[:, 0], none, none, ends, none, ends)


class Ours:
    """An epoch of `fit`, its validation included."""

    def __init__(self, label: str, data: Transitions, *, fast: bool, margins: int = 0) -> None:
        torch.manual_seed(0)
        self.label, self.data, self.seconds = label, data, list[float]()
        self.model = Dynamics(data.observations.shape[1], ACT, HIDDEN, MEMBERS, ELITES, margins)
        if fast:
            speed_up([self.model])

    def epochs(self, count: int) -> None:
        self.model.requires_grad_(True)
        began = time.process_time()
        fit(self.model, self.data, epochs=count, patience=count, batch_size=BATCH, progress=False)
        self.seconds.append((time.process_time() - began) / count)

    @torch.no_grad()
    def predict(self, data: Transitions) -> Tensor:
        """The elites' mean changes (elites, N, obs_dim)."""
        states, _ = self.model.predict(data.observations, data.actions, noise=False)
        return states - data.observations


class Theirs:
    """An epoch of OfflineRL-Kit's `learn`, on as many rows as ours leaves after its holdout."""

    label = "OfflineRL-Kit"

    def __init__(self, kit: Path, data: Transitions) -> None:
        sys.path.insert(0, str(kit))
        # Loggers and simulators that its package imports and a model does not need.
        for name in ("gym", "gym.envs", "gym.envs.mujoco", "offlinerlkit.utils.logger"):
            sys.modules[name] = mock.MagicMock()
        from offlinerlkit.dynamics.ensemble_dynamics import EnsembleDynamics
        from offlinerlkit.modules.dynamics_module import EnsembleDynamicsModel
        from offlinerlkit.utils.scaler import StandardScaler

        torch.manual_seed(0)
        self.seconds = list[float]()
        self.model = EnsembleDynamicsModel(OBS, ACT, HIDDEN, MEMBERS, ELITES, weight_decays=DECAYS)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.dynamics = EnsembleDynamics(self.model, optimizer, StandardScaler(), lambda *_: None)
        arrays = {
            "observations": data.observations.numpy(),
            "actions": data.actions.numpy(),
            "next_observations": data.next_observations.numpy(),
            "rewards": data.rewards[:, None].numpy(),
        }
        inputs, self.targets = self.dynamics.format_samples_for_training(arrays)
        self.dynamics.scaler.fit(inputs)
        self.inputs = self.dynamics.scaler.transform(inputs)
        self.rows = np.random.default_rng(0).integers(len(inputs), size=(MEMBERS, int(0.8 * len(inputs))))

    def epochs(self, count: int) -> None:
        began = time.process_time()
        for _ in range(count):
            self.dynamics.learn(self.inputs[self.rows], self.targets[self.rows], BATCH, 0.01)
        self.seconds.append((time.process_time() - began) / count)

    @torch.no_grad()
    def predict(self, data: Transitions) -> Tensor:
        self.model.eval()
        inputs = np.concatenate([data.observations.numpy(), data.actions.numpy()], 1)
        mean, _ = self.model(self.dynamics.scaler.transform(inputs))
        return mean[:ELITES, :, :-1]


def error(arm: Ours | Theirs, data: Transitions) -> float:
    """Mean square error of the predicted change, in deviations of each entry's change."""
    change = data.next_observations - data.observations
    return float((((arm.predict(data) - change) / change.std(0)) ** 2).mean())


def markdown(results: list[dict[str, Any]]) -> str:
    """A line for each arm."""
    lines = ["| | s for an epoch | times OfflineRL-Kit's rate | held-out error |", "|---|---|---|---|"]
    for row in results:
        lines.append(f"| {row['arm']} | {row['seconds']:.2f} | {row['ratio']:.2f} | {row['error']:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kit", type=Path, help="a checkout of OfflineRL-Kit")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="of each arm in each round")
    parser.add_argument("--most", type=int, default=20, help="further epochs of theirs")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's rows as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    if arguments.kit is None:
        raise SystemExit("--kit DIR: a checkout of OfflineRL-Kit is needed")
    torch.set_num_threads(1)
    data, unseen = made_up(arguments.rows, OBS, 1), made_up(5000, OBS, 2)
    wide, wide_unseen = made_up(arguments.rows, OBS + 1, 1), made_up(5000, OBS + 1, 2)
    arms = [
        (Theirs(arguments.kit, data), unseen),
        (Ours("ours, `--fast false`", data, fast=False), unseen),
        (Ours("ours", data, fast=True), unseen),
        (Ours("ours, with a margin", wide, fast=True, margins=1), wide_unseen),
    ]
    for _ in range(arguments.rounds):
        for arm, _ in arms:
            arm.epochs(arguments.epochs)
    theirs, ours, spent = arms[0][0], arms[2][0], 0
    base, first = list(theirs.seconds), error(theirs, unseen)
    wanted, made = error(ours, unseen), arguments.rounds * arguments.epochs
    while error(theirs, unseen) > wanted and spent < arguments.most:
        theirs.epochs(1)
        spent += 1
    reached = error(theirs, unseen) <= wanted
    further = sum(theirs.seconds[len(base) :])
    taken = (sum(base) * arguments.epochs + further) / (sum(ours.seconds) * arguments.epochs)
    note = f"{made + spent} epochs of theirs {'reach' if reached else 'do not reach'} the error of {made} of ours: "
    note += f"{taken:.1f} times the time"
    results = []
    for arm, held in arms:
        found, seconds = (first, base) if arm is theirs else (error(arm, held), arm.seconds)
        ratio = statistics.median(a / b for a, b in zip(base, seconds, strict=True))
        row = {"arm": arm.label, "seconds": statistics.median(seconds), "ratio": ratio, "error": found}
        results.append({**row, "rounds": seconds})
    print(markdown(results), note, sep="\n")
    if arguments.out:
        words = " ".join(sys.argv[1:]).replace(str(arguments.kit), "DIR")  # no path of this machine in the results
        about = {"command": f"python benchmarks/dynamics.py {words}", "commit": commit()}
        arguments.out.write_text(
            json.dumps({"machine": versions(), **about, "note": note, "results": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
