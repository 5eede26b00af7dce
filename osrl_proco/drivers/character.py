"""How a scripted driver behaves, drawn once for an episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Character:
    """How a driver behaves for a whole episode.

    reach: distance from a hazard's centre at which it starts to push away (m).
    push: strength of the push; 0 drives straight through.
    throttle: share of full force. noise: deviation of the noise on all actions.
    """

    reach: float
    push: float
    throttle: float
    noise: float


# environment, observation (obs_dim,), character, randomness -> action (act_dim,)
Controller = Callable[[Any, np.ndarray, Character, np.random.Generator], np.ndarray]


def draw_character(rng: np.random.Generator) -> Character:
    """From reckless to timid, slow to fast, exact to noisy."""
    return Character(
        reach=rng.uniform(0.25, 0.7),
        push=0.0 if rng.random() < 0.15 else rng.uniform(0.2, 3.0),
        throttle=rng.uniform(0.25, 1.0),
        noise=rng.uniform(0.05, 0.6),
    )
