"""From Python, the same as from the command line: `from osrl_proco import train, evaluate, load_policy, load_task`.

Results are objects whose rows are pandas DataFrames. Progress bars suit terminals and notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .commands.train import default_logdir
from .core.errors import UserError
from .run import evaluation, settings
from .run import train as training
from .run.folder import RunFolder
from .run.policy import Trained
from .run.policy import load_policy as load_trained

if TYPE_CHECKING:
    import pandas

_TEXT = {"task", "arm", "algorithm", "mode", "settings_sha256", "commit", "versions"}


class Run:
    """A run and its folder: what `train` returns; `Run("runs/...")` opens one that is there.

    folder: its path. Raises UserError where there is no run.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = RunFolder(folder)
        self.folder = self._folder.path
        self._folder.read_config()

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run, all of them."""
        return self._folder.read_config()

    @property
    def metrics(self) -> pandas.DataFrame:
        """metrics.csv: one row for every `log_every` updates."""
        return _frame(self._folder.table("metrics.csv"))

    @property
    def evaluations(self) -> pandas.DataFrame:
        """eval.csv: one row for each episode of each evaluation during training (heldout.csv without a simulator)."""
        return _frame(self._folder.table("eval.csv") or self._folder.table("heldout.csv"))

    def policy(self, device: str = "auto") -> TrainedPolicy:
        """The policy of the last checkpoint."""
        return load_policy(self, device)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` returns: `rows`, a DataFrame with a row for each episode (and limit); `means` over them."""

    rows: pandas.DataFrame
    means: Mapping[str, float]

    @property
    def safe(self) -> bool:
        """A mean normalised cost of 1 or less."""
        return self.means["normalized_cost"] <= 1.0


class TrainedPolicy:
    """A trained policy that acts on NumPy arrays, for one robot or for several in step.

    Call `reset` when episodes begin, and `observe` after every step where the algorithm keeps a remaining limit or a
    history (CAPS, CCAC, CDT); for all others both do nothing.
    """

    def __init__(self, trained: Trained) -> None:
        self.task, self.algorithm, self.step = trained.task, trained.config.algo, trained.step
        self._device = trained.device
        self._policy = trained.policy()
        self._rows = 0

    def reset(self, robots: int = 1, seed: int = 0) -> None:
        """Episodes of `robots` robots begin; what is random in the i-th comes from `seed + i` alone."""
        self._rows = robots
        self._policy.reset(range(robots), [seed + i for i in range(robots)])

    def act(self, observations: Any) -> np.ndarray:
        """Actions (N, act_dim) for observations (N, obs_dim) of N robots; (act_dim,) for one of (obs_dim,).

        Raises UserError for observations of another size or that are not finite.
        """
        array = np.asarray(observations, dtype=np.float32)
        states = array[None] if array.ndim == 1 else array
        if states.ndim != 2 or states.shape[1] != self.task.obs_dim:
            raise UserError(
                f"act: observations have the shape {array.shape}; {self.task.id} needs ({self.task.obs_dim},) or "
                f"(N, {self.task.obs_dim})"
            )
        if not np.isfinite(states).all():
            raise UserError("act: an observation is not finite; nothing safe can be said of it")
        if len(states) != self._rows:
            self.reset(len(states))
        actions = self._policy.act(torch.as_tensor(states).to(self._device)).detach().cpu().numpy()
        return actions[0] if array.ndim == 1 else actions

    def observe(self, rewards: Any, costs: Any) -> None:
        """What the step brought: a number each for one robot, (N,) for several."""
        given = (np.atleast_1d(np.asarray(values, dtype=np.float32)) for values in (rewards, costs))
        reward, cost = (torch.as_tensor(values, device=self._device) for values in given)
        self._policy.observe(reward, cost)


def train(**given: Any) -> Run:
    """Train, and return the run: `train(algo="bcql", task="OfflineBrake-v0", seed=1)`.

    Takes the flags of `osrl-proco train` by name (`osrl-proco train --help`), plain values for them; `config` names a
    YAML file. Raises UserError for whatever can be mended, KeyboardInterrupt after Ctrl-C with a checkpoint written.
    """
    words = [word for name, value in given.items() if value is not None for word in (f"--{name}", _word(value))]
    config = settings.parse(words)
    folder = RunFolder(Path(config.logdir or default_logdir(config)))
    training.train(config, folder)
    return Run(folder.path)


def evaluate(
    run: str | Path | Run,
    *,
    episodes: int = 20,
    seed: int = 0,
    workers: int | None = None,
    protocol: str = "paper",
    device: str = "auto",
) -> Evaluated:
    """Evaluate the last checkpoint of a run, as `osrl-proco eval` does.

    Args:
        run: what `train` returned, or a run's folder.
        seed: the i-th episode is reset with `seed + i`.
        workers: processes that step the simulator; the rows are the same for every number.
        protocol: "paper", or "dsrl" for its three limits.

    Raises UserError as the command does.
    """
    done = evaluation.evaluate_run(
        _folder(run), episodes=episodes, seed=seed, workers=workers, protocol=protocol, device=device
    )
    return Evaluated(_pandas().DataFrame(done.rows), done.means)


def load_policy(
    run: str | Path | Run, device: str = "auto", lookahead: int = 0, dynamics: str | Path | None = None
) -> TrainedPolicy:
    """The policy of a run's last checkpoint.

    With `lookahead` it rolls candidates so many steps through a dynamics model (the file `dynamics`, by default the
    run's own) before it acts, and takes the first that stays out of danger. Raises UserError for a folder without a
    checkpoint or, where one is needed, without a model.
    """
    return TrainedPolicy(load_trained(_folder(run), device, lookahead=lookahead, dynamics=dynamics))


def _folder(run: str | Path | Run) -> RunFolder:
    return RunFolder(run.folder if isinstance(run, Run) else run)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_word, value))}]"
    return str(value)


def _frame(rows: list[dict[str, str]]) -> pandas.DataFrame:
    pd = _pandas()
    frame = pd.DataFrame(rows)
    for name in frame.columns:
        if name not in _TEXT:
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UserError("rows are pandas DataFrames, and pandas is not installed; pip install 'pandas<3'") from None
    return pandas
