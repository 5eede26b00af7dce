"""Random streams: one generator per purpose, saved together.

What one part draws never shifts another: stock and PROCO see the same batches, loading a model changes no run, and two
runs can live in one process.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

# networks: first weights (drawn on the CPU); batches: which rows an update sees; imagination: starts, noise and elites
# of the rollouts, and which imagined rows an update sees; noise: what an algorithm draws within an update.
PURPOSES = ("networks", "batches", "imagination", "noise")


def derived_seed(seed: int, *names: object) -> int:
    """A seed for one purpose: 62 bits of a hash of the run's seed and the purpose's name."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


class Streams:
    """The generators of one run: `streams["batches"]` and so on, for each of `PURPOSES`."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self._seed = seed
        self._generators = {
            name: torch.Generator("cpu" if name == "networks" else device).manual_seed(derived_seed(seed, name))
            for name in PURPOSES
        }

    def __getitem__(self, purpose: str) -> torch.Generator:
        return self._generators[purpose]

    def state_dict(self) -> dict[str, Tensor]:
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state_dict(self, states: Mapping[str, Tensor], step: int) -> bool:
        """Go on where `states` stood. Whether that was possible.

        The state of a GPU's generator means nothing to a CPU's: a run that moved goes on with generators seeded by its
        seed and `step`, so that the rest of it is as random, though not the same numbers.
        """
        kept = True
        for name, generator in self._generators.items():
            try:
                generator.set_state(states[name].cpu())
            except (RuntimeError, KeyError):
                generator.manual_seed(derived_seed(self._seed, name, step))
                kept = False
        return kept


@contextlib.contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Within the block, `generator` stands in for PyTorch's global one of the same device.

    OSRL's networks and losses name no generator. The global one is afterwards as it was before.
    """
    default = torch.default_generator
    if generator.device.type == "cuda":
        default = torch.cuda.default_generators[generator.device.index or 0]
    before = default.get_state()
    default.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(default.get_state())
        default.set_state(before)


def normal(shape: Sequence[int], generator: torch.Generator, device: torch.device | str) -> Tensor:
    """Normal noise of `shape` on `device`, drawn where the generator lives."""
    return torch.randn(tuple(shape), generator=generator, device=generator.device).to(device)


class RowNoise:
    """Normal noise for several episodes at once, each from a seed of its own.

    What an episode draws depends on its seed alone, however many others run beside it.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = device
        self._generators: dict[int, torch.Generator] = {}

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        """Row `rows[i]` begins an episode with `seeds[i]`."""
        for row, seed in zip(rows, seeds, strict=True):
            self._generators[row] = torch.Generator().manual_seed(derived_seed(seed, "policy"))

    def normal(self, count: int, *shape: int) -> Tensor:
        """Noise (count, *shape) for rows 0 to count - 1, on the device."""
        rows = [torch.randn(shape, generator=self._generators[row]) for row in range(count)]
        return torch.stack(rows).to(self._device)
