"""`osrl-proco eval`."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError

if TYPE_CHECKING:
    from ..run.evaluation import Evaluation
    from ..run.folder import RunFolder


def main(argv: list[str]) -> int:
    """Run the last checkpoint of a run in its simulator; print and write the scores, or film one episode."""
    arguments = _parser().parse_args(argv)
    path = arguments.path or arguments.folder
    if path is None or (arguments.path and arguments.folder):
        raise UserError("eval: name one folder of a run: osrl-proco eval --path DIR")
    from ..run.ranges import MAX_SEED

    if not 0 <= arguments.seed <= MAX_SEED:
        raise UserError(f"--seed: {arguments.seed} must lie between 0 and {MAX_SEED}")
    if arguments.eval_episodes < 1:
        raise UserError(f"--eval_episodes: {arguments.eval_episodes} must be 1 or more")
    if not 0 <= arguments.lookahead <= 100:
        raise UserError(f"--lookahead: {arguments.lookahead} must lie between 0 and 100 steps")
    if arguments.workers is not None and arguments.workers < 0:
        raise UserError(f"--workers: {arguments.workers} must be 0 or more")

    from ..run.folder import RunFolder

    folder = RunFolder(Path(path))
    if arguments.video or arguments.render:
        from ..run.film import film

        film(folder, arguments.video, arguments.seed, arguments.device, arguments.algo)
        return 0
    from ..run.evaluation import evaluate_run

    done = evaluate_run(
        folder,
        episodes=arguments.eval_episodes,
        seed=arguments.seed,
        workers=arguments.workers,
        protocol=arguments.protocol,
        device=arguments.device,
        algo=arguments.algo,
        lookahead=arguments.lookahead,
        dynamics=arguments.dynamics,
    )
    file = _write(folder, done, arguments.seed)
    _print(done, arguments.eval_episodes, arguments.seed)
    print(f"  written to {file}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="osrl-proco eval",
        description="Run a trained policy (its last checkpoint, deterministic) in the simulator; print the means "
        "and write one row per episode to DIR/evaluation-seed<S>.csv (with --protocol dsrl: evaluation-dsrl-seed<S>"
        ".csv). Or film one episode (--video), or watch it (--render).",
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="folder of the run")
    parser.add_argument("--path", metavar="DIR", help="the same, by OSRL's name")
    parser.add_argument("--eval_episodes", type=int, default=20, metavar="N", help="episodes (default: 20)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the i-th episode is reset with S + i (default: 0)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that step the simulator, 0 or 1: this one (default: one for each core for "
        "navigation tasks, else 0). "
        "The rows are the same for every number",
    )
    parser.add_argument(
        "--protocol",
        choices=("paper", "dsrl"),
        default="paper",
        help="paper: the run's report_cost_limit (the default); dsrl: the mean over DSRL's three limits",
    )
    parser.add_argument(
        "--lookahead",
        type=int,
        default=0,
        metavar="K",
        help="before it acts, the policy rolls candidates K steps through the dynamics model and takes the first that "
        "stays out of danger (ours, not the paper's; default: 0, none)",
    )
    parser.add_argument("--dynamics", metavar="FILE", help="that model (default: the run's own)")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="film the episode of --seed, with cost and V(s)")
    parser.add_argument("--render", action="store_true", help="show the episode of --seed in a window")
    parser.add_argument("--algo", metavar="NAME", help="refuse the checkpoint unless it is of this algorithm")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: auto)")
    return parser


def _write(folder: RunFolder, done: Evaluation, seed: int) -> Path:
    ahead = f"-lookahead{done.trained.ahead.steps}" if done.trained.ahead else ""
    file = f"evaluation{'' if done.protocol == 'paper' else f'-{done.protocol}'}{ahead}-seed{seed}.csv"
    with contextlib.suppress(OSError):  # where it can't be removed, appending says why
        (folder.path / file).unlink()
    folder.append(file, done.rows)
    return folder.path / file


def _print(done: Evaluation, episodes: int, seed: int) -> None:
    means, config = done.means, done.trained.config
    limits = list(dict.fromkeys(row["cost_limit"] for row in done.rows))
    mode = "" if config.proco else " (stock)"
    if done.trained.ahead:
        mode += f", looking {done.trained.ahead.steps} steps ahead"
    print(f"{config.algo}{mode} on {done.trained.task.id}, step {done.trained.step}, ")
    print(f"{episodes} episodes, seeds {seed} to {seed + episodes - 1}")
    print(f"  normalised reward  {means['normalized_reward']:8.3f}   (return {means['return']:.2f})")
    safe = "safe" if means["normalized_cost"] <= 1 else "not safe"
    shown = f"limit {limits[0]:g}" if len(limits) == 1 else f"mean over limits {', '.join(f'{x:g}' for x in limits)}"
    print(f"  normalised cost    {means['normalized_cost']:8.3f}   (cost {means['cost']:.2f}, {shown}: {safe})")
    print(f"  without violation  {means['violation_free']:8.1%}")
