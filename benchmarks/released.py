"""OSRL's own classes, trainers and loaders, as its training scripts put them together: what `updates.py` measures by.

The loader runs in the process itself (`num_workers=0`), so that its CPU time counts like ours.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from osrl_proco.data.transitions import Transitions
from osrl_proco.run.config import config_class

NAMES = {name.lower(): name for name in ("BC", "BCQL", "BEARL", "CPQ", "COptiDICE", "CDT")}


class Silent:
    """A logger that keeps nothing."""

    def store(self, **figures: Any) -> None:
        pass


def update_of(name: str, data: Transitions) -> Callable[[], None]:
    """One update of OSRL's `name` at its published sizes, the batch drawn by OSRL's loader."""
    from osrl import algorithms  # after osrl_proco, which mends it for today's Python

    config, arrays = config_class(name)(algo=name), dict(data.arrays())
    model_class, trainer_class = (getattr(algorithms, NAMES[name] + end) for end in ("", "Trainer"))
    given = {
        **vars(config),
        "state_dim": data.observations.shape[1],
        "action_dim": data.actions.shape[1],
        "max_action": 1.0,
        "episode_len": 1000,
        "device": "cpu",
        "target_entropy": -data.actions.shape[1],
    }
    loaded = _dataset(name, config, arrays)
    if name == "coptidice":
        facts = loaded.get_dataset_states()
        given.update(zip(("init_state_propotion", "observations_std", "actions_std"), facts, strict=True))
    torch.manual_seed(0)
    model = model_class(**_accepted(model_class, given))
    trainer = trainer_class(model, None, Silent(), **_accepted(trainer_class, given))
    batches = iter(DataLoader(loaded, batch_size=config.batch_size, num_workers=0))

    def update() -> None:
        batch = next(batches)
        if name == "bc":
            trainer.train_one_step(batch[0], batch[2])
        elif name == "coptidice":
            trainer.train_one_step(batch)
        else:
            trainer.train_one_step(*batch)

    return update


def _dataset(name: str, config: Any, arrays: dict[str, np.ndarray]) -> Any:
    from osrl.common.dataset import SequenceDataset, TransitionDataset, process_bc_dataset

    if name == "cdt":  # without its augmentation, which is done once and needs OApackage
        return SequenceDataset(
            arrays, config.seq_len, config.reward_scale, cost_sample=True, cost_transform=lambda cost: 70 - cost
        )
    if name == "bc":
        process_bc_dataset(arrays, config.cost_limit, 1.0, "all")
        return TransitionDataset(arrays)
    return TransitionDataset(arrays, config.reward_scale, config.cost_scale, state_init=name == "coptidice")


def _accepted(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    names = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {k: v for k, v in given.items() if k in names}
