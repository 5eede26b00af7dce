"""`osrl-proco cost check`: hold a cost function against a dataset."""

from __future__ import annotations

import argparse

from ..core.files import read_text
from ..costs.sandbox.checked import TRIED_ON, load_tried
from ..costs.writing.evidence import assess
from ..costs.writing.settings import Settings
from ..costs.writing.verdict import verdict
from ..tasks.task import load_task
from .cost_evidence import gather


def run(arguments: argparse.Namespace) -> int:
    """Try the text in the sandbox, then count. The exit status says whether it is accepted."""
    settings = Settings(p_low=arguments.p_low, p_high=arguments.p_high)
    task = load_task(arguments.task)
    path = arguments.file or task.cost_path
    read_text(path)  # before the dataset is made
    evidence = gather(task, arguments.dataset)
    cost, trial = load_tried(path, task, evidence.sample(TRIED_ON))
    print(f"Sandbox: {trial.enforcement.report()}")
    result = assess(cost, evidence)
    says = verdict(result, cost, settings)
    print(f"{path if arguments.file else path.name}: {result}")
    accepted = says.startswith("accepted")
    print(f"{says[0].upper()}{says[1:]}" if accepted else f"Not accepted: {says}", f"({settings.wanted})")
    if accepted and result.found < result.unsafe:
        print(f"The task's file says: {task.inexact}")
    return 0 if accepted else 1
