"""benchmarks/hits.py: what counts as one hit."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def hits(*steps: int, length: int = 100) -> list[tuple[int, int]]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("hits", BENCHMARKS / "hits.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    touched = torch.zeros(length, 3, dtype=torch.bool)
    touched[list(steps), [i % 3 for i in range(len(steps))]] = True
    return module.hits(touched)


def test_touches_less_than_15_clean_steps_apart_are_one_hit():
    assert hits(10, 11, 12, 26) == [(10, 4)]


def test_after_15_clean_steps_there_is_another():
    assert hits(10, 26) == [(10, 1), (26, 1)]


def test_a_touch_in_the_first_step_counts_and_none_is_none():
    assert hits(0) == [(0, 1)]
    assert hits() == []
