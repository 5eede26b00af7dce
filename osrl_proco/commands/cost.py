"""`osrl-proco cost generate|check|show|replay`."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from ..core.errors import UserError, first_line
from ..costs.language.function import load_cost_function
from ..costs.sandbox.checked import TRIED_ON, load_tried, read_text
from ..costs.writing.evidence import P_HIGH, P_LOW, Assessment, Evidence, assess
from ..costs.writing.generate import Settings, choose, generate, judge, new_transcript
from ..costs.writing.llm import DEFAULT_MODEL, AnthropicModel
from ..costs.writing.profile import picture, profiles
from ..costs.writing.transcript import Round, Transcript, prompt_hash
from ..data.load import load_dataset, load_file, unsafe_file
from ..data.split import safe_only
from ..envs.make import make_env
from ..tasks.task import Task, load_task

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
        description="Run FILE in the sandbox, then on a dataset: share of the unsafe states found, share of the safe "
        "ones called unsafe. FILE may be written by a person. Exit status 0: accepted, 1: not accepted.",
    )
    check.add_argument("file", type=Path, metavar="FILE", help="cost function")
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
    return {"generate": _generate, "check": _check, "show": _show, "replay": _replay}[arguments.action](arguments)


def _task_and_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, metavar="ID", help="task id or YAML file")
    parser.add_argument("--dataset", metavar="FILE", help="HDF5 file in DSRL's format (default: the task's own data)")


def _interval(parser: argparse.ArgumentParser) -> None:
    text = "wanted share of safe states called unsafe, {} end (default: {})"
    parser.add_argument("--p_low", type=float, default=P_LOW, metavar="P", help=text.format("low", P_LOW))
    parser.add_argument("--p_high", type=float, default=P_HIGH, metavar="P", help=text.format("high", P_HIGH))


# ---- generate -------------------------------------------------------------------------------------------------------


def _generate(arguments: argparse.Namespace) -> int:
    settings = Settings(
        p_low=arguments.p_low,
        p_high=arguments.p_high,
        max_queries=arguments.max_queries,
        max_tokens=arguments.max_tokens,
        **{field: name not in arguments.without for name, field in WITHOUT.items()},
    )
    task = load_task(arguments.task)
    out = arguments.out or Path("runs/costs") / f"{task.name}.py"
    record = out.with_suffix(".json")
    if out.exists():
        raise UserError(f"--out {out}: is there already; remove it or name another file")
    if arguments.timeout <= 0:
        raise UserError(f"--timeout: {arguments.timeout} must be positive")
    model = AnthropicModel(arguments.model, arguments.api_key, arguments.timeout)
    evidence = _evidence(task, arguments.dataset, arguments.keep_unsafe, arguments.seed)
    fresh = new_transcript(task, evidence, _origin(arguments), settings, model.name, _now())
    transcript = _continued(fresh, record)
    print(
        f"Asking {model.name} for a cost function of {task.id}: checked on {len(evidence.safe)} safe and "
        f"{len(evidence.unsafe)} unsafe states, {_wanted(settings)}"
    )
    for number, past in enumerate(transcript.rounds, 1):
        _print_round(number, past, settings)
    chosen = generate(task, evidence, model, settings, transcript, record, lambda n, r: _print_round(n, r, settings))
    print(f"Tokens: {transcript.input_tokens} read, {transcript.output_tokens} written. Transcript: {record}")
    if chosen is None:
        raise UserError(f"no reply of {len(transcript.rounds)} could be used; {record} says why; try another --model")
    _write_function(out, transcript, chosen)
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


def _write_function(out: Path, transcript: Transcript, chosen: Round) -> None:
    """The function's text under a header that says where it comes from."""
    number = (transcript.outcome or {}).get("round")
    header = [
        f"# Generated by {chosen.reply.model or transcript.model} on {transcript.created} for {transcript.task}.",
        f"# Round {number} of {len(transcript.rounds)}: {chosen.assessment or 'not checked on data'}.",
        f"# Prompt sha256 {transcript.prompt_sha256[:16]}, data sha256 {transcript.data_sha256[:16]}.",
    ]
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text("\n".join(header) + "\n" + (chosen.source or ""))
        partial.replace(out)
    except OSError as error:
        raise UserError(f"--out {out}: could not be written ({first_line(error)})") from None
    finally:
        partial.unlink(missing_ok=True)


def _print_round(number: int, round: Round, settings: Settings) -> None:
    tokens = f"{round.reply.input_tokens} + {round.reply.output_tokens} tokens"
    if round.assessment is not None:
        outcome = f"{round.assessment}: {round.verdict}"
    else:
        outcome = f"not checked on data: {round.verdict}" if not round.problem else f"unusable: {round.problem}"
    limit = settings.max_queries if settings.reflect else 1
    print(f"  round {number}/{limit} ({tokens}): {outcome}", flush=True)


def _print_outcome(transcript: Transcript, chosen: Round, out: Path, settings: Settings) -> None:
    how = (transcript.outcome or {})["how"]
    if how == "fallback":
        print(
            f"No function was accepted ({_wanted(settings)}). The best one was written; look at it before you train: "
            f"osrl-proco cost show {out} --task {transcript.task}"
        )
    print(f"Written to {out} ({how}); use it with: osrl-proco train --task {transcript.task} --cost_function {out}")


