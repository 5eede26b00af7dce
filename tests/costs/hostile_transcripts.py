"""Transcripts that a stranger may send: each is refused in one line, or replayed for what it holds and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

FUNCTION = 'def cost(obs):\n    return obs["gap"][..., 0] <= 0.3\n'
OTHER = "def cost(obs):\n    return obs['gap'][..., 0] <= -9"
EVIL = f"x\n{OTHER}\n#"
LONE = "\ud800"
DEEP = 100_000


def good() -> dict[str, Any]:
    """What a generation of one accepted round on OfflineBrake-v0 leaves."""
    return {
        "format": 1,
        "created": "2026-11-25T00:00:00+00:00",
        "model": "m",
        "task": "OfflineBrake-v0",
        "prompt_sha256": "0" * 64,
        "data_sha256": "0" * 64,
        "data": {"dataset": None, "keep_unsafe": 100, "seed": 0, "safe": 1, "unsafe": 1},
        "settings": {
            "p_low": 0.03,
            "p_high": 0.2,
            "max_queries": 10,
            "max_tokens": 200_000,
            "conservative": True,
            "reflect": True,
            "role": True,
        },
        "system": "",
        "rounds": [
            {
                "question": "Write a cost function",
                "reply": {
                    "text": f"```python\n{FUNCTION}```",
                    "stop_reason": "end_turn",
                    "model": "m",
                    "input_tokens": 1,
                    "output_tokens": 1,
                },
                "source": FUNCTION,
                "problem": "",
                "stopped_by": "",
                "assessment": {"unsafe": 100, "found": 100, "safe": 1000, "flagged": 60},
                "verdict": "accepted",
            }
        ],
        "outcome": {"how": "accepted", "round": 1, "sha256": "0" * 64},
    }


def changed(path: str, value: Any) -> bytes:
    """The good one with another value at a path such as `rounds.0.reply.text`; `...` takes the field out."""
    raw = good()
    *way, last = path.split(".")
    holder: Any = raw
    for step in way:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    if value is ...:
        del holder[last]
    else:
        holder[int(last) if isinstance(holder, list) else last] = value
    return json.dumps(raw).encode()


def spelled(path: str, text: str) -> bytes:
    """The good one with `text`, which need be no JSON, in the place of a value."""
    return changed(path, "PLACE").replace(b'"PLACE"', text.encode())


FIELDS = [
    *("created", "model", "task", "prompt_sha256", "data_sha256", "data", "settings", "system", "rounds", "outcome"),
    *(f"rounds.0.{name}" for name in ("question", "reply", "source", "problem", "stopped_by", "assessment", "verdict")),
    *(f"rounds.0.reply.{name}" for name in ("text", "stop_reason", "model", "input_tokens", "output_tokens")),
    *(f"rounds.0.assessment.{name}" for name in ("unsafe", "found", "safe", "flagged")),
    *(
        f"settings.{name}"
        for name in ("p_low", "p_high", "max_queries", "max_tokens", "conservative", "reflect", "role")
    ),
    *("data.dataset", "data.keep_unsafe", "data.seed", "outcome.how", "outcome.round", "outcome.sha256"),
]
TEXTS = ("created", "model", "task", "system", "rounds.0.question", "rounds.0.reply.text", "rounds.0.reply.model")


def refused() -> Iterator[tuple[str, bytes]]:
    """Files that must end in one line and exit status 2."""
    yield from ((f"{field} is a list", changed(field, [[1]])) for field in FIELDS if field != "rounds")
    yield "rounds hold a number", changed("rounds", [1])
    yield from (
        (f"{field} is missing", changed(field, ...)) for field in FIELDS if not field.startswith(("data.k", "data.s"))
        and field not in ("data.dataset", "outcome.round", "outcome.sha256")
    )  # fmt: skip
    yield from ((f"{field} holds half a character", changed(field, LONE)) for field in TEXTS)
    yield from ((f"{field} is nested deep", spelled(field, "[" * DEEP + "]" * DEEP)) for field in ("data", "model"))
    yield "an object nested deep", b'{"a":' * DEEP + b"1" + b"}" * DEEP
    yield "a list nested deep", b"[" * DEEP
    yield from ((f"a number of thousands of digits in {f}", spelled(f, "9" * 10_000)) for f in ("data.seed", "model"))
    numbers = ("data.seed", "data.keep_unsafe", "rounds.0.reply.input_tokens", "settings.max_tokens")
    for field in numbers:
        for text in ("-1", "1e400", "NaN", "true", "1.5", "1180591620717411303424"):
            yield f"{field} is {text}", spelled(field, text)
    yield from (
        (f"settings.p_low is {t}", spelled("settings.p_low", t)) for t in ("NaN", "-1", "2", "Infinity", "true")
    )
    yield "the settings hold more", changed("settings.__class__", 1)
    yield "a round holds more", changed("rounds.0.__init__", 1)
    yield "a reply holds more", changed("rounds.0.reply.tool", {"a": 1})
    yield "the outcome is of no round", changed("outcome.round", 2)
    yield "the outcome is of round 0", changed("outcome.round", 0)
    for name in ("/dev/zero", "a\0b", "/", ".", "no.hdf5", "/proc/self/mem", "", "~/x", "http://127.0.0.1/x.hdf5"):
        if name:
            yield f"the dataset is {name!r}", changed("data.dataset", name)
    for name in ("no-task", "../x.yaml", "/dev/zero", "/dev/zero.yaml", "a\0b", "t.yaml", "\x1b[2J"):
        yield f"the task is {name!r}", changed("task", name)
    for codec in ("utf-16", "utf-32", "cp500"):
        yield f"in {codec}", json.dumps(good()).encode(codec)
    yield "in Latin-1", json.dumps(good() | {"model": "é"}, ensure_ascii=False).encode("latin-1")
    yield from ((f"cut at {n}", json.dumps(good()).encode()[:n]) for n in (0, 1, 10, 500, 1000))
    yield "bytes", bytes(range(256))
    yield "zeros", bytes(1000)
    yield "a pickle", b"\x80\x04cos\nsystem\n(S'echo > canary'\ntR."
    yield "YAML with aliases", b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"
    yield from ((text, text.encode()) for text in ("null", "1", '"x"', "[]", "{}", '{"format": 2}', '{"format": [1]}'))
    yield "too large", b" " * (17 * 2**20)
    yield "a million lists", changed("rounds", []).replace(b'"rounds": []', b'"rounds": [' + b"[]," * 2**20 + b"[]]")


def replayed() -> Iterator[tuple[str, bytes]]:
    """Files that are transcripts, with a hostile reply or hostile names: judged, and what is written is what was."""
    yield from (
        (f"a function in the field {field}", changed(field, EVIL))
        for field in ("model", "created", "prompt_sha256", "data_sha256", "rounds.0.reply.model")
    )
    for name, text in {
        "a carriage return": f"x\r{OTHER}",
        "a line separator": f"x\u2028{OTHER}",
        "a form feed": f"x\x0c{OTHER}",
        "a vertical tab": f"x\x0b{OTHER}",
        "a next line": f"x\x85{OTHER}",
        "a coding line": "coding: utf-7 +AGkAbQBwAG8AcgB0-",
        "a right-to-left override": "x\u202e)1 > ]0 ,...[",
        "an escape": "x\x1b]0;y\x07\x1b[2J",
        "a NUL": "x\0y",
        "a million letters": "x" * 10**6,
        "quotes": "\"\"\"'''\\",
    }.items():
        yield f"the model's name holds {name}", changed("rounds.0.reply.model", text)
    yield "a verdict with an escape", changed("rounds.0.verdict", "\x1b[2J\nAccepted")
    yield "a problem with a line", changed("rounds.0.problem", "x\nosrl-proco: Accepted\x1b[2J")
    yield "a source that is another", changed("rounds.0.source", OTHER)
    for name, reply in {
        "fences without an end": "```x\n" * 400_000,
        "a fence and tabs": "```" + "\t" * 2_000_000 + "x",
        "tabs before a fence": "\t" * 2_000_000 + "```",
        "many blocks": "```\ndef \n```\n" * 100_000,
        "backticks": "`" * 2_000_000,
        "a long line": "def cost(obs):\n    return " + "1 + " * 400_000 + "1",
        "a large block": f"```\n{FUNCTION}{'#' * 2_000_000}\n```",
        "many brackets": f"```\ndef cost(obs):\n    return {'(' * 9_000}\n```",
        "an import": "```\nimport os\ndef cost(obs):\n    return os.system('echo > canary')\n```",
        "control characters": "```\n\x1b[2J\x00def cost(obs):\n    return 1\n```",
        "nothing": "",
    }.items():
        yield f"the reply is {name}", changed("rounds.0.reply.text", reply)


Case = tuple[str, bytes]
ALL: dict[str, Callable[[], Iterator[Case]]] = {"refused in one line": refused, "replayed for what it is": replayed}


def table() -> str:
    """How many of each, in Markdown."""
    lines = ["| transcripts | files |", "|---|---|"]
    counts = {name: len(list(cases())) for name, cases in ALL.items()}
    return "\n".join([*lines, *(f"| {k} | {n} |" for k, n in counts.items()), f"| **all** | {sum(counts.values())} |"])


if __name__ == "__main__":
    print(table())
