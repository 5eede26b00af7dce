"""Minari's episodes: whatever does not fit a number of steps is one line, also where two errors would cancel."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from carts import cart, task_file

from osrl_proco.core.errors import UserError
from osrl_proco.data import from_minari
from osrl_proco.tasks import load_task

GOOD = cart(episodes=2)
FIRST = int(np.flatnonzero(GOOD["terminals"] + GOOD["timeouts"])[0]) + 1


def episode(number, rows, **changes):
    made = {k: v[rows] for k, v in GOOD.items()}
    return SimpleNamespace(**{
        "id": number, "observations": np.concatenate([made["observations"], made["next_observations"][-1:]]),
        "actions": made["actions"], "rewards": made["rewards"], "terminations": made["terminals"] > 0,
        "truncations": made["timeouts"] > 0, "infos": {"cost": made["costs"]}, **changes,
    })  # fmt: skip


def dataset(first=None, second=None):
    episodes = [episode(0, slice(0, FIRST), **(first or {})), episode(1, slice(FIRST, None), **(second or {}))]
    return SimpleNamespace(id="carts-v0", iterate_episodes=lambda: iter(episodes))


def load(made):
    return from_minari(made, load_task(task_file()))


def test_good_episodes_load_with_and_without_a_cost_of_the_reset():
    data = load(dataset())
    again = load(dataset({"infos": {"cost": np.concatenate([[0], GOOD["costs"][:FIRST]])[:, None]}}))
    for key, values in data.arrays().items():
        assert np.array_equal(values, GOOD[key]), key
        assert np.array_equal(again.arrays()[key], values), key


BAD = {
    "dict actions": ({"actions": {"a": GOOD["actions"][:FIRST]}}, "actions are nested; flatten them"),
    "tuple actions": ({"actions": (1, 2)}, "actions are nested"),
    "dict observations": ({"observations": {"a": GOOD["observations"][: FIRST + 1]}}, "observations are nested"),
    "words for actions": ({"actions": np.array(["left"] * FIRST)}, "actions are <U4, not numbers"),
    "uneven actions": ({"actions": [[1.0]] * (FIRST - 1) + [[1.0, 2.0]]}, "actions are object, not numbers"),
    "dict costs": ({"infos": {"cost": {"hazard": GOOD["costs"][:FIRST]}}}, "are mappings, not numbers"),
    "word costs": ({"infos": {"cost": ["safe"] * FIRST}}, "are <U4, not numbers"),
    "missing costs": ({"infos": {"cost": [None] * FIRST}}, "are object, not numbers"),
    "one cost": ({"infos": {"cost": 1.0}}, "not numbers"),
    "two costs a step": ({"infos": {"cost": np.zeros((FIRST, 2))}}, "one cost per step is needed"),
    "costs one short": ({"infos": {"cost": np.zeros(FIRST - 1)}}, "one cost per step is needed"),
    "no infos": ({"infos": None}, "no key 'cost' .there are: none."),
    "another info": ({"infos": {"danger": np.zeros(FIRST)}}, "no key 'cost' .there are: danger."),
    "no step": (
        {"rewards": [], "actions": np.zeros((0, 1)), "observations": GOOD["observations"][:1], "terminations": [],
         "truncations": [], "infos": {"cost": []}},
        "has no step; leave it out",
    ),
    "no last observation": ({"observations": GOOD["observations"][:FIRST]}, "observations has .* rows for"),
    "an action more": ({"actions": np.zeros((FIRST + 1, 1))}, "actions has .* rows for"),
    "a termination less": ({"terminations": np.zeros(FIRST - 1, bool)}, "terminations has .* rows for"),
    "another width": ({"actions": np.zeros((FIRST, 2))}, "'actions' has rows of shapes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_episode_is_one_line_that_names_it(case):
    changes, message = BAD[case]
    with pytest.raises(UserError, match=message) as raised:
        load(dataset(changes))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("carts-v0: episode 0: " if case != "another width" else "carts-v0: ")


def test_lengths_whose_errors_cancel_are_seen():
    more = {"rewards": np.zeros(FIRST + 1)}
    less = {"rewards": np.zeros(len(GOOD["rewards"]) - FIRST - 1)}
    with pytest.raises(UserError, match="episode 0: "):
        load(dataset(more, less))
    shifted = {"actions": np.zeros((FIRST + 1, 1))}, {"actions": np.zeros((len(GOOD["rewards"]) - FIRST - 1, 1))}
    with pytest.raises(UserError, match="episode 0: actions has"):
        load(dataset(*shifted))


def test_what_minari_itself_raises_is_one_line():
    def broken():
        yield episode(0, slice(0, FIRST))
        raise RuntimeError("a damaged chunk\nand more")

    with pytest.raises(UserError, match=r"carts-v0: Minari cannot read it .a damaged chunk."):
        load(SimpleNamespace(id="carts-v0", iterate_episodes=broken))
