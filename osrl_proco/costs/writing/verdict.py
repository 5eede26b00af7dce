"""What `cost check` says of a function: by the rule for a language model's, or by the one for a person's."""

from __future__ import annotations

from ...tasks.task import Task
from ..language.function import CostFunction
from .evidence import Assessment
from .settings import P_HIGH, P_LOW, Settings
from .written import GENERATED

INEXACT_MISSES = 0.03  # share of the violations that a person's function may miss where the observation hides some


def verdict(result: Assessment, cost: CostFunction, settings: Settings) -> str:
    """`accepted`, with what must be said, or why not. What says that it was generated is held to the paper's rule."""
    if cost.provenance.startswith(GENERATED.strip()):
        return result.verdict(settings.p_low, settings.p_high)
    return for_a_person(result, cost.task, settings.p_low, settings.p_high)


def for_a_person(result: Assessment, task: Task, p_low: float = P_LOW, p_high: float = P_HIGH) -> str:
    """The verdict on a function that a person wrote and answers for.

    The paper's rule is made for a language model, which is asked again: all of up to 100 violations found, and at least
    `p_low` of the safe states called unsafe, as a sign that it left a margin. A person's function is held against every
    violation of the dataset. Two things are accepted, and said: some violations missed (at most `INEXACT_MISSES`)
    where the task's file states what the observation does not show; and a small margin, where all that was to be
    found was found. Without any violation to find the margin is all there is to go by, and counts.
    """
    said = []
    missed = result.unsafe - result.found
    if missed:
        if not task.inexact or missed > INEXACT_MISSES * result.unsafe:
            return "misses"
        said.append(f"misses {missed} of {result.unsafe}")
    if result.share > p_high:
        return "too high"
    if result.share < p_low:
        if not result.unsafe:
            return "too low"
        said.append("a small margin")
    return "; ".join(["accepted", *said])
