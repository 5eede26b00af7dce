"""`osrl-proco cost show`: print a cost function, its accuracy, and where it fires."""

from __future__ import annotations

import argparse

from ..core.files import read_text
from ..costs.sandbox.checked import TRIED_ON, load_cost_function, load_tried
from ..costs.writing.evidence import Assessment, assess
from ..costs.writing.profile import picture, profiles
from ..costs.writing.settings import Settings
from ..costs.writing.verdict import verdict
from ..tasks.task import load_task
from .cost_evidence import gather


def run(arguments: argparse.Namespace) -> int:
    """Print the text, the scores, and the shares along every entry that it reads."""
    settings = Settings(p_low=arguments.p_low, p_high=arguments.p_high)
    task = load_task(arguments.task)
    path = arguments.file or task.cost_path
    read_text(path)  # before the dataset is made
    evidence = gather(task, arguments.dataset)
    if arguments.file is None:
        cost = load_cost_function(path, task)
        print("Sandbox: not used, the function is the library's own")
    else:
        cost, trial = load_tried(path, task, evidence.sample(TRIED_ON))
        print(f"Sandbox: {trial.enforcement.report()}")
    print(f"{path.name if arguments.file is None else path}\n\n{cost.source.rstrip()}\n")
    result = assess(cost, evidence)
    where = arguments.dataset or "the dataset of " + task.id
    print(f"On {where}: {_scores(result)} ({verdict(result, cost, settings)})\n")
    found = profiles(cost, evidence)
    if found:
        width = max(len(p.label) for p in found)
        print("Share of states called unsafe (higher block: more of them; a dot: no state there):")
        for p in found:
            print(f"  {p.label:<{width}} {p}")
    if arguments.plot is not None:
        picture(found, f"{task.name}, {path.name}\n{result}", arguments.plot)
        print(f"Picture: {arguments.plot}")
    return 0


def _scores(result: Assessment) -> str:
    found = f"{result.accuracy:.2%} of {result.unsafe} unsafe states found" if result.unsafe else "no unsafe state"
    return f"{found}, {result.share:.2%} of {result.safe} safe states called unsafe"
