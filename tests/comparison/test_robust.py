"""Interquartile means by hand, intervals that repeat, and what is left out is said."""

from __future__ import annotations

import numpy as np
import pytest
from rows_kit import by_hand, row

pytest.importorskip("rliable", reason="the extra `report` is not installed")
from osrl_proco.comparison.robust import robust


def test_the_interquartile_mean_is_the_mean_of_the_middle_half():
    rows = [row(seed=s, task=t, reward=r, cost=r) for t in "AB" for s, r in enumerate((0.0, 1.0, 2.0, 9.0))]
    found = robust(rows)
    mean, low, high = found.means["normalized_reward"]["x-proco"]
    assert mean == pytest.approx(1.5)  # of 0 0 1 1 2 2 9 9 the middle: 1 1 2 2
    assert low < mean < high
    assert found.runs == {"x-proco": 4}


def test_profiles_are_shares_above_each_threshold():
    profile = robust(by_hand()).profiles["normalized_cost"]["x-stock"]  # runs: 4, 2, 0, 0
    for threshold, share in zip(profile.thresholds, profile.share, strict=True):
        assert share == np.mean(np.array([4, 2, 0, 0]) > threshold)


def test_the_same_rows_give_the_same_intervals_and_numpy_goes_on_as_before():
    np.random.seed(3)  # noqa: NPY002
    first = robust(by_hand())
    drawn = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    assert np.random.rand() == drawn  # noqa: NPY002
    assert robust(by_hand()) == first


def test_tasks_that_an_arm_lacks_are_left_out_and_said():
    rows = [*by_hand(), row(task="C", arm="x-stock")]
    found = robust(rows)
    assert found.tasks == ["A", "B"]
    assert found.left_out == ["task C: not every algorithm has it"]
    assert robust([row(task="A"), row(task="B", arm="y")]).means == {}
