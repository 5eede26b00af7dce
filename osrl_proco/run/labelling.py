"""A person compares segments of the training data: what `osrl-proco label` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..core.errors import UserError
from ..core.random import derived_seed
from ..data.feedback import SAFETY, Feedback, data_key, read_preferences, read_safety_labels
from ..data.samplers import segment_length, segment_starts
from ..data.trajectories import Trajectories
from ..evaluation.pair import draw_pair
from ..tasks.task import load_task
from .prepare import prepare

BETTER = {"1": "first", "2": "second", "=": "same"}
UNSAFE = {"0": (), "1": (0,), "2": (1,), "b": (0, 1)}
STOP, SKIP = "q", "s"


def label(config: Any, preferences: Path, safety: Path, picture: Path, ask: Callable[[str], str]) -> int:
    """Show pairs, ask, and write both files after every answer; how many pairs they hold in the end.

    Files that are there already are gone on with. `ask` gets a question and answers with a line, or raises EOFError,
    which ends the session as `q` does.

    Raises UserError for files of other data, and for what `prepare` refuses.
    """
    task = load_task(config.task)
    prepared = prepare(config, task, "cpu")
    data, key = prepared.data, data_key(prepared.data)
    trajectories = Trajectories.of(data)
    length = segment_length(trajectories, min(config.segment_steps, prepared.episode_len // 5))
    generator = torch.Generator().manual_seed(derived_seed(config.seed, "labelling"))
    starts = segment_starts(trajectories, 2 * config.num_pairs, length, generator)
    pairs: dict[tuple[int, int], str] = {}
    unsafe: dict[int, bool] = {}
    if preferences.exists() or safety.exists():
        pairs, unsafe = _earlier(preferences, safety, data, length)
        print(f"{len(pairs)} pairs are there already")
    for number, (first, second) in enumerate(starts.reshape(-1, 2).tolist(), 1):
        if (first, second) in pairs:
            continue
        draw_pair(task, data, (first, second), length, picture)
        better, which = _answers(ask, f"pair {number} of {config.num_pairs} ({picture})")
        if better == STOP:
            break
        if better == SKIP:
            continue
        pairs[first, second] = BETTER[better]
        for place, row in enumerate((first, second)):
            # A segment that was shown before keeps the careful answer.
            unsafe[row] = unsafe.get(row, False) or place in UNSAFE[which]
        labels = tuple((row, SAFETY[bad]) for row, bad in unsafe.items())
        # Labels first: a pair without them would make both files useless.
        Feedback("safety labels", key, length, labels).write(safety)
        Feedback("preferences", key, length, tuple((*p, word) for p, word in pairs.items())).write(preferences)
    return len(pairs)


def _earlier(
    preferences: Path, safety: Path, data: Any, length: int
) -> tuple[dict[tuple[int, int], str], dict[int, bool]]:
    """What both files hold."""
    of_pairs, rows, choices = read_preferences(str(preferences), data)
    of_labels, unsafe = read_safety_labels(str(safety), data)
    for file, found in ((preferences, of_pairs), (safety, of_labels)):
        if found != length:
            raise UserError(f"{file}: segments of {found} steps, asked are {length}; give --segment_steps {found}")
    words = {1.0: "first", 0.0: "second", 0.5: "same"}
    both = rows.reshape(-1, 2).tolist()
    return {(a, b): words[c] for (a, b), c in zip(both, choices.tolist(), strict=True)}, unsafe


def _answers(ask: Callable[[str], str], pair: str) -> tuple[str, str]:
    """A key of `BETTER` and one of `UNSAFE`; STOP also where the input ends, before both are given."""
    try:
        better = _choose(ask, f"{pair}: better is 1, 2, = (s skips, q stops) ", (*BETTER, SKIP, STOP))
        return better, "" if better in (SKIP, STOP) else _choose(ask, "unsafe is 0 (none), 1, 2, b (both) ", (*UNSAFE,))
    except EOFError:
        return STOP, ""


def _choose(ask: Callable[[str], str], question: str, answers: tuple[str, ...]) -> str:
    """One of the answers; asked again until it is."""
    while True:
        given = ask(question).strip().lower()
        if given in answers:
            return given
        print(f"please answer {', '.join(answers)}")
