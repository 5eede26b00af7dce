"""Pictures of the embedded tasks, which have no renderer, and the line of text below every frame of a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..envs import BrakeEnv, EmbeddedTask, PointRobotEnv

SIZE = 480  # width of a drawing, in pixels
STRIP = 64  # height of the text below a frame
_SKY, _ROAD, _DARK, _RED, _BLUE, _GREEN = "#eef2f6", "#c9ced4", "#20242a", "#c8402f", "#2f62b0", "#3c9a4c"


def draw(env: EmbeddedTask, state: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) of an embedded task in `state` (obs_dim,)."""
    if isinstance(env, BrakeEnv):
        return _brake(env, state)
    assert isinstance(env, PointRobotEnv)
    return _point_robot(env, state)


def _brake(env: BrakeEnv, state: np.ndarray) -> np.ndarray:
    image = Image.new("RGB", (SIZE, SIZE // 2), _SKY)
    pen = ImageDraw.Draw(image)
    ground, scale = 170, 380 / env.wall
    pen.rectangle((0, ground, SIZE, SIZE // 2), fill=_ROAD)
    wall = 30 + scale * env.wall
    pen.rectangle((wall, 60, SIZE, ground), fill=_DARK)
    gap, velocity = float(state[0]), float(state[1])
    x = 30 + scale * (env.wall - gap)  # the cart's front
    colour = _RED if gap <= 0 else _BLUE
    pen.rectangle((x - 34, ground - 30, x, ground - 8), fill=colour)
    for wheel in (x - 28, x - 12):
        pen.ellipse((wheel, ground - 12, wheel + 10, ground - 2), fill=_DARK)
    end = x - 17 + 18 * velocity
    pen.line((x - 17, ground - 42, end, ground - 42), fill=_GREEN, width=3)
    font = _font(14)
    pen.text((10, 10), f"gap {gap:5.2f} m   velocity {velocity:5.2f} m/s", fill=_DARK, font=font)
    return np.asarray(image)


def _point_robot(env: PointRobotEnv, state: np.ndarray) -> np.ndarray:
    image = Image.new("RGB", (SIZE, SIZE), _SKY)
    pen = ImageDraw.Draw(image)
    reach = 2.0

    def at(x: float, y: float) -> tuple[float, float]:
        return SIZE * (x + reach) / (2 * reach), SIZE * (reach - y) / (2 * reach)

    def circle(x: float, y: float, radius: float, colour: str) -> None:
        u, v = at(x, y)
        r = radius * SIZE / (2 * reach)
        pen.ellipse((u - r, v - r, u + r, v + r), fill=colour)

    for x, y, radius in env.hazards.tolist():
        circle(x, y, radius, "#e8a79d")
    circle(env.goal[0], env.goal[1], 0.08, _GREEN)
    x, y, vx, vy = (float(v) for v in state[:4])
    pen.line((*at(x, y), *at(x + 0.4 * vx, y + 0.4 * vy)), fill=_DARK, width=3)
    circle(x, y, 0.06, _RED if env.is_unsafe(state[None])[0] else _BLUE)
    return np.asarray(image)


def caption(frame: np.ndarray, step: int, ret: float, cost: float, value: float | None) -> np.ndarray:
    """The frame (H, W, 3) over a strip with step, return, running cost and V(s), lost states in red; even sizes."""
    height, width = (n - n % 2 for n in frame.shape[:2])
    image = Image.new("RGB", (width, height + STRIP), "white")
    image.paste(Image.fromarray(np.ascontiguousarray(frame[:height, :width])), (0, 0))
    pen, font = ImageDraw.Draw(image), _font(18)
    pen.text((10, height + 6), f"step {step}    return {ret:.2f}", fill=_DARK, font=font)
    pen.text((10, height + 34), f"cost {cost:g}", fill=_RED if cost > 0 else _GREEN, font=font)
    if value is not None:
        word, colour = ("lost", _RED) if value > 0 else ("feasible", _GREEN)
        pen.text((130, height + 34), f"V(s) {value:+.3f}  {word}", fill=colour, font=font)
    return np.asarray(image)


def _font(size: int) -> Any:
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
