"""`osrl-proco eval`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import UserError
from ..run.folder import RunFolder


def main(argv: list[str]) -> int:
    """Run the last checkpoint of a run in its simulator; print and write the scores."""
    parser = argparse.ArgumentParser(
        prog="osrl-proco eval",
        description="Run a trained policy (its last checkpoint, deterministic) in the simulator; print the means "
        "and write one row per episode to DIR/evaluation-seed<S>.csv.",
    )
    parser.add_argument("--path", required=True, metavar="DIR", help="folder of the run")
    parser.add_argument("--eval_episodes", type=int, default=20, metavar="N", help="episodes (default: 20)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the i-th episode is reset with S + i (default: 0)"
    )
    parser.add_argument("--algo", metavar="NAME", help="refuse the checkpoint unless it is of this algorithm")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: auto)")
    arguments = parser.parse_args(argv)
    if arguments.eval_episodes < 1:
        raise UserError(f"--eval_episodes: {arguments.eval_episodes} must be 1 or more")

    from ..evaluation.episodes import evaluate, summary
    from ..run.policy import load_policy

    folder = RunFolder(Path(arguments.path))
    loaded = load_policy(folder, arguments.device, arguments.algo)
    episodes = evaluate(
        loaded.agent.act,
        loaded.task,
        episodes=arguments.eval_episodes,
        seed=arguments.seed,
        cost_limit=loaded.config.cost_limit,
        episode_len=loaded.config.episode_len,
        device=loaded.device,
    )
    file = f"evaluation-seed{arguments.seed}.csv"
    (folder.path / file).unlink(missing_ok=True)
    folder.append_episodes(file, loaded.step, episodes)
    means = summary(episodes)
    print(f"{loaded.config.algo}{'' if loaded.config.proco else ' (stock)'} on {loaded.task.id}, step {loaded.step}, ")
    print(f"{len(episodes)} episodes, seeds {arguments.seed} to {arguments.seed + len(episodes) - 1}")
    print(f"  normalised reward  {means['normalized_reward']:8.3f}   (return {means['return']:.2f})")
    safe = "safe" if means["normalized_cost"] <= 1 else "not safe"
    limit = loaded.config.cost_limit
    print(f"  normalised cost    {means['normalized_cost']:8.3f}   (cost {means['cost']:.2f}, limit {limit:g}: {safe})")
    print(f"  without violation  {means['violation_free']:8.1%}")
    print(f"  written to {folder.path / file}")
    return 0
