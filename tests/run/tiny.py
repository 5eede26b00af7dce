"""Whole runs of seconds."""

from __future__ import annotations

import csv

from osrl_proco.cli import main
from osrl_proco.core.tensors import load_tensors

TINY = [
    "--a_hidden_sizes", "[16,16]", "--c_hidden_sizes", "[16,16]", "--vae_hidden_sizes", "16", "--batch_size", "32",
    "--dynamics_hidden", "[16,16]", "--dynamics_epochs", "2", "--rollout_batch", "200", "--rollout_repeats", "2",
    "--rollout_every", "40", "--checkpoint_every", "25", "--log_every", "10", "--eval_every", "50",
    "--eval_episodes", "2",
    "--threads", "1", "--device", "cpu",
]  # fmt: skip


def train(folder, *flags, steps=100, algo="bcql"):
    words = ["train", "--algo", algo, "--logdir", str(folder), "--update_steps", str(steps), *TINY, *flags]
    assert main(words) == 0


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def timeless(path):
    return [{k: v for k, v in r.items() if k != "updates_per_second"} for r in rows(path)]


def weights(folder):
    return load_tensors(folder / "checkpoint" / "state.pt")["agent"]["model"]
