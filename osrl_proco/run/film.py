"""A film of a run's last checkpoint."""

from __future__ import annotations

from pathlib import Path

from ..evaluation.film import frames, save, show
from .folder import RunFolder
from .policy import critic_of, load_policy


def film(folder: RunFolder, video: Path | None, seed: int, device: str = "auto", algo: str | None = None) -> None:
    """Film the episode that is reset with `seed` into `video`, or show it in a window where that is None."""
    trained = load_policy(folder, device, algo)
    pictures = frames(
        trained.policy(), trained.task, seed, trained.episode_len, trained.device, critic_of(trained.agent)
    )
    if video is None:
        show(pictures)
        return
    count = save(pictures, video)
    print(f"{video}: {count} frames of the episode with seed {seed}")
