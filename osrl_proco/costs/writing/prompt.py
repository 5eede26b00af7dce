"""What the language model is told: the task, the rule, the order to be conservative (paper eq. 10), and feedback
from the data (eq. 11). The wording is our own; the paper's text does not carry its prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from ...tasks.task import Task
from ..language.function import CostFunction
from ..language.margins import Comparison, comparisons, entries_read
from ..language.operations import FUNCTIONS, MAX_POWER, METHODS_ONLY, SCALARS
from .evidence import Assessment, Evidence

ROLE = "You are an expert Python programmer with long experience in PyTorch and in the safety of robots."
SHOWN = 3  # missed states that are spelled out
QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.97, 0.99)


def first_prompt(task: Task, conservative: bool = True) -> str:
    """l_task, l_cost and l_conservative (eq. 10), the signature and the language."""
    size = max(len(e.name) for e in task.entries)
    entries = "\n".join(
        f'- obs["{e.name}"]{" " * (size - len(e.name))} shape (..., {e.size}){f", {e.unit}" if e.unit else ""}: '
        f"{e.meaning}"
        for e in task.entries
    )
    parts = [
        "Write a cost function for a robot: a Python function that says which states are unsafe.",
        f"Task\n{task.goal}",
        f"Observation ({task.obs_dim} numbers, by name)\n{entries}",
        f"Safety rule\n{task.rule}" + (f"\nNote: {task.inexact}" if task.inexact else ""),
        "What to write\n"
        "The function is given the state that a step ends in, and returns 1 (or True) where that state breaks the "
        "rule, 0 (or False) where it does not."
        + (
            " Be a little more conservative than the rule: a state that does not break it, but is close to doing so, "
            "counts as unsafe too. Do not overdo it: most states that keep clear of danger must stay safe."
            if conservative
            else ""
        ),
        language(task),
        "Answer with one code block that holds the function, and nothing else.",
    ]
    return "\n\n".join(parts)


def language(task: Task) -> str:
    """The signature and the allowed operations, in words; what is not named here is refused."""
    operations = ", ".join(sorted({*FUNCTIONS, *METHODS_ONLY}))
    first = task.entries[0].name
    return (
        "Signature and language\n"
        "```python\n"
        "def cost(obs):\n"
        f'    x = obs["{first}"]  # a tensor of shape (..., {task.entries[0].size}); the leading dims are a batch\n'
        "    return x[..., 0] > 1.0  # one value per state, shape (...)\n"
        "```\n"
        "One function named cost with the one argument obs, no annotations, no imports (torch is there). Statements: "
        "assignment to a name, if on numbers, for NAME in range(NUMBER), return. Conditions on tensors: "
        "torch.where, &, |, ~; comparisons take two values at a time. Every reduction needs a dim counted from the end "
        "(dim=-1). Two tensors must have as many axes (keepdim=True and x[..., None] give one more). "
        f"Index the last axis only (x[..., 2], x[..., :2]). Exponents from 0 to {MAX_POWER}. Operations, as "
        f"torch.NAME(x) or x.NAME(): {operations}, torch.linalg.norm, torch.pi, torch.inf; on numbers: "
        f"{', '.join(SCALARS)}. Nothing else is in the language. A state for which any result on the way is NaN or "
        "infinite counts as unsafe, whatever is made of it later: clamp before a square root or a division, and use a "
        "large number such as 1e6, not torch.inf, for the distance to something that is not there."
    )


def feedback_rejected(reason: str) -> str:
    """The reply gave no function that may run."""
    return f"This could not be used: {reason}.\nWrite the whole function again, in one code block, within the language."


def feedback(cost: CostFunction, evidence: Evidence, result: Assessment, p_low: float, p_high: float) -> str:
    """What the data say about a function that is not accepted yet (eq. 11), in numbers."""
    verdict = result.verdict(p_low, p_high)
    if verdict == "misses":
        missed = evidence.unsafe[cost(evidence.unsafe) == 0]
        parts = [
            f"Your function finds {result.found} of {result.unsafe} states that are known to be unsafe. "
            f"It must find all of them.",
            _missed(cost, missed),
            f"(It calls {result.share:.1%} of the states recorded as safe unsafe; {p_low:.0%} to {p_high:.0%} are "
            "wanted.)",
            _quantiles(cost, evidence.safe),
        ]
    else:
        wish = (
            "That is not conservative enough: states close to breaking the rule must count as unsafe too."
            if verdict == "too low"
            else "That is too conservative: it leaves the robot too little to do."
        )
        found = f"Your function finds all {result.unsafe} states that are known to be unsafe" if result.unsafe else ""
        link = ", and" if found else "Your function"
        parts = [
            f"{found}{link} calls {result.share:.1%} of {result.safe} states recorded as safe unsafe. {wish} "
            f"The share must lie between {p_low:.0%} and {p_high:.0%}."
            + (" Keep finding all the unsafe ones." if result.unsafe else ""),
            _quantiles(cost, evidence.safe),
        ]
    if len(evidence.unsafe):
        parts.append(_quantiles(cost, evidence.unsafe, "states known to be unsafe", (0.0, 0.05, 0.5, 0.95, 1.0)))
    return "\n\n".join([*(p for p in parts if p), "Write the whole function again, in one code block."])


def _missed(cost: CostFunction, missed: Tensor) -> str:
    """The first few missed states: what the function compared and by how much it fell short, and what it read."""
    shown = missed[:SHOWN]
    compared = comparisons(cost, shown)
    entries = [e for e in cost.task.entries if e.name in entries_read(cost)]
    lines = [f"The first {len(shown)} of the {len(missed)} that it misses:" if len(missed) > 1 else "It misses this:"]
    for i, state in enumerate(shown):
        lines.append(f"{i + 1}. " + "; ".join(f"{e.name} = {_numbers(state[e.start : e.stop])}" for e in entries))
        lines += [f"   compared: {_comparison(c, i)}" for c in compared]
    return "\n".join(lines)


def _comparison(c: Comparison, i: int) -> str:
    left, right = float(c.left[i]), float(c.right[i])
    return f"{c.text} {c.operator} {right:.4g}: the left side is {left:.4g} (apart by {abs(left - right):.3g})"


def _quantiles(
    cost: CostFunction, states: Tensor, name: str = "states recorded as safe", at: tuple[float, ...] = QUANTILES
) -> str:
    """Where the left side of each comparison lies over `states`."""
    if len(states) == 0:
        return ""
    some = states[torch.linspace(0, len(states) - 1, min(len(states), 20_000)).long()]
    lines = []
    for c in comparisons(cost, some):
        # Where the dangerous side is the small one, its quantiles are those of the low end.
        low = c.operator in ("<", "<=") and at is QUANTILES
        left = c.left[c.left.isfinite()]
        if not len(left):
            continue
        points = torch.quantile(left, torch.tensor([1 - q if low else q for q in at]))
        values = ", ".join(f"{1 - q if low else q:.0%}: {v:.4g}" for q, v in zip(at, points.tolist(), strict=True))
        lines.append(f"- {c.text}: {values}")
    head = f"Over the {name}, the left sides of its comparisons have these quantiles:"
    return "\n".join([head, *dict.fromkeys(lines)]) if lines else ""


def _numbers(values: Tensor) -> str:
    texts = [f"{v:.4g}" for v in values.tolist()]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
