"""Drivers of Ant and Walker2d: the bold move their joints by a clock, the others follow a trained policy.

The linear policies that were trained stand or walk slowly; none reaches the speed limit. These gaits cross it by
actions alone: LEAP and WALKER_LEAP soon fall, RUN keeps going and is rarely too fast.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .behaviours import BEHAVIOURS
from .character import Character, Controller

Gait = tuple[float, tuple[float, ...], tuple[float, ...], tuple[float, ...]]
# Found by hill climbing on the distance covered (benchmarks/search_gaits.py). Frequency (Hz); amplitude, phase (rad)
# and mean of every torque.
LEAP = (
    2.18,
    (-0.79, 0.16, 0.52, 0.06, 0.50, 0.51, -0.62, 0.86),
    (2.11, 3.77, 0.54, 6.28, 4.09, 3.08, 3.55, 0.06),
    (-0.15, 0.25, -0.24, -0.20, 0.04, 0.17, 0.24, 0.23),
)
RUN = (
    1.65,
    (-0.82, 0.28, 0.39, 0.03, 0.60, 0.06, -0.38, 0.85),
    (2.24, 3.58, 0.53, 6.08, 4.48, 2.95, 3.47, 0.03),
    (-0.79, 0.35, -0.34, -0.13, -0.19, 0.11, 0.12, 0.41),
)
WALKER_LEAP = (
    2.34,
    (0.00, 0.47, -0.41, -0.65, 1.20, -0.64),
    (3.20, 1.14, 2.30, 2.19, 3.59, 3.91),
    (0.51, 1.11, 0.20, -0.01, -0.18, 0.05),
)
BOLD = 1.6  # characters that push less


def _drive(
    task: str, gaits: tuple[Gait, Gait], env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator
) -> np.ndarray:
    """Torques on the joints."""
    if who.push >= BOLD:
        return BEHAVIOURS[task](env, observation, who, rng)
    frequency, amplitude, phase, mean = gaits[0] if who.reach < 0.45 else gaits[1]
    swing = np.sin(2 * np.pi * frequency * env.unwrapped.data.time + np.array(phase))
    action = (0.6 + 0.4 * who.throttle) * np.array(amplitude) * swing + np.array(mean)
    return np.clip(action + 0.3 * who.noise * rng.standard_normal(len(action)), -1.0, 1.0).astype(np.float32)


GAITS: dict[str, Controller] = {
    task: partial(_drive, task, gaits)
    for task, gaits in (
        ("OfflineAntVelocityGymnasium-v1", (LEAP, RUN)),
        ("OfflineWalker2dVelocityGymnasium-v1", (WALKER_LEAP, WALKER_LEAP)),
    )
}
