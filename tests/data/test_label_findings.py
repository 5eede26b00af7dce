"""A cost function held against recorded labels: misses, upside down, a row late, all or nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from carts import cart
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.costs import load_cost_function
from osrl_proco.data.labels import label_findings
from osrl_proco.data.transitions import Transitions
from osrl_proco.envs import BrakeEnv, PointRobotEnv
from osrl_proco.tasks import load_task

CART = cart(episodes=60, terminal=False)
COSTS = CART["costs"]
SAYS = CART["next_observations"][:, 0] <= 0.25  # a little more conservative than the rule
LAST = CART["timeouts"]
DRAWN = np.random.default_rng(0).random(len(COSTS))
LATE = np.concatenate([[0], (COSTS * (1 - LAST))[:-1]])
EARLY = np.concatenate([COSTS[1:], [0]]) * (1 - LAST)


def found(says, costs, last=None):
    return [(f.name, f.level) for f in label_findings(says, costs, "my_cost.py", last=last)]


def test_the_made_up_cart_has_what_the_cases_need():
    assert 50 < COSTS.sum() < 0.4 * len(COSTS)
    assert (SAYS >= COSTS).all()


@pytest.mark.parametrize(
    ("says", "costs", "last", "expected"),
    [
        (SAYS, COSTS, LAST, []),
        (COSTS > 0, COSTS, LAST, []),
        (SAYS, 0 * COSTS, LAST, []),  # nothing was recorded: nothing to hold against
        (0 * SAYS, COSTS, LAST, [("cost-nothing", "wrong")]),
        (0 * SAYS, 0 * COSTS, LAST, [("cost-nothing", "odd")]),
        (~SAYS, COSTS, LAST, [("cost-upside-down", "wrong")]),
        (SAYS, 1 - COSTS, LAST, [("cost-upside-down", "wrong")]),
        (np.ones_like(COSTS), COSTS, LAST, [("cost-everything", "wrong")]),
        (CART["next_observations"][:, 0] <= 5, COSTS, LAST, [("cost-everything", "odd")]),
        (SAYS & (DRAWN < 0.3), COSTS, None, [("cost-misses", "wrong")]),
        (SAYS & (DRAWN < 0.9), COSTS, None, [("cost-misses", "odd")]),
        (CART["next_observations"][:, 1] < -1.5, COSTS, None, [("cost-misses", "wrong")]),
    ],
)
def test_each_finding(says, costs, last, expected):
    assert found(says, costs, last) == expected
    assert found(torch.as_tensor(np.asarray(says, dtype=np.float32)), torch.as_tensor(costs), last) == expected


@pytest.mark.parametrize("costs", [LATE, EARLY], ids=["late", "early"])
def test_labels_of_the_neighbouring_row(costs):
    exact = CART["next_observations"][:, 0] <= 0.21
    names = dict(found(exact, costs, LAST))
    assert names["cost-late"] == "wrong"
    assert "cost-late" not in dict(found(exact, costs))  # not looked for without the ends


@given(st.integers(0, 20), st.sampled_from([BrakeEnv, PointRobotEnv]))
@settings(max_examples=8, deadline=None)
def test_the_librarys_functions_agree_with_their_own_tasks(seed, env):
    made = env(episodes=30, dataset_seed=seed)
    data = Transitions.from_arrays(made.get_dataset())
    task = load_task("OfflineBrake-v0" if env is BrakeEnv else "OfflinePointRobot-v0")
    cost = load_cost_function(task.cost_path, task)
    assert found(cost(data.next_observations), data.costs, data.last) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
@settings(deadline=None)
def test_the_counts_in_the_text_are_right_and_texts_are_one_line(rows):
    says, was = (np.array(c, dtype=float) for c in zip(*rows, strict=True)) if rows else (np.zeros(0), np.zeros(0))
    for finding in label_findings(says, was, "f.py"):
        assert finding.text.startswith("f.py: ")
        assert "\n" not in finding.text
        if " finds " in finding.text:
            assert f"finds {int((says * was).sum())} of {int(was.sum())} recorded" in finding.text


def test_what_is_not_finite_is_unsafe():
    assert found(np.where(SAYS, np.nan, 0.0), COSTS) == []