def _wanted(settings: Settings) -> str:
    return (
        f"wanted: all unsafe ones found, {settings.p_low:.0%} to {settings.p_high:.0%} of the safe ones called unsafe"
    )


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


# ---- check, show ----------------------------------------------------------------------------------------------------


def _check(arguments: argparse.Namespace) -> int:
    settings = Settings(p_low=arguments.p_low, p_high=arguments.p_high)
    task = load_task(arguments.task)
    read_text(arguments.file)  # before the dataset is made
    evidence = _evidence(task, arguments.dataset)
    cost, trial = load_tried(arguments.file, task, evidence.sample(TRIED_ON))
    print(f"Sandbox: {trial.enforcement.report()}")
    result = assess(cost, evidence)
    verdict = result.verdict(settings.p_low, settings.p_high)
    print(f"{arguments.file}: {result}")
    print(f"{'Accepted' if verdict == 'accepted' else f'Not accepted: {verdict}'} ({_wanted(settings)})")
    return 0 if verdict == "accepted" else 1


def _show(arguments: argparse.Namespace) -> int:
    settings = Settings(p_low=arguments.p_low, p_high=arguments.p_high)
    task = load_task(arguments.task)
    path = arguments.file or task.cost_path
    read_text(path)  # before the dataset is made
    evidence = _evidence(task, arguments.dataset)
    if arguments.file is None:
        cost = load_cost_function(path, task)
    else:
        cost, _ = load_tried(path, task, evidence.sample(TRIED_ON))
    print(f"{path.name if arguments.file is None else path}\n\n{cost.source.rstrip()}\n")
    result = assess(cost, evidence)
    print(f"On {arguments.dataset or 'the dataset of ' + task.id}: {_scores(result, settings)}\n")
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


def _scores(result: Assessment, settings: Settings) -> str:
    found = f"{result.accuracy:.2%} of {result.unsafe} unsafe states found" if result.unsafe else "no unsafe state"
    return (
        f"{found}, {result.share:.2%} of {result.safe} safe states called unsafe "
        f"({result.verdict(settings.p_low, settings.p_high)})"
    )


# ---- replay ---------------------------------------------------------------------------------------------------------


def _replay(arguments: argparse.Namespace) -> int:
    before = Transcript.read(arguments.transcript)
    task = load_task(arguments.task or before.task)
    try:
        settings = Settings(**before.settings)
    except TypeError as error:
        raise UserError(f"{arguments.transcript}: field 'settings' is damaged ({first_line(error)})") from None
    data = before.data
    evidence = _evidence(
        task, arguments.dataset or data.get("dataset"), data.get("keep_unsafe", 100), data.get("seed", 0)
    )
    same_data = evidence.sha256 == before.data_sha256
    if not same_data:
        print("The data are not those of the transcript (another hash): verdicts may differ")
    first = before.rounds[0].question if before.rounds else ""
    if prompt_hash(before.system, first) != before.prompt_sha256:
        print("The first prompt does not match its own hash: the transcript was changed by hand")
    again = [judge(task, evidence, settings, past.question, past.reply) for past in before.rounds]
    same = True
    for number, (past, now) in enumerate(zip(before.rounds, again, strict=True), 1):
        _print_round(number, now, settings)
        if (past.verdict, past.sha256, past.assessment) != (now.verdict, now.sha256, now.assessment):
            same = False
            print(f"    was: {past.assessment or past.problem}: {past.verdict}")
    chosen = choose(again, settings)
    recorded = (before.outcome or {}).get("sha256")
    same = same and recorded == (chosen.sha256 if chosen else None)
    print(f"{len(again)} rounds judged again: {'the same verdicts and function' if same else 'NOT the same'}")
    if chosen is not None and arguments.out is not None:
        before.rounds, before.outcome = again, {"round": next(i for i, r in enumerate(again, 1) if r is chosen)}
        _write_function(arguments.out, before, chosen)
        print(f"Written to {arguments.out}")
    return 0 if same else 1


# ---- shared ---------------------------------------------------------------------------------------------------------


def _evidence(task: Task, dataset: str | None, keep_unsafe: int | None = None, seed: int = 0) -> Evidence:
    """The states of a dataset: those of its safe-only part, and its violations (or `keep_unsafe` of them).

    A safe-only file has its violations beside it, in FILE with the ending .unsafe.hdf5.
    """
    if keep_unsafe is not None and keep_unsafe < 0:
        raise UserError(f"--keep_unsafe: {keep_unsafe} must not be negative")
    # A file needs no simulator; without a file the environment has the data.
    data = load_file(dataset, task) if dataset else load_dataset(make_env(task), task.id)
    parts = safe_only(data, len(data) if keep_unsafe is None else keep_unsafe, seed)
    if len(parts.unsafe) == 0 and keep_unsafe != 0 and dataset and unsafe_file(dataset).is_file():
        return Evidence.of(parts.safe, load_file(unsafe_file(dataset), task))
    return Evidence.of(parts.safe, parts.unsafe)
