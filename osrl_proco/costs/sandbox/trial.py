"""Try a candidate cost function out in a process of its own, which has given up files, network and processes.

What comes back is treated as hostile too: bounded in length, checked in form, and used to accept or reject only. The
caller labels its data itself, through the same interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from ...core.errors import UserError, one_line
from ...tasks.task import Task
from ..language.operations import MAX_MESSAGE
from . import limits

START_SECONDS = 120.0  # for importing torch, from a slow disk at worst
MAX_LINE = 8_192  # bytes of one answer
MEMORY_MB = 1_024
STAGES = ("language", "interpreter", "check", "memory limit", "crash")
WORKER = Path(__file__).with_name("worker.py")
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")  # to find shared libraries; nothing secret
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Enforcement:
    """Which limits held on this system, each tried out by the process itself before it saw the text."""

    measures: dict[str, bool]

    def report(self) -> str:
        """One line: what was enforced, and what was not."""
        held = ", ".join(name for name, true in self.measures.items() if true)
        missing = ", ".join(name for name, true in self.measures.items() if not true)
        return f"enforced: {held or 'nothing'}" + (f"; NOT enforced on this system: {missing}" if missing else "")


@dataclass(frozen=True)
class Trial:
    """What became of a text in the sandbox."""

    ok: bool
    reason: str  # one line: why it was rejected; "" when ok
    stopped_by: str  # one of STAGES, "time limit", "output limit", "set-up" (no text was run); or ""
    labels: Tensor | None  # float32 (N,), each 0 or 1; only when ok
    seconds: float  # wall time from the end of the set-up
    enforcement: Enforcement


def try_out(
    source: str, task: Task, observations: Tensor, *, seconds: float = 20.0, memory_mb: int = MEMORY_MB
) -> Trial:
    """Read and run `source` for the first time, on `observations` (N, obs_dim), N > 0, in a process of its own.

    Args:
        seconds: wall and processor time for the text; the process's own start is not counted.
        memory_mb: memory for the text, on top of what the process needs before it sees it.

    Fails closed: whatever is not one label 0 or 1 per state, the same in every batch, is `ok=False`. Raises
    ValueError only where `observations` do not have the task's form.
    """
    if observations.dim() != 2 or len(observations) == 0 or observations.shape[1] != task.obs_dim:
        raise ValueError(f"observations of shape {tuple(observations.shape)}; {task.id} needs (N, {task.obs_dim})")
    request = {
        "path": [*(os.path.abspath(p) for p in sys.path), str(Path(__file__).parents[3])],
        "task": task.id,
        "entries": [(e.name, e.start, e.stop, "", "") for e in task.entries],
        "source": source,
        "seconds": seconds,
        "memory_mb": memory_mb,
    }
    states = observations.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    with tempfile.TemporaryDirectory() as folder, _process(folder) as process:
        return _converse(process, json.dumps(request).encode() + b"\n" + states, len(observations), seconds)


def require_sandbox(task: Task) -> Enforcement:
    """What the sandbox enforces on this system, tried out with a harmless text.

    Raises UserError where it cannot be set up: then nothing that somebody else wrote may run.
    """
    text = f'def cost(obs):\n    return obs["{task.entries[0].name}"][..., 0] > 0'
    trial = try_out(text, task, torch.zeros(2, task.obs_dim))
    if not trial.ok:
        raise UserError(f"cost functions of others cannot be tried here: {trial.reason}")
    return trial.enforcement


@contextlib.contextmanager
def _process(folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """The worker, in an empty folder, with none of our environment; gone when the block ends."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {name: "1" for name in _THREADS} | {"CUDA_VISIBLE_DEVICES": "", "HOME": folder}
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the worker and what it may have started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


class _Clock:
    """Ends the process when its time is over; `over` says that it did."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.over = False
        self._process = process
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        self.over = True
        _kill(self._process)

    def __enter__(self) -> _Clock:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _converse(process: subprocess.Popen[bytes], request: bytes, count: int, seconds: float) -> Trial:
    assert process.stdin is not None
    assert process.stdout is not None
    with _Clock(process, START_SECONDS) as clock:
        with contextlib.suppress(OSError):  # a worker that died early closes the pipe; reading tells
            process.stdin.write(request)
            process.stdin.close()
        probes = _line(process.stdout)
    started = time.monotonic()
    told = probes if isinstance(probes, dict) else {}
    enforcement = Enforcement(
        {"separate process": True, "time limit": True, "output limit": True, "clean environment": True}
        | {name: told.get(name) is True for name in limits.MEASURES}
    )

    def rejected(by: str, reason: str) -> Trial:
        return Trial(False, reason, by, None, time.monotonic() - started, enforcement)

    failed = told.get("failed")
    if failed != "":
        why = f" ({one_line(failed, MAX_MESSAGE)})" if isinstance(failed, str) else " in time" if clock.over else ""
        return rejected("set-up", f"the sandbox's process could not be set up{why}; no cost function was run")
    if lacking := limits.missing(enforcement.measures):  # as the worker has seen itself, if it is ours
        return rejected("set-up", f"the sandbox does not enforce: {lacking}; no cost function was run")
    with _Clock(process, seconds) as clock:
        verdict = _line(process.stdout)
        labels = process.stdout.read(count + 1) if isinstance(verdict, dict) and not verdict.get("stopped_by") else b""
    if clock.over:
        return rejected("time limit", f"took more than {seconds:g} seconds")
    if verdict is None:
        return rejected("crash", "the sandbox's process died without a verdict")
    if verdict == "too long" or len(labels) > count:
        return rejected("output limit", "the sandbox's process wrote more than it may")
    if not isinstance(verdict, dict) or not isinstance(verdict.get("reason"), str):
        return rejected("crash", "the sandbox's process gave no verdict")
    if verdict.get("stopped_by"):
        by = verdict["stopped_by"]
        return rejected(by if by in STAGES else "crash", one_line(verdict["reason"], MAX_MESSAGE))
    if len(labels) != count or labels.strip(b"\x00\x01"):
        return rejected("crash", "the sandbox's process gave no label for some states")
    values = torch.tensor(list(labels), dtype=torch.float32)
    return Trial(True, "", "", values, time.monotonic() - started, enforcement)


def _line(stream: IO[bytes]) -> object:
    """One answer; None where the process ended without one, "too long", or "unreadable"."""
    line = stream.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        return "too long" if len(line) == MAX_LINE else None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return "unreadable"
