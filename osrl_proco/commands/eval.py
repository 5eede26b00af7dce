"""`osrl-proco eval`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path

from ..core.errors import UserError
from ..run.folder import RunFolder
from ..run.ranges import MAX_SEED


def main(argv: list[str]) -> int:
    """Run the last checkpoint of a run in its simulator; print and write the scores."""
    parser = argparse.ArgumentParser(
        prog="osrl-proco eval",
        description="Run a trained policy (its last checkpoint, deterministic) in the simulator; print the means "
        "and write one row per episode to DIR/evaluation-seed<S>.csv.",
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="folder of the run")
    parser.add_argument("--path", metavar="DIR", help="the same, by OSRL's name")
    parser.add_argument("--eval_episodes", type=int, default=20, metavar="N", help="episodes (default: 20)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the i-th episode is reset with S + i (default: 0)"
    )
    parser.add_argument("--algo", metavar="NAME", help="refuse the checkpoint unless it is of this algorithm")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: auto)")
    arguments = parser.parse_args(argv)
    path = arguments.path or arguments.folder
    if path is None or (arguments.path and arguments.folder):
        raise UserError("eval: name one folder of a run: osrl-proco eval --path DIR")
    if not 0 <= arguments.seed <= MAX_SEED:
        raise UserError(f"--seed: {arguments.seed} must lie between 0 and {MAX_SEED}")
    if arguments.eval_episodes < 1:
        raise UserError(f"--eval_episodes: {arguments.eval_episodes} must be 1 or more")

    from ..evaluation.episodes import evaluate, summary
    from ..run.policy import load_policy

    folder = RunFolder(Path(path))
    loaded = load_policy(folder, arguments.device, arguments.algo)
    episodes = evaluate(
        loaded.agent.policy(),
        loaded.task,
        episodes=arguments.eval_episodes,
        seed=arguments.seed,
        cost_limit=loaded.config.report_cost_limit,
        episode_len=loaded.episode_len,
        device=loaded.device,
    )
    file = f"evaluation-seed{arguments.seed}.csv"
    with contextlib.suppress(OSError):  # where it can't be removed, appending says why
        (folder.path / file).unlink()
    folder.append(file, [{"step": loaded.step, **dataclasses.asdict(e)} for e in episodes])
    means = summary(episodes)
    print(f"{loaded.config.algo}{'' if loaded.config.proco else ' (stock)'} on {loaded.task.id}, step {loaded.step}, ")
    print(f"{len(episodes)} episodes, seeds {arguments.seed} to {arguments.seed + len(episodes) - 1}")
    print(f"  normalised reward  {means['normalized_reward']:8.3f}   (return {means['return']:.2f})")
    safe = "safe" if means["normalized_cost"] <= 1 else "not safe"
    limit = loaded.config.report_cost_limit
    print(f"  normalised cost    {means['normalized_cost']:8.3f}   (cost {means['cost']:.2f}, limit {limit:g}: {safe})")
    print(f"  without violation  {means['violation_free']:8.1%}")
    print(f"  written to {folder.path / file}")
    return 0
