"""`osrl-proco demo`: the whole point in a few minutes, on a task whose truth is known."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from ..algorithms.registry import algorithm, algorithms
from ..core.errors import UserError
from ..run import settings
from ..run.config import ProcoConfig
from ..run.folder import RunFolder


def main(argv: list[str]) -> int:
    """Train stock and PROCO on the same safe-only data, compare policies and critics, draw the feasible sets."""
    twins = [name for name, spec in algorithms().items() if spec.twin]
    parser = argparse.ArgumentParser(
        prog="osrl-proco demo",
        description="Train an OSRL algorithm on an embedded task's safe-only data, stock and with PROCO; print what "
        "both policies do, how well the critic knows the true feasible set, and save a picture of it.",
    )
    parser.add_argument("--task", default="OfflineBrake-v0", metavar="ID", help="embedded task (default: %(default)s)")
    parser.add_argument("--algo", default="fisor", metavar="NAME", help=f"{', '.join(twins)} (default: fisor)")
    parser.add_argument("--update_steps", type=int, default=3000, metavar="N", help="updates (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="folder (default: runs/demo)"
    )
    arguments = parser.parse_args(argv)
    if not algorithm(arguments.algo).twin:
        raise UserError(f"--algo {arguments.algo}: has no PROCO twin; choose one of {', '.join(twins)}")
    from ..tasks.task import load_task

    if load_task(arguments.task).simulator != "embedded":
        raise UserError(f"--task {arguments.task}: the demo needs a task with a known truth, such as OfflineBrake-v0")

    words = ["--task", arguments.task, "--algo", arguments.algo, "--update_steps", str(arguments.update_steps)]
    words += ["--seed", str(arguments.seed), "--preset", "laptop", "--eval_every", "0", "--eval_episodes", "50"]
    runs = {kind: _run(words, kind, arguments.out) for kind in ("stock", "proco")}
    print()
    _print_policies(arguments.algo, {kind: folder for kind, (_, folder) in runs.items()})
    _print_critics(*runs["proco"], arguments.out)
    return 0


def _run(words: list[str], kind: str, out: Path) -> tuple[ProcoConfig, RunFolder]:
    """Train one of the two, afresh."""
    from ..run.train import train

    folder = RunFolder(out / kind)
    config = settings.parse([*words, "--proco", str(kind == "proco").lower(), "--logdir", str(folder.path)])
    folder.checkpoint.unlink(missing_ok=True)
    folder.dynamics.unlink(missing_ok=True)
    print(f"\n{config.algo}, {'PROCO' if config.proco else 'stock'} ({folder.path})")
    train(config, folder)
    return config, folder


def _print_policies(algo: str, folders: dict[str, RunFolder]) -> None:
    print(f"{'policy':<16}{'normalised reward':>19}{'normalised cost':>17}{'episodes without violation':>28}")
    for kind, folder in folders.items():
        with (folder.path / "eval.csv").open() as file:
            rows = list(csv.DictReader(file))
        reward, cost = (sum(float(r[k]) for r in rows) / len(rows) for k in ("normalized_reward", "normalized_cost"))
        clean = sum(float(r["cost"]) == 0 for r in rows)
        name = f"{algo} + PROCO" if kind == "proco" else f"{algo} (stock)"
        print(f"{name:<16}{reward:>19.3f}{cost:>17.3f}{f'{clean} of {len(rows)}':>28}")


def _print_critics(config: ProcoConfig, folder: RunFolder, out: Path) -> None:
    """The critic of the PROCO run, and the same critic that saw the recorded data and labels only."""
    import torch

    from ..core.random import drawing_from
    from ..envs import EmbeddedTask
    from ..envs.make import make_env
    from ..evaluation.feasible_set import agreement, fit_critic, picture
    from ..proco.feasibility import FeasibilityLearner
    from ..run.policy import load_policy
    from ..run.prepare import prepare, recorded_only

    loaded = load_policy(folder, "cpu")
    learner = loaded.agent.feasibility
    env = make_env(loaded.task).unwrapped
    assert isinstance(env, EmbeddedTask)
    assert learner is not None
    data = prepare(config, loaded.task, "cpu").data
    with drawing_from(torch.Generator().manual_seed(config.seed)):
        without = FeasibilityLearner.create(
            data.observations.shape[1], data.actions.shape[1], learner.settings, "cpu", lr=1e-3
        )
    steps = min(config.update_steps, 3000)
    fit_critic(recorded_only(data), without, data.observations, steps, loaded.agent.batch_size, config.seed)
    print("\nfeasibility critic against the truth, on states of the same drivers that it has not seen:")
    fresh = config.seed + 1_000_000
    print(f"  with PROCO     {agreement(learner.critic, env, fresh)}")
    print(f"  without PROCO  {agreement(without.critic, env, fresh)}")
    file = out / "feasible_set.png"
    picture(env, {"without PROCO": without.critic, "with PROCO": learner.critic}, data.observations.numpy(), file)
    print(f"\nPicture of both: {file}")
