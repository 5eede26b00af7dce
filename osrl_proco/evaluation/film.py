"""One episode as pictures, with the running cost and V(s) on them: into an MP4 file, or into a window."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..algorithms.agent import Policy
from ..core.errors import UserError, first_line
from ..core.files import make_folder, replacing
from ..envs import EmbeddedTask
from ..envs.camera import render_options, simulator_camera
from ..envs.make import checked_reset, checked_step, make_env
from ..proco.feasibility import FeasibilityCritic
from ..tasks.task import Task
from .drawing import caption, draw

FRAMES = 250  # of a film, at most: a software renderer draws 2 to 20 a second
RATE = 25  # frames per second


def frames(
    policy: Policy,
    task: Task,
    seed: int,
    episode_len: int,
    device: str = "cpu",
    critic: FeasibilityCritic | None = None,
) -> Iterator[np.ndarray]:
    """The episode with `seed`, every so many steps a captioned picture (H, W, 3), the last state among them.

    critic: whose V(s) is shown; None for a run without one.
    """
    env = make_env(task, **render_options(task))
    where = f"film of {task.id}, episode with seed {seed}"
    observation = checked_reset(env, seed, where)
    base = env.unwrapped
    camera = (lambda: draw(base, observation)) if isinstance(base, EmbeddedTask) else simulator_camera(task, env)
    policy.reset([0], [seed])
    every = math.ceil(episode_len / FRAMES)
    step, ret, total, done = 0, 0.0, 0.0, False
    while True:
        state = torch.as_tensor(np.asarray(observation)[None], dtype=torch.float32, device=device)
        done = done or step >= episode_len
        if step % every == 0 or done:
            with torch.no_grad():
                value = float(critic.value(state)) if critic is not None else None
            yield caption(camera(), step, ret, total, value)
        if done:
            break
        action = policy.act(state).cpu().numpy()[0]
        observation, reward, cost, done = checked_step(env, action, where)
        policy.observe(torch.tensor([reward], device=device), torch.tensor([cost], device=device))
        step, ret, total = step + 1, ret + reward, total + cost
    env.close()


def save(pictures: Iterable[np.ndarray], file: Path) -> int:
    """Write an MP4 file, whole or not at all; the number of frames. Raises UserError where that can't be done."""
    if file.suffix.lower() != ".mp4":
        raise UserError(f"--video {file}: the name must end in .mp4")
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(f"--video: {first_line(error)}; pip install imageio-ffmpeg") from None
    make_folder(file.parent, "--video")
    count, writer, pause = 0, None, 0.1 if sys.stderr.isatty() else 30.0
    with replacing(file) as partial:
        try:
            for picture in tqdm(pictures, desc="Filming", unit="frame", leave=False, mininterval=pause):
                if writer is None:
                    # The partial file's name says nothing of its format.
                    writer = imageio_ffmpeg.write_frames(
                        str(partial), picture.shape[1::-1], fps=RATE, macro_block_size=2, output_params=["-f", "mp4"]
                    )
                    writer.send(None)
                writer.send(np.ascontiguousarray(picture))
                count += 1
        finally:
            if writer is not None:
                writer.close()
    return count


def show(pictures: Iterable[np.ndarray]) -> None:
    """Show the pictures in a window until the last one, or until it is closed. Raises UserError without a screen."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError("--render: there is no screen here (DISPLAY is not set); record a film: --video FILE.mp4")
    import matplotlib.pyplot as plt

    if not hasattr(plt.get_current_fig_manager(), "window"):
        plt.close("all")
        raise UserError(
            "--render: Matplotlib has no window toolkit here; pip install PyQt6, or record --video FILE.mp4"
        )
    figure = plt.gcf()
    axis = figure.add_axes((0, 0, 1, 1), frameon=False)
    axis.set_axis_off()
    image = None
    for picture in pictures:
        if image is None:
            image = axis.imshow(picture)
        image.set_data(picture)
        plt.pause(1 / RATE)
        if not plt.fignum_exists(figure.number):  # type: ignore[attr-defined]
            return
    plt.show()
