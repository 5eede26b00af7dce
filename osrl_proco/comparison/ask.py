"""What is asked of `compare` on the command line: which flags each algorithm's runs get."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..core.errors import UserError, nearest
from .grid import OWN, Arm

EPISODES = "20"  # of an evaluation, as in the paper
_INSTEAD = {"algo": "--algos", "task": "--tasks", "seed": "--seeds", "proco": "--stock", "logdir": "--out"}


def listed(text: str, flag: str) -> list[str]:
    """The words of a list separated by commas. Raises UserError where it is empty."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError(f"{flag}: {text!r} names nothing; separate names by commas")
    return words


def seeds(text: str) -> list[int]:
    """Seeds from `0,1,2` or `0-4`."""
    found: list[int] = []
    for word in listed(text, "--seeds"):
        first, dash, last = word.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or len(word) > 20:
            raise UserError(f"--seeds: {word!r} is no seed; whole numbers, for example 0,1,2 or 0-4")
        found += range(int(first), int(last if dash else first) + 1) if int(last or 0) - int(first) < 10_000 else []
    if not found:
        raise UserError(f"--seeds: {text!r} names no seed (0-4 is five of them)")
    return found


def pairs(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Train flags as (`--name`, value) or (`--name=value`,) or (`--switch`,). Raises UserError for other words."""
    found: list[tuple[str, ...]] = []
    for word in words:
        if word.startswith("--"):
            found.append((word,))
        elif found and len(found[-1]) == 1 and "=" not in found[-1][0]:
            found[-1] = (*found[-1], word)
        else:
            raise UserError(f"unexpected word {word!r}; flags are --name value")
    for pair in found:
        name = _name(pair)
        if name in OWN:
            raise UserError(f"--{name}: is given to each run by compare itself; use {_INSTEAD.get(name, 'train')}")
    return found


def fitted(arms: Sequence[Arm], words: Sequence[str]) -> tuple[list[Arm], list[str]]:
    """Each arm with those flags of all runs that its algorithm has, and a line for each that some lack.

    Raises UserError for a flag that none of the algorithms has.
    """
    from ..run.config import config_class, field_names

    given = pairs(words)
    known = {arm.algo: set(field_names(config_class(arm.algo))) | {"config"} for arm in arms}
    said = []
    for pair in given:
        name = _name(pair)
        lacking = [algo for algo in known if name not in known[algo]]
        if len(lacking) == len(known):
            every = sorted(set().union(*known.values()))
            raise UserError(f"--{name}: unknown setting{nearest(name, every)} (osrl-proco compare --help)")
        if lacking:
            said.append(f"--{name}: {', '.join(lacking)} has no such setting; it goes to the others")
    return [
        Arm(a.name, a.algo, a.proco, (*(w for p in given if _name(p) in known[a.algo] for w in p), *a.flags))
        for a in arms
    ], said


def default_flags(words: Sequence[str]) -> list[str]:
    """What all runs get below `words`: the paper's number of episodes, unless a --config may say otherwise."""
    names = {_name((word,)) for word in words if word.startswith("--")}
    return [] if "config" in names else ["--eval_episodes", EPISODES]


def spoken(words: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(["osrl-proco", *words])


def _name(pair: Sequence[str]) -> str:
    return pair[0][2:].partition("=")[0].replace("-", "_")
