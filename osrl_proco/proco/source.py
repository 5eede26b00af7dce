"""D and D_model side by side: what the feasibility critic, and only it, learns from (PROCO section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..data.samplers import Marked, Sampler
from ..data.transitions import Transitions
from .danger import CostLabel, Danger, signed
from .dynamics import Dynamics
from .feasibility import FeasibilityBatch
from .held import held_on, held_rollout
from .rollout import ActFor, ImaginedBuffer, branched_rollout


@dataclass(frozen=True)
class SourceSettings:
    """How D_model is made and mixed in; see ProcoConfig for each."""

    relabel: bool = True
    conservative_backup: str = "label"
    model_share: float = 0.5
    rollout_batch: int = 10_000
    rollout_length: int = 3
    rollout_repeats: int = 10
    rollout_noise: float = 0.1
    rollout_buffer: int = 200_000
    hold: int = 1
    full_model: bool = False  # the ablation: keep every branch, and train everything on them

    @classmethod
    def of(cls, config: Any) -> SourceSettings:
        """The settings of a run, its ablation applied (names as in the paper's table 9)."""
        given = {name: getattr(config, name) for name in cls.__dataclass_fields__ if name != "full_model"}
        changed: dict[str, dict[str, Any]] = {
            "without_model": {"model_share": 0.0, "conservative_backup": "label", "hold": 1},
            "full_model": {"full_model": True},
            "without_relabel": {"relabel": False},
            "deterministic_rollout": {"rollout_noise": 0.0},
        }
        return cls(**{**given, **changed.get(config.ablation, {})})


def relabelled(data: Transitions, cost: CostLabel) -> Transitions:
    """D with the labels of the cost function as its costs, those of the states left and of the states reached."""
    return replace(data, previous_costs=cost(data.observations), costs=cost(data.next_observations))


class FeasibilityData:
    """Recorded transitions and imagined ones, renewed by `refresh`.

    Args:
        data: D, on the training device, relabelled where the settings say so.
        danger: reads states by the cost function; None where nothing is relabelled or imagined.
        dynamics: the model, fitted to what `danger.state` makes of the data; None for the ablation without it.
        max_action: bound of the action space.
    """

    def __init__(
        self,
        data: Transitions,
        danger: Danger | None,
        dynamics: Dynamics | None,
        settings: SourceSettings,
        max_action: float,
    ) -> None:
        self._danger, self._dynamics, self._settings, self._max_action = danger, dynamics, settings, max_action
        if settings.relabel and danger is not None:
            now, after = danger.recorded(data.observations), danger.recorded(data.next_observations)
        else:
            now, after = signed(data.previous_costs), signed(data.costs)
        self._recorded = FeasibilityBatch(
            data.observations, data.actions, data.next_observations, now, after, data.terminals
        )
        # A branch that starts in a violation would teach nothing: the data's own label already does.
        self._starts = torch.nonzero(now <= 0).squeeze(1)
        self.imagined: ImaginedBuffer | None = None
        if self.imagines:
            widths = data.observations.shape[1], data.actions.shape[1]
            self.imagined = ImaginedBuffer(settings.rollout_buffer, *widths, data.observations.device)
        if settings.hold > 1 and dynamics is not None and danger is not None:
            generator = torch.Generator(data.actions.device).manual_seed(0)
            self._recorded = held_on(self._recorded, dynamics, danger, settings.hold, generator)

    @property
    def imagines(self) -> bool:
        """Whether there is a model to imagine with, and states to start from."""
        return self._dynamics is not None and self._settings.model_share > 0 and len(self._starts) > 0

    def refresh(self, act: ActFor, generator: torch.Generator) -> dict[str, float]:
        """Imagine what the present policy would do from R times B recorded states; keep the violations (C.3)."""
        settings, imagined = self._settings, self.imagined
        if imagined is None:
            return {}
        assert self._dynamics is not None
        assert self._danger is not None
        rounds: list[dict[str, float]] = []
        for _ in range(settings.rollout_repeats):
            drawn = torch.randint(
                len(self._starts), (settings.rollout_batch,), generator=generator, device=self._starts.device
            )
            starts = self._recorded.observations[self._starts[drawn]]
            branches, rewards, figures = self._imagine(act, starts, generator)
            imagined.add(branches, rewards)
            rounds.append(figures)
        means = {k: float(torch.tensor([r[k] for r in rounds]).nanmean()) for k in rounds[0]}
        return {**means, "rollout/kept": float(imagined.size)}

    def _imagine(
        self, act: ActFor, starts: Tensor, generator: torch.Generator
    ) -> tuple[FeasibilityBatch, Tensor, dict[str, float]]:
        """Imagined transitions from observations (N, obs_dim), their rewards and figures."""
        settings = self._settings
        assert self._dynamics is not None
        assert self._danger is not None
        if settings.hold == 1:
            return branched_rollout(
                self._dynamics,
                self._danger,
                act,
                starts,
                horizon=settings.rollout_length,
                noise=settings.rollout_noise,
                max_action=self._max_action,
                generator=generator,
                keep_all=settings.full_model,
            )
        rows, figures = held_rollout(
            self._dynamics,
            self._danger,
            act,
            starts,
            length=settings.rollout_length,
            steps=settings.hold,
            noise=settings.rollout_noise,
            max_action=self._max_action,
            generator=generator,
        )
        return rows, torch.zeros_like(rows.danger), figures

    def batch(self, size: int, generator: torch.Generator) -> FeasibilityBatch:
        """A batch of `size` recorded transitions and, beside them, imagined ones in the proportion that the two
        sets have in their union, but at most `model_share` per recorded one."""
        settings, recorded = self._settings, self._recorded
        rows = torch.randint(len(recorded.danger), (size,), generator=generator, device=recorded.danger.device)
        batch = FeasibilityBatch(*(column[rows] for column in recorded))
        if self.imagined is not None and self.imagined.size:
            extra, _ = self.imagined.sample(self._imagined_rows(size), generator)
            batch = FeasibilityBatch(*(torch.cat(pair) for pair in zip(batch, extra, strict=True)))
        if settings.conservative_backup == "max" and self._dynamics is not None:
            batch = self._with_every_elite(batch)
        return batch

    def _imagined_rows(self, size: int) -> int:
        assert self.imagined is not None
        share = min(self._settings.model_share, self.imagined.size / len(self._recorded.danger))
        return max(1, round(size * share))

    def sampler(self, recorded: Sampler) -> Sampler:
        """The agent's batches: recorded transitions alone, or with `full_model` imagined ones beside them."""
        return _Mixed(recorded, self) if self._settings.full_model else recorded

    def beside(self, batch: Transitions, generator: torch.Generator) -> Transitions:
        """The batch with imagined transitions under it, in the proportion that `batch` has them."""
        if self.imagined is None or self.imagined.size == 0:
            return batch
        extra, rewards = self.imagined.sample(self._imagined_rows(len(batch)), generator)
        zeros = torch.zeros_like(rewards)
        rows = Transitions(
            extra.observations,
            extra.actions,
            extra.next_observations,
            rewards,
            (extra.next_danger > 0).float(),
            zeros,
            zeros,
            (extra.danger > 0).float(),
            zeros,
        )
        return Transitions(*(torch.cat([getattr(batch, f.name), getattr(rows, f.name)]) for f in fields(batch)))

    @torch.no_grad()
    def _with_every_elite(self, batch: FeasibilityBatch) -> FeasibilityBatch:
        """Eq. 8: beside the next state known, those that each elite expects; any of them unsafe makes it unsafe."""
        assert self._dynamics is not None
        assert self._danger is not None
        states = self._danger.state(batch.observations)
        expected, _ = self._dynamics.predict(states, batch.actions, noise=False)
        worst: Tensor = torch.maximum(batch.next_danger, self._danger.imagined(expected).amax(0))
        following = torch.cat([batch.next_observations[None], self._danger.observation(expected)])
        return batch._replace(next_observations=following, next_danger=worst)

    def state_dict(self) -> dict[str, Any]:
        return self.imagined.state_dict() if self.imagined is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.imagined is not None:
            self.imagined.load_state_dict(state)


class _Mixed:
    """The ablation "full model": reward critic and policy learn on D and D_model too."""

    def __init__(self, recorded: Sampler, source: FeasibilityData) -> None:
        self._recorded, self._source = recorded, source

    def sample(self, generator: torch.Generator) -> Transitions | Marked:
        batch = self._recorded.sample(generator)
        if isinstance(batch, Marked):  # imagined rows have no mark: they begin no episode
            rows = self._source.beside(batch.rows, generator)
            return Marked(rows, torch.cat([batch.mark, batch.mark.new_zeros(len(rows) - len(batch.rows))]))
        return self._source.beside(batch, generator)
