"""`osrl-proco dynamics fit`."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import UserError
from ..run import settings
from ..run.config import ProcoConfig

_HELP = """\
usage: osrl-proco dynamics fit --task ID --out FILE [--dataset FILE] [--seed S] [--dynamics_* VALUE]

Fit the dynamics ensemble to a task's data (safe-only, as train does) and write it to FILE; several runs can then
share it with: osrl-proco train --dynamics FILE. Prints the held-out error of every member.

flags (of train) that matter here: --task, --dataset, --safe_only, --keep_unsafe, --seed, --device, --threads,
  --dynamics_hidden, --members, --elites, --dynamics_epochs, --dynamics_batch, --dynamics_lr, --dynamics_patience
"""


def main(argv: list[str]) -> int:
    """Fit and save a dynamics model."""
    if not argv or "-h" in argv or "--help" in argv:
        print(_HELP)
        return 0
    if argv[0] != "fit":
        raise UserError(f"dynamics: unknown action {argv[0]!r}; use: osrl-proco dynamics fit --task ID --out FILE")
    words, out = settings.take(argv[1:], "--out")
    if out is None:
        raise UserError("dynamics fit: --out FILE is missing")
    config = settings.parse(words)
    fit_to_file(config, Path(out))
    return 0


def fit_to_file(config: ProcoConfig, out: Path) -> None:
    """Fit the model of `config` and write it to `out`."""
    import torch

    from ..run.prepare import cost_function, danger_of, fit_dynamics, prepare, resolve_device, save_dynamics
    from ..tasks.task import load_task

    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist")
    device = resolve_device(config.device)
    torch.set_num_threads(config.threads)
    prepared = prepare(config, load_task(config.task), device)
    rule = cost_function(config.cost_function, prepared, config)
    danger = danger_of(config, prepared, rule)
    model, errors = fit_dynamics(config, prepared.data, danger)
    for member, error in enumerate(errors):
        print(f"  member {member}: {error:.5f}{'  elite' if member in model.elites else ''}")
    save_dynamics(model, out, config, rule, danger, errors)
    print(f"Written to {out}; use it with: osrl-proco train --task {config.task} --dynamics {out}")
