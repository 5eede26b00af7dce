"""The real worker, but the text is a list of texts, and the reason names what stopped each of them."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from osrl_proco.costs.sandbox import worker as sandbox_worker


def judge(source, task, observations):
    verdicts = [sandbox_worker.judge(text, task, observations)[0]["stopped_by"] for text in json.loads(source)]
    return {"stopped_by": "crash", "reason": "".join(v[:1] or "-" for v in verdicts)}, b""


sandbox_worker.main(judge)
