"""The real worker with its real limits, but the text is Python and runs: what an escape could do.

The text may set `verdict` and `labels`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from osrl_proco.costs.sandbox import worker as sandbox_worker


def judge(source, task, observations):
    names = {"verdict": {"stopped_by": "crash", "reason": "ran"}, "labels": b"", "observations": observations}
    exec(source, names)
    return names["verdict"], names["labels"]


if __name__ == "__main__":
    sandbox_worker.main(judge)
