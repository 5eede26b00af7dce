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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import UserError, first_line, one_line
from ...core.files import make_folder, read_json, write_text
from .evidence import Assessment
from .reply import Reply
from .settings import Settings

FORMAT = 1
LARGEST = 16 * 2**20  # bytes of a transcript that is read: millions of tokens
MOST = 2**32 - 1  # of a count or a seed


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
        make_folder(path.parent, "the transcript's folder")
        write_text(path, json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Transcript:
        """Read a file, which anybody may have written: every field of its kind, or a UserError that names the field."""
        raw = read_json(path, limit=LARGEST)
        if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
            raise UserError(f"{path}: not a transcript of format {FORMAT}; osrl-proco cost generate writes them")
        try:
            json.dumps(raw, ensure_ascii=False, allow_nan=False).encode()
            fields = _fields(cls, raw, "")
            rounds = fields.pop("rounds")
            fields["rounds"] = [_round(r, f"rounds[{i}].") for i, r in enumerate(rounds)]
            _check_data(fields["data"])
            _check_settings(fields["settings"])
            _check_outcome(fields["outcome"], fields["rounds"])
        except UnicodeEncodeError:
            raise UserError(f"{path}: a text in it holds half a character (a lone surrogate)") from None
        except RecursionError:
            raise UserError(f"{path}: nested too deep") from None
        except _Damaged as error:
            raise UserError(f"{path}: {one_line(str(error))}") from None
        except ValueError as error:  # NaN, which is no JSON
            raise UserError(f"{path}: not valid JSON ({first_line(error)})") from None
        return cls(**fields)


class _Damaged(Exception):
    """What is wrong with which field."""


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "dict[str, Any]": (dict,),
    "dict[str, Any] | None": (dict, type(None)),
    "list[Round]": (list,),
    "Reply": (dict,),
    "Assessment | None": (dict, type(None)),
    "float": (int, float),
    "bool": (bool,),
}


def _fields(kind: Any, raw: Any, prefix: str) -> dict[str, Any]:
    """The fields of a dataclass from a JSON object, each there and of its declared kind, and no others."""
    if not isinstance(raw, dict):
        raise _Damaged(f"field {prefix.rstrip('.')!r} is not an object")
    declared = {f.name: str(f.type) for f in dataclasses.fields(kind)}
    for name in raw:
        if name not in declared:
            raise _Damaged(f"field {prefix + name!r} is unknown")
    for name, kind_name in declared.items():
        if name not in raw:
            raise _Damaged(f"field {prefix + name!r} is missing")
        _require(raw[name], _KINDS[kind_name], prefix + name)
    return dict(raw)


def _require(value: Any, kinds: tuple[type, ...], name: str) -> None:
    wrong = isinstance(value, bool) and bool not in kinds  # to Python True is a number
    if wrong or not isinstance(value, kinds):
        names = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
        raise _Damaged(f"field {name!r} is not of kind {names}")
    if kinds == (int,) and isinstance(value, int) and not 0 <= value <= MOST:
        raise _Damaged(f"field {name!r} is not a number from 0 to {MOST}")


def _round(raw: Any, prefix: str) -> Round:
    fields = _fields(Round, raw, prefix)
    fields["reply"] = Reply(**_fields(Reply, fields["reply"], f"{prefix}reply."))
    if fields["assessment"] is not None:
        fields["assessment"] = Assessment(**_fields(Assessment, fields["assessment"], f"{prefix}assessment."))
    return Round(**fields)


def _check_data(data: dict[str, Any]) -> None:
    """What says where the evidence comes from: `replay` opens that file."""
    _require(data.get("dataset"), (str, type(None)), "data.dataset")
    for name in ("keep_unsafe", "seed"):
        _require(data.get(name, 0), (int,), f"data.{name}")


def _check_settings(settings: dict[str, Any]) -> None:
    _fields(Settings, settings, "settings.")
    try:
        Settings(**settings)
    except UserError as error:
        raise _Damaged(f"field 'settings': {error}") from None


def _check_outcome(outcome: dict[str, Any] | None, rounds: list[Round]) -> None:
    if outcome is None:
        return
    _require(outcome.get("how"), (str,), "outcome.how")
    _require(outcome.get("sha256"), (str, type(None)), "outcome.sha256")
    number = outcome.get("round")
    _require(number, (int, type(None)), "outcome.round")
    if number is not None and not 1 <= number <= len(rounds):
        raise _Damaged(f"field 'outcome.round' is not one of the {len(rounds)} rounds")


def prompt_hash(system: str, first: str) -> str:
    """What names a prompt: the hash of the system text and the first message."""
    return hashlib.sha256(f"{system}\0{first}".encode()).hexdigest()
