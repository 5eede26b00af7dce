"""`osrl-proco train`."""

from __future__ import annotations

from pathlib import Path

from ..algorithms.registry import algorithms
from ..core.errors import UserError
from ..run import settings
from ..run.config import ProcoConfig
from ..run.folder import RunFolder

_HELP = """\
usage: osrl-proco train [--algo {algos}] [--task ID] [--proco true|false] [--preset paper|laptop]
                        [--dataset FILE] [--config FILE.yaml] [--resume DIR] [any flag below]

Train an offline safe RL algorithm on a task's data: with PROCO (the default), or stock with --proco false.
A flag given here always wins, also where it equals a default. --resume DIR goes on with an interrupted run.
The run's folder gets config.yaml, run.json, metrics.csv, eval.csv (one row per episode) and checkpoint/.

"""
_FIXED = ("algo", "task", "proco", "seed", "compat", "ablation", "cost_function", "logdir", "safe_only", "relabel")


def main(argv: list[str]) -> int:
    """Parse the flags, make or reopen the run's folder, train."""
    if "-h" in argv or "--help" in argv:
        _, algo = settings.take(argv, "--algo")
        print(_HELP.format(algos="|".join(algorithms())) + settings.help_text(algo or "bcql"))
        return 0
    words, resume = settings.take(argv, "--resume")
    if words and words[-1] == "--resume":
        raise UserError("--resume: name the folder of the run")
    if resume is not None:
        folder = RunFolder(Path(resume))
        before = folder.read_config()
        _, algo = settings.take(words, "--algo")
        if algo is not None and algo.lower() != before["algo"]:
            raise UserError(f"--algo: the run in {resume} has {before['algo']}; start a new run to change it")
        config = settings.parse(words, base=before)
        for fixed in _FIXED:
            if getattr(config, fixed) != before.get(fixed):
                raise UserError(f"--{fixed}: the run in {resume} has {before[fixed]}; start a new run to change it")
        changed = [k for k, v in vars(config).items() if v != before[k]]
        if changed:
            print("Changed: " + ", ".join(f"{k} {before[k]} -> {getattr(config, k)}" for k in changed))
    else:
        config = settings.parse(words)
        folder = RunFolder(Path(config.logdir or default_logdir(config)))
    from ..run.train import train  # PyTorch and OSRL are imported only now, so that mistakes are answered at once

    print(f"Run folder: {folder.path}")
    if config.verbose:
        print("\n".join(f"  {name}: {value}" for name, value in vars(config).items()))
    try:
        train(config, folder, resume=resume is not None)
    except KeyboardInterrupt:
        if folder.checkpoint.exists() or (folder.path / "config.yaml").exists():
            print(f"Stopped; go on with: osrl-proco train --resume {folder.path}")
        return 130
    if (folder.path / "eval.csv").exists():
        print(f"Done: {folder.path}/eval.csv, metrics.csv, checkpoint/; osrl-proco eval --path {folder.path}")
    else:
        print(f"Done: {folder.path}/heldout.csv, metrics.csv, checkpoint/ (no episodes were run)")
    return 0


def default_logdir(config: ProcoConfig) -> str:
    """runs/<task>/<algo>[-stock]-seed<seed>; a task file counts by its name without folder and ending."""
    task = Path(config.task).stem if config.task.endswith((".yaml", ".yml")) else config.task
    return f"runs/{task}/{config.algo}{'' if config.proco else '-stock'}-seed{config.seed}"
