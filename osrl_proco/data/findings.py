"""What can be the matter with a dataset: a finding has a name, a level and a text; a wrong one stops, unless accepted.

`KINDS` is the whole list, with the two thresholds in words (docs/your_own_data.md prints it). The checks that use them
are in `checks.py` (data alone) and `labels.py` (a cost function held against recorded labels).
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..core.errors import UserError, nearest

ODD, WRONG = "odd", "wrong"
STRUCTURE = "structure"  # a missing key, a wrong shape, NaN: nothing can be trained on, so nothing to accept


@dataclass(frozen=True)
class Kind:
    """A kind of finding: from when on it is odd, from when on wrong, what it means, and what to do about it."""

    odd: str
    wrong: str
    meaning: str
    fix: str


KINDS = {
    "actions-clipped": Kind(
        "any entry outside the action space",
        "an entry is outside in 75 % of the rows, 1 % of the rows are 10 half widths away, or one is 100",
        "actions in another unit (0 to 100, degrees), or not what was applied; they are clipped to the space",
        "convert them, or state `min_action` and `max_action` in the task file",
    ),
    "actions-integers": Kind(
        "whole numbers only, other than the ends and the middle of the space, or of an integer type",
        "whole numbers only, and some outside the action space",
        "codes of discrete actions; these algorithms act continuously",
        "write the value that the code stands for",
    ),
    "actions-small": Kind(
        "no entry uses more than 10 % of the action space",
        "no entry uses more than 1 % of it",
        "actions in a larger unit, or a bound of the task file that is too wide",
        "convert them, or state the true bounds in the task file",
    ),
    "actions-one-sided": Kind(
        "an entry stays in one half of its range and comes near its end",
        "never",
        "an actuator from 0 to its largest value, while the task file states -max to max",
        "state `min_action: [..]` in the task file",
    ),
    "actions-constant": Kind(
        "an action entry never changes",
        "none changes",
        "the action was not recorded",
        "record it",
    ),
    "observations-constant": Kind(
        "an observation entry never changes",
        "none changes",
        "an entry was not recorded, or is never moved by the task",
        "record it, or take it out of the task file",
    ),
    "rewards-constant": Kind("all rewards are equal", "never", "nothing can be learned from them", "record them"),
    "numbers-huge": Kind(
        "a value 1,000 times the spread of its column away from the median",
        "1,000,000 times, or above 1e15",
        "glitches, unset registers, codes for 'unknown'; one such value can turn a network's weights into NaN",
        "drop these rows, or replace the values",
    ),
    "precision-lost": Kind(
        "the larger steps of an entry are less than 250 steps of float32",
        "less than 5, or the entry's whole spread is less than 4",
        "Unix time, map coordinates: float32 (7 digits) cannot tell neighbouring values apart",
        "subtract the start value",
    ),
    "ends-unmarked": Kind(
        "a row's `next_observations` is not what the next row observes",
        "two or more, and more than a tenth of all episode ends",
        "an episode ends there without a mark; the label of the next row's own state is then another episode's",
        "set `timeouts` (or `terminals`) to 1 on each last step",
    ),
    "rows-shuffled": Kind(
        "never",
        "it is so in half of the rows",
        "the rows are not in order of time",
        "put them in order, or mark every row as an end in `timeouts`",
    ),
    "next-observation-repeated": Kind(
        "a tenth of the episodes end with `next_observations` equal to `observations`, having moved before",
        "half of them, or half of all rows",
        "the state that a last step arrived in is missing; just these are the violations that end an episode",
        "record it, or drop the last step",
    ),
    "next-observation-foreign": Kind(
        "a tenth of the episodes end by a jump to the first observation of the next episode",
        "half of them",
        "`next_observations` was made by shifting `observations` across episodes",
        "record the last one, or drop the last step",
    ),
    "next-observations-derived": Kind(
        "always, where the file has no `next_observations`",
        "never",
        "they are the next row's observations; the last step of each episode has none and was dropped",
        "record them",
    ),
    "ends-ambiguous": Kind(
        "always, where the file has `done` but neither `terminals` nor `timeouts`",
        "never",
        "`done` does not say whether the task ended or time ran out; it is taken for time-outs",
        "give `terminals` and `timeouts`",
    ),
    "episodes-one-step": Kind(
        "half of 10 or more episodes have one step",
        "they all have, and most rows go on in the next",
        "every row was marked as an end",
        "mark the last step of each episode only",
    ),
    "rows-duplicated": Kind(
        "5 % of the stretches of 8 rows are copies of others",
        "50 %",
        "the same recording twice; held-out data are then no test",
        "drop the copies",
    ),
    "costs-not-binary": Kind(
        "never",
        "values other than 0 and 1",
        "several costs, a distance, a soft cost; accepted, each value above 0 counts as 1",
        "`costs = (costs > 0)`, by your rule",
    ),
    "costs-upside-down": Kind(
        "60 % of the rows are unsafe",
        "90 % are; or half are, and 90 % of 5 or more episodes begin unsafe",
        "the flag is 1 where the rule holds, not where it is broken",
        "`costs = 1 - costs`",
    ),
    "costs-late": Kind(
        "violations lie on the step before an episode's end (`terminals`), none on the end itself",
        "half of 3 or more violations lie on the first step after an end",
        "the column is one row early or late",
        "shift it: `costs[t]` labels `next_observations[t]`",
    ),
    "cost-misses": Kind(
        "a cost function finds less than all recorded violations",
        "less than half of them",
        "it speaks of another rule, unit or entry than the labels",
        "`osrl-proco cost show` tells where they differ",
    ),
    "cost-everything": Kind(
        "it calls more than half of the recorded safe states unsafe",
        "more than 95 %",
        "a comparison the wrong way round, or another unit",
        "turn it, or convert the unit",
    ),
    "cost-nothing": Kind(
        "it calls no recorded state unsafe, and no violation was recorded",
        "it calls no recorded state unsafe, though violations were recorded",
        "nothing would be learned from it",
        "check its unit and threshold",
    ),
    "cost-upside-down": Kind(
        "never",
        "the labels agree better with its opposite",
        "the function or the labels are upside down",
        "turn the comparison, or `costs = 1 - costs`",
    ),
    "cost-late": Kind(
        "one row earlier or later it misses 5 violations less, and 3 % fewer labels disagree",
        "it misses half as many or less, and 10 % fewer labels disagree",
        "`costs[t]` labels another row than `next_observations[t]`",
        "shift the column by one row within each episode",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing found: a name of `KINDS` (or `STRUCTURE`), `ODD` or `WRONG`, and a line that names file and key."""

    name: str
    level: str
    text: str

    @property
    def refusal(self) -> str:
        """The line, and how to overrule it where that is possible."""
        return self.text if self.name == STRUCTURE else f"{self.text}; --accept {self.name} to train on it as it is"


def require_names(accept: Sequence[str]) -> frozenset[str]:
    """The names to accept, as a set. Raises UserError for one that is none, with the nearest."""
    if isinstance(accept, str):
        accept = accept.replace(",", " ").split()
    for name in accept:
        if name == STRUCTURE:
            raise UserError(f"--accept {name}: what is missing, misshapen or NaN cannot be accepted")
        if name not in KINDS:
            raise UserError(f"--accept {name}: no such finding{nearest(str(name), KINDS) or '; see `data check`'}")
    return frozenset(accept)


def settle(found: Iterable[Finding], accept: Collection[str] = ()) -> None:
    """Say what is odd or accepted, a line each on stderr. Raises UserError for the first wrong and not accepted one."""
    found = list(found)
    for finding in found:
        if finding.level == WRONG and finding.name not in accept:
            raise UserError(finding.refusal)
    for finding in found:
        print(finding.text, file=sys.stderr)
