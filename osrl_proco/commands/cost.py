"""`osrl-proco cost generate|check|show|replay`: the flags. What they do stands beside, and loads PyTorch when run."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from ..costs.writing.llm import DEFAULT_MODEL
from ..costs.writing.settings import P_HIGH, P_LOW

WITHOUT = {"conservativeness": "conservative", "reflection": "reflect", "role": "role"}


def main(argv: list[str]) -> int:
    """Parse and run one of the four actions."""
    parser = argparse.ArgumentParser(
        prog="osrl-proco cost", description="Cost functions: ask a language model for one, check it, look at it."
    )
    actions = parser.add_subparsers(dest="action", metavar="generate|check|show|replay", required=True)

    ask = actions.add_parser(
        "generate",
        help="ask a language model for a cost function",
        description="Ask a language model for a cost function of the task, check every reply in a sandbox and on the "
        "data, feed the numbers back, and write the accepted function (or the best one) to FILE and every query, "
        "reply, verdict and token count to FILE with the ending .json. Run again, an interrupted generation goes on.",
    )
    _task_and_dataset(ask)
    ask.add_argument("--out", type=Path, metavar="FILE", help="function to write (default: runs/costs/TASK.py)")
    ask.add_argument("--model", metavar="NAME", help=f"default: ANTHROPIC_MODEL, or {DEFAULT_MODEL}")
    ask.add_argument("--api_key", metavar="KEY", help="default: ANTHROPIC_API_KEY (better: others cannot read it)")
    ask.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds for one answer (default: 120)")
    ask.add_argument("--max_queries", type=int, default=10, metavar="N", help="queries at most (default: 10)")
    ask.add_argument(
        "--max_tokens", type=int, default=200_000, metavar="N", help="tokens in all, read and written (default: 200000)"
    )
    _interval(ask)
    ask.add_argument("--keep_unsafe", type=int, default=100, metavar="N", help="unsafe states used (default: 100)")
    ask.add_argument("--seed", type=int, default=0, metavar="S", help="which unsafe states are used (default: 0)")
    ask.add_argument(
        "--without",
        action="append",
        default=[],
        choices=list(WITHOUT),
        metavar="PART",
        help=f"ablation: leave out {', '.join(WITHOUT)} (may be given several times)",
    )

    check = actions.add_parser(
        "check",
        help="hold a cost function against a dataset",
        description="Run FILE (or the library's function for --task) in the sandbox, then on a dataset: share of the "
        "unsafe states found, share of the safe ones called unsafe. What cost generate wrote must keep to the rule "
        "that it was asked by. Of a person's function two things are accepted, and said: a few violations missed, "
        "where the task's file states what the observation does not show, and a small margin, where all are found. "
        "Exit status 0: accepted, 1: not accepted.",
    )
    check.add_argument("file", type=Path, nargs="?", metavar="FILE", help="cost function (default: the library's)")
    _task_and_dataset(check)
    _interval(check)

    show = actions.add_parser(
        "show",
        help="print a cost function, its accuracy, and where it fires",
        description="Print a cost function (a file, or the library's for --task), how it does on a dataset, and "
        "where along the entries that it reads it calls states unsafe.",
    )
    show.add_argument("file", type=Path, nargs="?", metavar="FILE", help="cost function (default: the library's)")
    _task_and_dataset(show)
    _interval(show)
    show.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the histograms into this file, too")

    replay = actions.add_parser(
        "replay",
        help="judge the replies of a transcript again, without a key",
        description="Put the recorded replies through sandbox and checks again. Exit status 0: the same verdicts and "
        "the same function, 1: others.",
    )
    replay.add_argument("transcript", type=Path, metavar="TRANSCRIPT.json", help="written by cost generate")
    replay.add_argument("--task", metavar="ID", help="task id or YAML file (default: the transcript's)")
    replay.add_argument("--dataset", metavar="FILE", help="HDF5 file in DSRL's format (default: the transcript's)")
    replay.add_argument("--out", type=Path, metavar="FILE", help="write the chosen function, too")

    arguments = parser.parse_args(argv)
    return int(importlib.import_module(f".cost_{arguments.action}", __package__).run(arguments))


def _task_and_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, metavar="ID", help="task id or YAML file")
    parser.add_argument("--dataset", metavar="FILE", help="HDF5 file in DSRL's format (default: the task's own data)")


def _interval(parser: argparse.ArgumentParser) -> None:
    text = "wanted share of safe states called unsafe, {} end (default: {})"
    parser.add_argument("--p_low", type=float, default=P_LOW, metavar="P", help=text.format("low", P_LOW))
    parser.add_argument("--p_high", type=float, default=P_HIGH, metavar="P", help=text.format("high", P_HIGH))
