"""Other programs' names for DSRL's arrays, and what can be derived where they keep less (D4RL, OmniSafe, Minari)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ..core.errors import UserError, nearest
from .findings import ODD, Finding
from .transitions import KEYS, PREVIOUS

# DSRL's name -> other names, in the order in which they are looked for.
ALIASES = {
    "observations": ("observation", "obs"),
    "actions": ("action", "act", "acts"),
    "next_observations": ("next_observation", "next_obs"),
    "rewards": ("reward", "rew"),
    "costs": ("cost", "infos/cost", "infos/costs"),
    "terminals": ("terminal", "terminated", "terminations"),
    "timeouts": ("timeout", "truncated", "truncations"),
    PREVIOUS: (),
}
DONE = ("dones",)  # an episode ended, for one reason or the other
KNOWN = ("done", *DONE, *(n for key, others in ALIASES.items() for n in (key, *others)))


def choose(names: Collection[str]) -> dict[str, str]:
    """Which of a file's arrays are needed, in small letters or capitals: DSRL's name (or `done`) -> the file's name."""
    lowered = {str(n).lower(): n for n in reversed([*names])}
    exact = {n: n for n in names}
    chosen: dict[str, str] = {}
    for key, others in (*ALIASES.items(), ("done", DONE)):
        found = next((known[n] for n in (key, *others) for known in (exact, lowered) if n in known), None)
        if found is not None and not (key == "done" and {"terminals", "timeouts"} <= chosen.keys()):
            chosen[key] = found
    return chosen


def derive(arrays: Mapping[str, np.ndarray], name: str) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """DSRL's arrays from those that `choose` found, and what had to be derived, said as findings.

    Raises UserError where `next_observations` is missing and cannot be derived.
    """
    full, said = dict(arrays), list[Finding]()
    done = full.pop("done", None)
    if done is not None:
        ended = np.asarray(done).reshape(-1) > 0
        if "terminals" in full or "timeouts" in full:
            given, other = ("terminals", "timeouts") if "terminals" in full else ("timeouts", "terminals")
            if np.size(full[given]) == len(ended):
                full[other] = (ended & ~(np.asarray(full[given]).reshape(-1) > 0)).astype(np.float32)
        else:
            full["terminals"], full["timeouts"] = np.zeros(len(ended), np.float32), ended.astype(np.float32)
            text = f"{name}: 'done' does not say why an episode ended; taken for time-outs ('timeouts')"
            said.append(Finding("ends-ambiguous", ODD, text))
    if "next_observations" not in full and {*KEYS} - {"next_observations"} <= full.keys() and _even(full):
        full = _with_next_observations(full, name, said)
    return full, said


def require_keys(arrays: Collection[str], name: str, known: Collection[str] = ()) -> None:
    """Raise UserError for the first of `KEYS` that is not there, with the nearest of the names that are `known`."""
    for key in KEYS:
        if key not in arrays:
            raise UserError(f"{name}: key {key!r} is missing (needed: {', '.join(KEYS)}){_hint(key, known)}")


def _hint(key: str, known: Collection[str]) -> str:
    close = nearest(key, [k for k in known if k not in KEYS])
    if key == "timeouts" and not close:
        return "; add it: 1 on each last step of an episode that ran out of time, else 0"
    return close


def _even(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether all arrays have as many rows, and there are some."""
    lengths = {np.shape(a)[:1] for a in arrays.values()}
    return len(lengths) == 1 and lengths.isdisjoint({(), (0,)})


def _with_next_observations(arrays: dict[str, np.ndarray], name: str, said: list[Finding]) -> dict[str, np.ndarray]:
    """Each row's next observation is the next row's; the last row of an episode has none and goes out.

    The row before it becomes the episode's last, by a time-out, and keeps its own label.
    """
    count = len(arrays["observations"])
    ended = [np.asarray(arrays[k]).reshape(count, -1).astype(bool) for k in ("terminals", "timeouts")]
    ends = np.asarray(np.concatenate(ended, axis=1).any(axis=1))
    if not ends.any():
        raise UserError(
            f"{name}: key 'next_observations' is missing, and no episode end is marked that would say where the next "
            "row goes on; mark each last step in 'timeouts'"
        )
    ends[-1] = True
    kept = np.flatnonzero(~ends)
    lost = int((np.asarray(arrays["costs"]).reshape(count, -1)[ends] > 0).any(1).sum())
    following = np.asarray(arrays["observations"])[kept + 1]
    cut = {k: np.asarray(v)[kept] for k, v in arrays.items()}
    timeouts = ends[np.minimum(kept + 1, count - 1)]
    cut.update(next_observations=following, timeouts=timeouts.astype(np.float32))
    if not len(kept):
        raise UserError(f"{name}: key 'next_observations' is missing, and every row is an episode of its own")
    said.append(
        Finding(
            "next-observations-derived",
            ODD,
            f"{name}: key 'next_observations' is missing; taken from the next rows, without the last step of each of "
            f"{int(ends.sum())} episodes ({lost} violations among them)",
        )
    )
    return cut
