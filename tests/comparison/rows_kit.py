"""Raw rows by hand."""

from __future__ import annotations


def row(task="Brake", arm="x-proco", seed=0, episode=0, reward=0.5, cost=0.0, **more):
    return {
        "task": task, "arm": arm, "algorithm": arm.split("-")[0], "mode": "proco" if "proco" in arm else "stock",
        "seed": seed, "step": 100, "episode_seed": 10_000 + episode, "return": reward * 10, "cost": cost * 10,
        "normalized_reward": reward, "normalized_cost": cost, "length": 100, "compat": "osrl", "preset": "paper",
        "configuration": "c" * 16, "data": "d" * 16, "commit": "abc", "versions": "python 3", **more,
    }  # fmt: skip


def by_hand():
    """Two tasks, two arms, two seeds, two episodes: means that one can work out."""
    rows = []
    scores = {
        ("A", "x-stock"): [(0.8, 4.0), (0.6, 2.0)], ("A", "x-proco"): [(0.5, 0.5), (0.7, 0.7)],
        ("B", "x-stock"): [(0.2, 0.0), (0.4, 0.0)], ("B", "x-proco"): [(0.1, 2.0), (0.1, 2.0)],
    }  # fmt: skip
    for (task, arm), seeds in scores.items():
        for seed, (reward, cost) in enumerate(seeds):
            for episode, sign in enumerate((-1, 1)):
                rows.append(row(task, arm, seed, episode, reward + sign * 0.1, cost + sign * min(cost, 0.5)))
    return rows
