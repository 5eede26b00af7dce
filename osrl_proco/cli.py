"""`osrl-proco <command>`: parsing and dispatch, nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from . import __version__
from .core.errors import UserError, nearest

_COMMANDS = {
    "train": "train an OSRL algorithm, with PROCO or stock, on a task's data",
    "eval": "run a trained policy: normalised reward and cost, a film of an episode",
    "viz": "feasibility | dynamics: pictures of what a run has learned",
    "demo": "stock and PROCO on an embedded task: table and picture, in a few minutes",
    "data": "info | split | collect | download: look at, split, make and fetch datasets",
    "cost": "generate | check | show | replay: cost functions, also from a language model",
    "label": "compare segments of the data in pictures, by hand: preferences and safety labels for presa",
    "dynamics": "fit: fit the dynamics model to a task's data",
    "compare": "algorithms x tasks x seeds: trained or reused; one table, one page, all raw rows",
    "report": "make every table, plot and page again from raw rows",
    "reproduce": "the paper's tables: run what one needs, ours beside the paper's",
    "doctor": "what is installed, what works, and the command that mends the rest",
}


# How PyTorch says it, on a CPU and on a GPU
_NO_MEMORY = ("can't allocate memory", "out of memory")


def _usage() -> str:
    lines = [f"osrl-proco {__version__}: PROCO for OSRL, offline safe RL from data without violations", ""]
    lines += ["usage: osrl-proco <command> [flags]", "", "commands:"]
    lines += [f"  {name:<9} {text}" for name, text in _COMMANDS.items()]
    lines += ["", "osrl-proco <command> --help says more. Example:"]
    lines += ["  osrl-proco train --algo bcql --task OfflineBrake-v0 --seed 0"]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 fine, 2 a mistake in what was given, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # under LC_ALL=C a path with an accent must not end in a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if words[0] == "--version":
        print(f"osrl-proco {__version__}")
        return 0
    try:
        if words[0] not in _COMMANDS:
            raise UserError(f"unknown command {words[0]!r}{nearest(words[0], _COMMANDS)}")
        module = importlib.import_module(f".commands.{words[0]}", __package__)
        return int(module.main(words[1:]) or 0)
    except UserError as error:
        print(f"osrl-proco: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk or a read-only folder, where nothing nearer to it has said more
        print(f"osrl-proco: error: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in _NO_MEMORY):
            raise
        print(
            "osrl-proco: error: not enough memory for these sizes; a smaller batch_size, rollout_batch, rollout_buffer "
            "or hidden width needs less",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("osrl-proco: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
