"""The record of one generation: every query, reply, verdict and token count, in one JSON file.

Format 1, an object with: `format`, `created` (UTC), `model`, `task`, `prompt_sha256` (system and first prompt),
`data_sha256`, `data` (dataset, keep_unsafe, seed, number of safe and of unsafe states), `settings`, `system`, `rounds`,
`outcome` (null until the run ended). A round holds `question`, `reply` (text, stop_reason, model, input_tokens,
output_tokens), `source` (the function's text or null), `problem` (why it could not be used, or ""), `stopped_by`,
`assessment` (or null), `verdict`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import UserError, first_line
from .evidence import Assessment
from .reply import Reply

FORMAT = 1


@dataclass
class Round:
    """One query and what came of it."""

    question: str
    reply: Reply
    source: str | None = None
    problem: str = ""
    stopped_by: str = ""
    assessment: Assessment | None = None
    verdict: str = "unusable"  # unusable, misses, too low, too high, accepted, unchecked

    @property
    def sha256(self) -> str:
        """The hash that names the function's text."""
        return hashlib.sha256((self.source or "").encode()).hexdigest()


@dataclass
class Transcript:
    """See the module's text. `outcome`: `how` (accepted, fallback, unchecked, none), `round` (from 1), `sha256`."""

    created: str
    model: str
    task: str
    prompt_sha256: str
    data_sha256: str
    data: dict[str, Any]
    settings: dict[str, Any]
    system: str
    rounds: list[Round] = field(default_factory=list)
    outcome: dict[str, Any] | None = None

    @property
    def input_tokens(self) -> int:
        return sum(r.reply.input_tokens for r in self.rounds)

    @property
    def output_tokens(self) -> int:
        return sum(r.reply.output_tokens for r in self.rounds)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises UserError if that fails."""
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1) + "\n")
            partial.replace(path)
        except OSError as error:
            raise UserError(f"{path}: could not be written ({first_line(error)})") from None
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Transcript:
        """Read a file. Raises UserError, in one line that names the field, for one that is no transcript."""
        try:
            raw = json.loads(path.read_text())
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not a transcript ({first_line(error)})") from None
        if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
            raise UserError(f"{path}: not a transcript of format {FORMAT}; osrl-proco cost generate writes them")
        known = {f.name: f for f in dataclasses.fields(cls)}
        for name in known:
            if name not in raw:
                raise UserError(f"{path}: field {name!r} is missing")
        try:
            rounds = [_round(r) for r in raw.pop("rounds")]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: field 'rounds' is damaged ({first_line(error)})") from None
        for name, kind in (("settings", dict), ("data", dict), ("task", str), ("model", str), ("system", str)):
            if not isinstance(raw[name], kind):
                raise UserError(f"{path}: field {name!r} is not of kind {kind.__name__}")
        return cls(rounds=rounds, **{k: v for k, v in raw.items() if k in known})


def _round(raw: dict[str, Any]) -> Round:
    reply = Reply(**raw.pop("reply"))
    if not isinstance(reply.text, str) or not all(isinstance(raw[k], str) for k in ("question", "problem", "verdict")):
        raise TypeError("question, reply.text, problem and verdict must be texts")
    Reply(reply.text, reply.stop_reason, reply.model, int(reply.input_tokens), int(reply.output_tokens))
    assessment = raw.pop("assessment")
    return Round(reply=reply, assessment=Assessment(**assessment) if assessment else None, **raw)


def prompt_hash(system: str, first: str) -> str:
    """What names a prompt: the hash of the system text and the first message."""
    return hashlib.sha256(f"{system}\0{first}".encode()).hexdigest()
