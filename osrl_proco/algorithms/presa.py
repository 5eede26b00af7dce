"""PreSa: a policy from preferences between segments and a safety label of each, without a reward or cost model.

    min_theta max_{nu >= 0}  L_pref + nu (delta - U)
    L_pref = -E[ log sigmoid(S+ - b S-) ]                       S+: of the preferred segment; of a tie, both orders
    U      = 1/2 E_{safe} sigmoid(S) + 1/2 E_{unsafe} sigmoid(-S)   where one kind is missing, the other alone

S is the score of a segment against the cloned policy, and cloning the first stage: segments.py. nu is a softplus,
stepped after the policy on the same batch and capped.

Source: Gong, Varakantham, Kumar, "Offline Safe Policy Optimization From Heterogeneous Feedback", arXiv 2512.20173. The
abstract establishes preferences, binary safety labels and a Lagrangian without models; the equations above are a
proposal that fits it (docs/algorithms/presa.md says what is which).

Preferences and labels come from returns and costs of 2P segments, drawn by the seed, or from a person's files
(data/feedback.py): with `preferences` the segments are the file's; with `safety_labels` alone pairs are drawn among the
labelled ones.

How the twin differs: which segments are unsafe (segments.py), beside those that a person called so; preferences stay.
`compat` changes nothing here.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from ..core.errors import UserError
from ..core.files import read_bytes
from ..core.state import Attributes, Parts
from ..data.feedback import LARGEST_FILE, read_preferences, read_safety_labels
from ..data.samplers import PairSampler, SegmentSampler, segment_length, segment_starts
from ..data.trajectories import Trajectories
from ..data.transitions import Transitions
from ..proco.optim import adam, descend
from .agent import Info, Problem
from .segments import SegmentAgent
from .stages import say

SHARE = 5  # a segment is at most a fifth of an episode


class PreSa(SegmentAgent):
    """PreSa, and with `config.proco` its twin."""

    def __init__(self, config: Any, problem: Problem) -> None:
        super().__init__(config, problem)
        self.raw_multiplier = nn.Parameter(torch.tensor(_before_softplus(1.0), device=problem.device))
        self.multiplier_optimizer = adam([self.raw_multiplier], config.multiplier_lr)
        self.feedback = 0  # a hash of a person's files
        self.choices: Tensor | None = None  # (P,) of a person: 1 first, 0 second, .5 the same
        self.called_unsafe: Tensor | None = None  # (2P,) bool, of a person
        self.first_preferred: Tensor  # (P,) in {0, .5, 1}
        self.is_safe: Tensor  # (2P,) in {0, 1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As every agent. Raises UserError where a person's files are not those that the run began with."""
        if self.segments is not None and state["feedback"]["feedback"] != self.feedback:
            raise UserError("--preferences, --safety_labels: not the files that the run began with; start a new run")
        super().load_state_dict(state)

    @property
    def multiplier(self) -> Tensor:
        """nu."""
        return softplus(self.raw_multiplier)

    def choose(self, data: Transitions, generator: torch.Generator) -> SegmentSampler:
        config, device = self.config, data.rewards.device
        labels = read_safety_labels(config.safety_labels, data) if config.safety_labels else None
        if config.preferences:
            length, rows, choices = read_preferences(config.preferences, data)
            self.choices = choices.to(device)
        elif labels is not None:
            length, rows = labels[0], torch.tensor(list(labels[1]))
            rows = rows[torch.randint(len(rows), (2 * config.num_pairs,), generator=generator)]
        else:
            trajectories = Trajectories.of(data)
            length = segment_length(trajectories, min(config.segment_steps, self.problem.episode_len // SHARE))
            rows = segment_starts(trajectories, 2 * config.num_pairs, length, generator)
        if labels is not None:
            self.called_unsafe = self._called_unsafe(length, rows.tolist(), *labels).to(device)
        self.feedback = _hash_of([file for file in (config.preferences, config.safety_labels) if file])
        segments = PairSampler(data, rows.to(device), length, self.batch_size)
        self.first_preferred = self.choices if self.choices is not None else prefer(segments.sums(data.rewards))
        return segments

    def _called_unsafe(self, length: int, rows: list[int], labelled_length: int, unsafe: dict[int, bool]) -> Tensor:
        """What the person said of each segment (2P,). Raises UserError where one has no label, or another length."""
        flag = f"--safety_labels {self.config.safety_labels}"
        if labelled_length != length:
            raise UserError(
                f"{flag}: segments of {labelled_length} steps, those of --preferences have {length}; label the same "
                "segments"
            )
        for row in rows:
            if row not in unsafe:
                raise UserError(
                    f"{flag}: the segment at row {row} of --preferences has no label; label every segment that is "
                    "compared"
                )
        return torch.tensor([unsafe[row] for row in rows])

    def judge(self, segments: SegmentSampler) -> Tensor:
        if self.called_unsafe is None:
            return super().judge(segments)
        return self.called_unsafe if self.feasibility is None else self.called_unsafe | super().judge(segments)

    def labelled(self, segments: SegmentSampler, unsafe: Tensor) -> None:
        self.is_safe = (~unsafe).float()
        say(
            f"presa: {len(unsafe) // 2} pairs of segments of {segments.length} steps, {int(unsafe.sum())} of "
            f"{len(unsafe)} unsafe"
        )

    def loss(self, scores: Tensor, which: Tensor) -> tuple[Tensor, Info]:
        """The Lagrangian on pairs: first ones, then second ones; nu is stepped for the next update."""
        first, second = scores.chunk(2)
        preferred = self.first_preferred[which[: len(first)] // 2]
        preference = preference_loss(first, second, preferred, self.config.loser_bias)
        utility, safe, unsafe = self.utility(scores, self.is_safe[which])
        nu = self.multiplier.detach()
        loss = preference + nu * (self.config.min_utility - utility)
        self._step_multiplier(utility.detach())
        right = (((first > second) == (preferred > 0.5)) | (preferred == 0.5)).float().mean()
        return loss, {
            "loss/preference": preference.detach(),
            "presa/utility": utility.detach(),
            "presa/utility_safe": safe.detach(),
            "presa/utility_unsafe": unsafe.detach(),
            "presa/multiplier": nu,
            "presa/accuracy": right,
        }

    def utility(self, scores: Tensor, safe: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """U and its two means, of scores (B,) and labels (B,) in {0, 1}; a kind that is missing counts as the other."""
        if self.config.kto_reference:
            scores = scores - scores.detach().mean().clamp_min(0.0)
        of_safe, of_unsafe = torch.sigmoid(scores), torch.sigmoid(-scores)
        many, few = safe.sum(), (1.0 - safe).sum()
        mean_safe = (safe * of_safe).sum() / many.clamp_min(1.0)
        mean_unsafe = ((1.0 - safe) * of_unsafe).sum() / few.clamp_min(1.0)
        mean_safe, mean_unsafe = (
            torch.where(many > 0, mean_safe, mean_unsafe),
            torch.where(few > 0, mean_unsafe, mean_safe),
        )
        return 0.5 * (mean_safe + mean_unsafe), mean_safe, mean_unsafe

    def _step_multiplier(self, utility: Tensor) -> None:
        """Up where the constraint is violated. The cap is on the raw value: on nu itself it would take the gradient."""
        descend(self.multiplier_optimizer, -self.multiplier * (self.config.min_utility - utility))
        self.raw_multiplier.data.clamp_(max=_before_softplus(self.config.multiplier_max))

    def parts(self) -> Parts:
        return {
            **super().parts(),
            "raw_multiplier": self.raw_multiplier,
            "multiplier_optimizer": self.multiplier_optimizer,
            "feedback": Attributes(self, ["feedback"]),
        }


def prefer(returns: Tensor) -> Tensor:
    """1 where the first of a pair returned more, 0 where the second did, .5 where both the same; (P,) of (2P,)."""
    first, second = returns.reshape(-1, 2).unbind(1)
    return 0.5 * (1.0 + torch.sign(first - second)).float()


def preference_loss(first: Tensor, second: Tensor, preferred: Tensor, bias: float) -> Tensor:
    """-mean log sigmoid(S+ - bias S-) over pairs (B,); of a tie the mean of both orders."""
    as_first, as_second = logsigmoid(first - bias * second), logsigmoid(second - bias * first)
    return -(preferred * as_first + (1.0 - preferred) * as_second).mean()


def _hash_of(files: list[str]) -> int:
    """48 bits of a hash of what the files hold; 0 where there are none."""
    text = b"".join(read_bytes(file, limit=LARGEST_FILE) for file in files)
    return int(hashlib.sha256(text).hexdigest()[:12], 16) if files else 0


def _before_softplus(value: float) -> float:
    """The number whose softplus is `value`, which is above 0."""
    return value + math.log(-math.expm1(-value))


def create(config: Any, problem: Problem) -> PreSa:
    """A fresh agent."""
    return PreSa(config, problem)
