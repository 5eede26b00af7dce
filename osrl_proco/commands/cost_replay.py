"""`osrl-proco cost replay`: judge the replies of a transcript again, without a key."""

from __future__ import annotations

import argparse

from ..core.errors import UserError, one_line
from ..costs.sandbox.trial import require_sandbox
from ..costs.writing.generate import choose, judge
from ..costs.writing.settings import Settings
from ..costs.writing.transcript import Transcript, prompt_hash
from ..costs.writing.written import print_round, write_function
from ..tasks.task import Task, load_task, task_ids
from .cost_evidence import gather


def run(arguments: argparse.Namespace) -> int:
    """Judge the recorded replies again."""
    before = Transcript.read(arguments.transcript)
    settings = Settings(**before.settings)
    if arguments.out is not None and arguments.out.exists():
        raise UserError(f"--out {arguments.out}: is there already; remove it or name another file")
    task = _task(arguments, before)
    data = before.data
    evidence = gather(task, arguments.dataset or data.get("dataset"), data.get("keep_unsafe", 100), data.get("seed", 0))
    print(f"Sandbox: {require_sandbox(task).report()}")
    same_data = evidence.sha256 == before.data_sha256
    if not same_data:
        print("The data are not those of the transcript (another hash): verdicts may differ")
    first = before.rounds[0].question if before.rounds else ""
    if prompt_hash(before.system, first) != before.prompt_sha256:
        print("The first prompt does not match its own hash: the transcript was changed by hand")
    again = [judge(task, evidence, settings, past.question, past.reply) for past in before.rounds]
    same = True
    for number, (past, now) in enumerate(zip(before.rounds, again, strict=True), 1):
        print_round(number, now, settings)
        if (past.verdict, past.sha256, past.assessment) != (now.verdict, now.sha256, now.assessment):
            same = False
            print(f"    was: {one_line(f'{past.assessment or past.problem}: {past.verdict}', 1_000)}")
    chosen = choose(again, settings)
    recorded = (before.outcome or {}).get("sha256")
    same = same and recorded == (chosen.sha256 if chosen else None)
    print(f"{len(again)} rounds judged again: {'the same verdicts and function' if same else 'NOT the same'}")
    if chosen is not None and arguments.out is not None:
        before.rounds, before.outcome = again, {"round": next(i for i, r in enumerate(again, 1) if r is chosen)}
        write_function(arguments.out, before, chosen)
        print(f"Written to {arguments.out}")
    return 0 if same else 1


def _task(arguments: argparse.Namespace, transcript: Transcript) -> Task:
    """The task that was named, else the transcript's own, which must be a task of ours and no file somewhere."""
    if arguments.task:
        return load_task(arguments.task)
    if transcript.task not in task_ids():
        raise UserError(
            f"{arguments.transcript}: its task {one_line(transcript.task)!r} is none of osrl-proco's; "
            "say where it is described: --task FILE.yaml"
        )
    return load_task(transcript.task)
