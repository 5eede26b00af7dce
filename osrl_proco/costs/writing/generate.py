"""Ask a language model for a cost function, check it on the data, feed the numbers back (paper eqs. 10-11, C.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import UserError, first_line
from ...tasks.task import Task
from ..language.function import CostFunction
from ..language.operations import LanguageError
from ..sandbox.checked import TRIED_ON
from ..sandbox.trial import try_out
from .evidence import Evidence, assess
from .llm import REPLY_TOKENS, LanguageModel, Message
from .prompt import ROLE, feedback, feedback_rejected, first_prompt
from .reply import NoFunction, Reply, function_text
from .settings import SHORTEST_REPLY, Settings
from .transcript import Round, Transcript, prompt_hash


def new_transcript(
    task: Task, evidence: Evidence, data: dict[str, Any], settings: Settings, model: str, created: str
) -> Transcript:
    """An empty record of a run that is about to begin; `data` says how to get the evidence again."""
    system = ROLE if settings.role else ""
    return Transcript(
        created=created,
        model=model,
        task=task.id,
        prompt_sha256=prompt_hash(system, first_prompt(task, settings.conservative)),
        data_sha256=evidence.sha256,
        data={**data, "safe": len(evidence.safe), "unsafe": len(evidence.unsafe)},
        settings=dataclasses.asdict(settings),
        system=system,
    )


def generate(
    task: Task,
    evidence: Evidence,
    model: LanguageModel,
    settings: Settings,
    transcript: Transcript,
    path: Path | None = None,
    report: Callable[[int, Round], None] = lambda number, round: None,
) -> Round | None:
    """Ask until a function is accepted, the queries or the tokens are used up, or the model fails.

    Args:
        transcript: the record to fill. Rounds that it holds already are taken as they are and not asked again.
        path: where the record is written after every round.
        report: called with the number (from 1) and the outcome of every new round.

    Returns the round of the chosen function: the accepted one, else by the paper's fallback the one with the highest
    accuracy on D_u and, among those, the share nearest the interval; None where no reply could be used.
    """
    while len(transcript.rounds) < (settings.max_queries if settings.reflect else 1):
        if transcript.rounds and transcript.rounds[-1].verdict in ("accepted", "unchecked"):
            break
        question = _question(task, evidence, settings, transcript.rounds)
        messages = conversation(transcript.rounds, question)
        longest = _longest_reply(transcript, settings, messages)
        if longest < SHORTEST_REPLY:
            break
        reply = model.ask(transcript.system, messages, longest)
        transcript.rounds.append(judge(task, evidence, settings, question, reply))
        if path is not None:
            transcript.write(path)
        report(len(transcript.rounds), transcript.rounds[-1])
    chosen = choose(transcript.rounds, settings)
    transcript.outcome = _outcome(transcript.rounds, chosen)
    if path is not None:
        transcript.write(path)
    return chosen


def judge(task: Task, evidence: Evidence, settings: Settings, question: str, reply: Reply) -> Round:
    """What a reply is worth: its function's text, tried in the sandbox first, then held against the data.

    Raises UserError where the sandbox cannot be set up, which is no fault of the reply's.
    """
    result = Round(question, reply)
    try:
        result.source = function_text(reply)
    except NoFunction as error:
        result.problem, result.stopped_by = str(error), "reply"
        return result
    trial = try_out(result.source, task, evidence.sample(TRIED_ON))
    if trial.stopped_by == "set-up":
        raise UserError(trial.reason)
    if not trial.ok:
        result.problem, result.stopped_by = trial.reason, trial.stopped_by
        return result
    if not settings.reflect:
        result.verdict = "unchecked"
        return result
    try:
        result.assessment = assess(CostFunction(result.source, task), evidence)
    except LanguageError as error:
        result.problem, result.stopped_by = first_line(error), "interpreter"
        return result
    result.verdict = result.assessment.verdict(settings.p_low, settings.p_high)
    return result


def conversation(rounds: Sequence[Round], question: str) -> list[Message]:
    """The messages so far, and the next question. The API takes no empty message, so an empty reply gets a word."""
    messages: list[Message] = []
    for past in rounds:
        messages.append({"role": "user", "content": past.question})
        messages.append({"role": "assistant", "content": past.reply.text.rstrip() or "(empty)"})
    return [*messages, {"role": "user", "content": question}]


def _question(task: Task, evidence: Evidence, settings: Settings, rounds: Sequence[Round]) -> str:
    if not rounds:
        return first_prompt(task, settings.conservative)
    last = rounds[-1]
    if last.assessment is None:
        return feedback_rejected(last.problem)
    assert last.source is not None
    return feedback(CostFunction(last.source, task), evidence, last.assessment, settings.p_low, settings.p_high)


def _longest_reply(transcript: Transcript, settings: Settings, messages: Sequence[Message]) -> int:
    """Tokens that the next reply may take: what the budget leaves after its prompt, generously estimated."""
    prompt = (len(transcript.system) + sum(len(m["content"]) for m in messages)) // 3
    left = settings.max_tokens - transcript.input_tokens - transcript.output_tokens - prompt
    return min(left, REPLY_TOKENS)


def choose(rounds: Sequence[Round], settings: Settings) -> Round | None:
    """The accepted (or unchecked) round, else the paper's fallback, else None."""
    for past in rounds:
        if past.verdict in ("accepted", "unchecked"):
            return past
    usable = [(r.assessment.rank(settings.p_low, settings.p_high), r) for r in rounds if r.assessment is not None]
    return min(usable, key=lambda pair: pair[0])[1] if usable else None


def _outcome(rounds: Sequence[Round], chosen: Round | None) -> dict[str, object]:
    if chosen is None:
        return {"how": "none", "round": None, "sha256": None}
    how = chosen.verdict if chosen.verdict in ("accepted", "unchecked") else "fallback"
    # By identity: two rounds may be equal.
    number = next(i for i, r in enumerate(rounds, 1) if r is chosen)
    return {"how": how, "round": number, "sha256": chosen.sha256}
