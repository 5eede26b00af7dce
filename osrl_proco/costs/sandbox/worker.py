"""The process in which a candidate text is read and run for the first time (started by trial.py, by its path).

It reads one request from standard input, imports what it needs, gives up its rights (limits.py), says on standard
output which of them are really gone, and only then looks at the text. The answer is two lines of JSON (the probes, and
why the set-up failed or ""; the verdict) and, after a good verdict, one byte per state. After a failed set-up it ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO

WARM_UPS = (
    'def cost(obs):\n    return obs["x"].sum(dim=-1) > torch.sqrt(obs["x"][..., 0] + 1.5)',
    'def cost(obs):\n    return torch.where(torch.sqrt(obs["x"] - 0.5).amax(-1) > 0.1, 1.0, 0.0)',  # NaN for some
)


def main(judge_text: Any = None) -> None:
    """Answer one request. `judge_text` takes the place of `judge` in tests of the limits."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody else's printing gets between the answers
    request = json.loads(sys.stdin.buffer.readline())
    states = bytearray(sys.stdin.buffer.read())
    sys.path[:] = request["path"]
    try:
        task, observations = _set_up(request, states)
        from osrl_proco.costs.sandbox import limits

        limits.lock(request["seconds"], request["memory_mb"])
        probed = limits.probe(request["memory_mb"])
        missing = limits.missing(probed)
        _answer(answers, {**probed, "failed": f"not enforced: {missing}" if missing else ""})
        if missing:
            os._exit(1)
    except BaseException as error:  # an import or a limit: no text is looked at
        _answer(answers, {"failed": f"{type(error).__name__}: {error}"[:500]})
        os._exit(1)
    verdict, labels = (judge_text or judge)(request["source"], task, observations)
    _answer(answers, verdict)
    answers.write(labels)
    os._exit(0)  # no clean-up: it would want files


def _set_up(request: dict[str, Any], states: bytearray) -> tuple[Any, Any]:
    """Import all that judging needs; the task and the observations."""
    from osrl_proco.costs.sandbox import limits

    limits.leave_the_network()
    import torch

    from osrl_proco.costs.language.function import CostFunction
    from osrl_proco.costs.sandbox.checks import check
    from osrl_proco.tasks.task import Entry, Task

    torch.set_num_threads(1)
    entries = tuple(Entry(*e) for e in request["entries"])
    task = Task(request["task"], request["task"], "none", "", "", entries)
    observations = torch.frombuffer(states, dtype=torch.float32).reshape(-1, task.obs_dim)
    # Modules that torch imports at its first operations must be there before files are out of reach.
    for text in WARM_UPS:
        check(CostFunction(text, Task("", "", "none", "", "", (Entry("x", 0, 2, "", ""),))).raw, torch.rand(6, 2))
    return task, observations


def judge(source: str, task: Any, observations: Any) -> tuple[dict[str, str], bytes]:
    """The verdict on a text (`stopped_by` is empty where it is good), and its labels, one byte each."""
    from osrl_proco.costs.language.function import CostFunction
    from osrl_proco.costs.language.operations import LanguageError
    from osrl_proco.costs.sandbox.checks import Rejected, check

    stage = "language"
    try:
        function = CostFunction(source, task)
        stage = "interpreter"
        labels = check(function.raw, observations)
    except LanguageError as error:
        # torch's CPU allocator has no exception of its own
        stage = "memory limit" if "allocate memory" in str(error) else stage
        return {"stopped_by": stage, "reason": str(error)}, b""
    except Rejected as error:
        return {"stopped_by": "check", "reason": str(error)}, b""
    except MemoryError:
        return {"stopped_by": "memory limit", "reason": "more memory than the sandbox gives"}, b""
    except Exception as error:
        return {"stopped_by": "crash", "reason": f"{type(error).__name__}: {error}"}, b""
    return {"stopped_by": "", "reason": ""}, bytes(labels.int().tolist())


def _answer(stream: BinaryIO, what: dict[str, Any]) -> None:
    stream.write(json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
