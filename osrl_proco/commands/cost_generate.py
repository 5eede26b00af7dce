"""`osrl-proco cost generate`: ask a language model for a cost function."""

from __future__ import annotations

import argparse
import datetime
import math
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..costs.sandbox.trial import require_sandbox
from ..costs.writing.generate import generate, new_transcript
from ..costs.writing.llm import AnthropicModel
from ..costs.writing.settings import Settings
from ..costs.writing.transcript import Round, Transcript
from ..costs.writing.written import print_round, write_function
from ..tasks.task import load_task
from .cost import WITHOUT
from .cost_evidence import gather


def run(arguments: argparse.Namespace) -> int:
    """Ask, check, feed back, and write the function and the transcript."""
    settings = Settings(
        p_low=arguments.p_low,
        p_high=arguments.p_high,
        max_queries=arguments.max_queries,
        max_tokens=arguments.max_tokens,
        **{field: name not in arguments.without for name, field in WITHOUT.items()},
    )
    task = load_task(arguments.task)
    out = arguments.out or Path("runs/costs") / f"{task.name}.py"
    if out.exists():
        raise UserError(f"--out {out}: is there already; remove it or name another file")
    record = out.with_suffix(".json")
    if record == out:
        raise UserError(f"--out {out}: the ending .json is the transcript's; name the function .py")
    if not 0 < arguments.timeout < math.inf:
        raise UserError(f"--timeout: {arguments.timeout} must be a positive number of seconds")
    model = AnthropicModel(arguments.model, arguments.api_key, arguments.timeout)
    evidence = gather(task, arguments.dataset, arguments.keep_unsafe, arguments.seed)
    print(f"Sandbox: {require_sandbox(task).report()}")  # before anything is asked and paid for
    fresh = new_transcript(task, evidence, _origin(arguments), settings, model.name, _now())
    transcript = _continued(fresh, record)
    print(
        f"Asking {model.name} for a cost function of {task.id}: checked on {len(evidence.safe)} safe and "
        f"{len(evidence.unsafe)} unsafe states, {settings.wanted}"
    )
    for number, past in enumerate(transcript.rounds, 1):
        print_round(number, past, settings)
    chosen = generate(task, evidence, model, settings, transcript, record, lambda n, r: print_round(n, r, settings))
    print(f"Tokens: {transcript.input_tokens} read, {transcript.output_tokens} written. Transcript: {record}")
    if chosen is None:
        raise UserError(f"no reply of {len(transcript.rounds)} could be used; {record} says why; try another --model")
    write_function(out, transcript, chosen)
    _print_outcome(transcript, chosen, out, settings)
    return 0


def _origin(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `replay` needs to gather the same evidence."""
    return {"dataset": arguments.dataset, "keep_unsafe": arguments.keep_unsafe, "seed": arguments.seed}


def _continued(fresh: Transcript, record: Path) -> Transcript:
    """The unfinished transcript at `record` where there is one of the same run, else the fresh one."""
    if not record.exists():
        return fresh
    before = Transcript.read(record)
    for field, flag in (("task", "--task"), ("model", "--model"), ("data_sha256", "--dataset")):
        if getattr(before, field) != getattr(fresh, field):
            raise UserError(f"{record}: a transcript with another {field} ({flag}); remove it or choose another --out")
    if before.settings != fresh.settings or before.prompt_sha256 != fresh.prompt_sha256:
        raise UserError(f"{record}: a transcript with other settings or prompt; remove it or choose another --out")
    if before.outcome is not None and before.outcome["how"] == "none":
        raise UserError(f"{record}: this run ended without a usable function; remove it or choose another --out")
    before.outcome = None
    return before


def _print_outcome(transcript: Transcript, chosen: Round, out: Path, settings: Settings) -> None:
    how = (transcript.outcome or {})["how"]
    if how == "fallback":
        print(
            f"No function was accepted ({settings.wanted}). The best one was written; look at it before you train: "
            f"osrl-proco cost show {out} --task {transcript.task}"
        )
    print(f"Written to {out} ({how}); use it with: osrl-proco train --task {transcript.task} --cost_function {out}")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
