"""Where the critic lets no action pass: which action would have been the best, and who knows?

    python benchmarks/asked.py --run RUN --out benchmarks/results/asked.json

States of a navigation twin's own episodes in which no action passes, drawn at random, of an episode at most six and
another six that a hit (hits.py) follows within 40 steps. Each is played again up to there, and the 16 actions that the
way back tries and the policy's own are held for 15 steps in a fork of the simulator. Of those 15, how many touch
something, in the mean over the states of either kind, with the standard error: of the `best` action, in the mean of
`any`, of the policy's `own`, and of the one that is taken for the safest by the `critic` (lowest Q) and by the dynamics
model (proco/ways.py), its margins not raised (`still`), raised by what is `usual`, and by what each was `seen` to do by
itself (proco/drift.py). `gain`: that of `seen` over `usual`, state by state. `--out` puts the task's result among those
that the file has, `--table FILE` prints them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hits import Played, hits, play, touches
from kept import keep
from torch import Tensor
from tqdm.auto import tqdm

from osrl_proco.envs.make import make_env
from osrl_proco.proco.drift import Drift
from osrl_proco.proco.recovery import FAR, all_over
from osrl_proco.run.folder import RunFolder
from osrl_proco.run.policy import Ahead, Trained, load_policy

STEPS = 15  # of each action
MOST, SOON = 6, 40  # states of an episode and a kind; steps before a hit
COLUMNS = ("best", "any", "own", "critic", "still", "usual", "seen")


class Asked(NamedTuple):
    """States (N, obs_dim), those of the step before and what was done there, the actions (N, 17, act_dim), the policy's
    own the last, how many steps of each touch something (N, 17), and whether a hit follows (N,)."""

    states: Tensor
    before: Tensor
    taken: Tensor
    actions: Tensor
    touched: Tensor
    soon: Tensor


@torch.no_grad()
def none_passes(trained: Trained, path: Played) -> Tensor:
    """Whether none of the 16 actions, nor the one that was taken, passes (T,)."""
    far = all_over(FAR, path.actions.shape[1], trained.max_action)
    tried = torch.cat([far.expand(len(path.actions), -1, -1), path.actions[:, None]], 1)
    q = _critic(trained).q(path.observations.repeat_interleave(FAR + 1, 0), tried.flatten(0, 1))
    return (q.view(-1, FAR + 1) > trained.config.recover).all(1)


def asked(trained: Trained, paths: list[Played], first_seed: int) -> Asked:
    """What becomes of every action in some of these states, by the simulator."""
    env = make_env(trained.task)
    draw = np.random.default_rng(first_seed)
    far = all_over(FAR, paths[0].actions.shape[1], trained.max_action)
    found: list[tuple[Tensor, ...]] = []
    for seed, path in enumerate(tqdm(paths, desc="Episodes"), first_seed):
        at = torch.nonzero(none_passes(trained, path)).squeeze(1).numpy()
        at = at[(at > 0) & (at < len(path.actions) - STEPS)]
        firsts = np.array([first for first, _ in hits(path.touched)], dtype=int)
        soon = at[((at[:, None] >= firsts - SOON) & (at[:, None] < firsts)).any(1)]
        chosen = {int(one) for kind in (at, soon) for one in draw.choice(kind, min(MOST, len(kind)), replace=False)}
        seen = env.reset(seed=seed)[0]
        for step in range(max(chosen, default=-1) + 1):
            if step in chosen:
                assert np.array_equal(np.float32(seen), path.observations[step].numpy()), "not the same episode"
                actions = torch.cat([far, path.actions[step : step + 1]])
                counts = torch.tensor([float(touches(env, action, STEPS)) for action in actions.numpy()])
                state, before, taken = path.observations[step], path.observations[step - 1], path.actions[step - 1]
                found.append((state, before, taken, actions, counts, torch.tensor(step in soon)))
            seen = env.step(path.actions[step].numpy())[0]
    return Asked(*(torch.stack(column) for column in zip(*found, strict=True)))


@torch.no_grad()
def judged(trained: Trained, found: Asked) -> dict[str, Any]:
    """Touching steps of each one's choice, see above."""
    assert trained.back is not None, "--run: a twin whose way back asks the model (--recover_by model)"
    back: Ahead = trained.back
    count, tried = found.touched.shape
    drift = Drift(back.dynamics, back.danger)
    usual = drift.seen(found.before)
    drift.acted(found.taken)
    q = _critic(trained).q(found.states.repeat_interleave(tried, 0), found.actions.flatten(0, 1)).view(count, tried)
    ways = back.ways()
    said = {"critic": q, "best": found.touched}
    for name, raised in {"still": 0.0 * usual, "usual": usual, "seen": drift.seen(found.states)}.items():
        said[name] = ways(found.states, found.actions, raised)
    steps = {name: found.touched.gather(1, one.argmin(1, keepdim=True))[:, 0] for name, one in said.items()}
    steps |= {"own": found.touched[:, -1], "any": found.touched.mean(1)}
    steps["gain"] = steps["usual"] - steps["seen"]
    kinds = {"a hit follows": found.soon, "none follows": ~found.soon}
    return {
        kind: {"states": int(which.sum()), **{name: _mean(one[which]) for name, one in steps.items()}}
        for kind, which in kinds.items()
    }


def _critic(trained: Trained) -> Any:
    learner = trained.agent.feasibility
    assert learner is not None
    return learner.target


def _mean(values: Tensor) -> list[float]:
    """With its standard error."""
    return [round(float(values.mean()), 3), round(float(values.std() / len(values) ** 0.5), 3)]


def markdown(results: list[dict[str, Any]]) -> str:
    """A line for each task and kind of state."""
    head = ["task", "of a hit", "states", *COLUMNS, "gain"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in results:
        for kind, row in one["steps"].items():
            cells = ["{:.2f} ± {:.2f}".format(*row[name]) for name in (*COLUMNS, "gain")]
            lines.append(f"| {' | '.join([one['task'], kind, str(row['states']), *cells])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a twin's run")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=40_000, help="of the first episode")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="play nothing: print this file's results as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    if arguments.run is None:
        parser.error("--run: the folder of a twin's run")
    torch.set_num_threads(1)
    trained = load_policy(RunFolder(arguments.run), "cpu")
    paths = play(trained, arguments.episodes, arguments.seed)
    result = judged(trained, asked(trained, paths, arguments.seed))
    print(json.dumps(result))
    if arguments.out:
        about = {"task": trained.task.name, "training seed": trained.config.seed}
        about |= {"episodes": arguments.episodes, "seed": arguments.seed}
        keep(arguments.out, "python benchmarks/asked.py", {**about, "steps": result})


if __name__ == "__main__":
    main()
