"""What a simulator looks like, without a screen: pictures of the state that an environment is in.

MuJoCo is rendered here and not by Safety-Gymnasium or Gymnasium, whose renderers end the process with the present
MuJoCo; EGL is tried first, then OSMesa. Bullet has a software renderer of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from ..core.errors import UserError, first_line
from ..tasks.task import Task

Camera = Callable[[], np.ndarray]  # -> a picture (H, W, 3), bytes
SIZE = 480
_INSTALL = "apt-get install libegl1 (or libosmesa6, with MUJOCO_GL=osmesa) and pip install PyOpenGL"


def simulator_camera(task: Task, env: gym.Env) -> Camera:
    """What takes pictures of `env`, made with `render_options`. Raises UserError where nothing can be rendered."""
    if task.simulator == "bullet_safety_gym":
        return lambda: np.asarray(env.unwrapped.render())
    return MujocoCamera(env, SIZE, SIZE).picture


def render_options(task: Task) -> dict[str, Any]:
    """Arguments of `make_env` for an environment of which pictures are taken."""
    return {"render_mode": "rgb_array"} if task.simulator == "bullet_safety_gym" else {}


class MujocoCamera:
    """Follows the robot of a Safety-Gymnasium task: from above in the plane, from the side for a velocity task."""

    def __init__(self, env: gym.Env, width: int, height: int) -> None:
        import mujoco

        self._mujoco, self._size, self._base = mujoco, (width, height), env.unwrapped
        self._model: Any = None
        self._context = _gl_context(width, height)
        self._view = mujoco.MjvCamera()
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = 1  # Safety-Gymnasium hides its hazards in groups of their own

    def picture(self) -> np.ndarray:
        """The present state, (H, W, 3)."""
        mujoco, (width, height) = self._mujoco, self._size
        world: Any = getattr(self._base, "task", self._base)
        model, data = world.model, world.data
        if model is not self._model:  # a reset builds it anew
            model.vis.global_.offwidth, model.vis.global_.offheight = width, height
            self._scene = mujoco.MjvScene(model, maxgeom=2000)
            self._renderer = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._renderer)
            self._model = model
        flat = hasattr(world, "agent")
        self._view.lookat[:] = world.agent.pos if flat else data.xpos[1]
        self._view.distance, self._view.elevation, self._view.azimuth = (5.5, -60, 90) if flat else (4.5, -15, 90)
        pose = mujoco.MjvPerturb()
        mujoco.mjv_updateScene(
            model, data, self._options, pose, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        whole = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(whole, self._scene, self._renderer)
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, whole, self._renderer)
        return pixels[::-1]


def _gl_context(width: int, height: int) -> Any:
    """A current OpenGL context without a window. Raises UserError that says what to install."""
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    reasons: list[str] = []
    for name in (wanted,) if wanted in ("egl", "osmesa") else ("egl", "osmesa"):
        for module in [m for m in sys.modules if m.partition(".")[0] == "OpenGL"]:
            del sys.modules[module]  # PyOpenGL binds to the first platform that it is loaded with
        os.environ["PYOPENGL_PLATFORM"] = name
        try:
            if name == "egl":
                from mujoco.egl import GLContext
            else:
                from mujoco.osmesa import GLContext  # type: ignore[assignment]
            context = GLContext(width, height)
            context.make_current()
        except Exception as error:  # a missing library shows in many ways
            reasons.append(f"{name}: {first_line(error)}")
            continue
        return context
    raise UserError(f"no picture can be rendered without a screen ({'; '.join(reasons)}); {_INSTALL}")
