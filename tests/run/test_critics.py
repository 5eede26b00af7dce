"""`--critic` sets the feasibility critic's form over family and preset, and the command line goes over it."""

from __future__ import annotations

import pytest

from osrl_proco.run import settings

FORM = ("graded", "label", "reads", "h_of", "of_two", "h_max", "feasibility_tau")
OURS = (True, "margin", "margins", "reached", "mean", 1.0, 0.02)


def form(*flags):
    config = settings.parse(["--task", "OfflineBrake", "--preset", "laptop", *flags])
    return tuple(getattr(config, name) for name in FORM)


@pytest.mark.parametrize(
    ("algo", "h_max"), [("fisor", 25.0), ("lspc", 25.0), ("bcql", 1.0), ("trac", 1.0), ("cdt", 1.0), ("bc", 1.0)]
)
def test_the_papers_form_is_the_default(algo, h_max):
    assert form("--algo", algo) == (False, "observation", "observation", "left", "larger", h_max, 0.005)
    assert form("--algo", algo, "--critic", "paper") == form("--algo", algo)


@pytest.mark.parametrize("algo", ["fisor", "lspc", "bcql", "trac"])
def test_ours(algo):
    assert form("--algo", algo, "--critic", "ours") == OURS


def test_a_flag_goes_over_the_form():
    changed = form("--algo", "fisor", "--h_max", "3", "--graded", "true")
    assert changed == (True, "observation", "observation", "left", "larger", 3.0, 0.005)
