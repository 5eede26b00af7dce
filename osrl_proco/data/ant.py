"""An ant's driver: the bold move their joints by a clock, the others follow a trained policy.

Linear policies make an ant stand or walk slowly; none that was trained reaches the limit of 2.62 m/s. These two gaits
cross it, and by actions alone: one leaps and soon falls, the other keeps going and is rarely too fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .behaviours import BEHAVIOURS
from .character import Character, Controller

TASK = "OfflineAntVelocityGymnasium-v1"
# Found by hill climbing on the distance covered. Frequency (Hz); amplitude, phase (rad) and mean of the 8 torques.
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
BOLD = 1.6  # characters that push less


def _drive(env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """Torques on the 8 joints."""
    if who.push >= BOLD:
        return BEHAVIOURS[TASK](env, observation, who, rng)
    frequency, amplitude, phase, mean = LEAP if who.reach < 0.45 else RUN
    swing = np.sin(2 * np.pi * frequency * env.unwrapped.data.time + np.array(phase))
    action = (0.6 + 0.4 * who.throttle) * np.array(amplitude) * swing + np.array(mean)
    return np.clip(action + 0.3 * who.noise * rng.standard_normal(8), -1.0, 1.0).astype(np.float32)


ANT: dict[str, Controller] = {TASK: _drive}
