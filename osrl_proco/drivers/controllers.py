"""Which driver collects which task's data."""

from __future__ import annotations

from ..core.errors import UserError, nearest
from .behaviours import BEHAVIOURS
from .bullet import BULLET
from .character import Controller
from .navigation import NAVIGATION

CONTROLLERS: dict[str, Controller] = {**NAVIGATION, **BEHAVIOURS, **BULLET}


def controller(task_id: str) -> Controller:
    """The scripted driver of a task. Raises UserError where there is none."""
    if task_id not in CONTROLLERS:
        raise UserError(
            f"no scripted driver for {task_id!r} (there are: {', '.join(CONTROLLERS)}){nearest(task_id, CONTROLLERS)}"
        )
    return CONTROLLERS[task_id]
