"""From a language model's reply to the text of one function."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LANGUAGE = re.compile(r"[\w+-]*")  # what may follow the three backticks that open a block


@dataclass(frozen=True)
class Reply:
    """What a model answered: its text, why it stopped, which model it says it is, and the price in tokens."""

    text: str
    stop_reason: str
    model: str
    input_tokens: int
    output_tokens: int


class NoFunction(ValueError):
    """The reply holds no function; the message says what it must hold, to a reader who wrote it."""


def function_text(reply: Reply) -> str:
    """The one code block of a reply.

    Raises NoFunction for an empty, cut-off or declined reply, for prose alone and for several functions.
    """
    if reply.stop_reason == "max_tokens":
        raise NoFunction("the reply was cut off; answer with the code block alone, and keep it short")
    if reply.stop_reason == "refusal":
        raise NoFunction("the reply declined; what is asked for is a function that marks dangerous states to avoid")
    if not reply.text.strip():
        raise NoFunction("the reply was empty; answer with one code block that defines cost(obs)")
    blocks = _blocks(reply.text)
    if not blocks and reply.text.lstrip().startswith(("def ", "#")):
        return reply.text.strip() + "\n"  # the bare function, without a fence
    defining = [code for code in blocks if "def " in code]
    if len(defining) > 1:
        raise NoFunction(f"the reply has {len(defining)} code blocks with a function; answer with exactly one")
    if not defining:
        raise NoFunction("the reply has no code block with a function; answer with one that defines cost(obs)")
    return defining[0]


def _blocks(text: str) -> list[str]:
    """The fenced code blocks of a text. One pass over its lines: no text can make it search for hours."""
    blocks: list[str] = []
    inside: list[str] | None = None
    for line in text.split("\n"):
        word = line.strip(" \t\r")
        fence = word.startswith("```")
        if inside is None:
            if fence and _LANGUAGE.fullmatch(word[3:].strip(" \t")):
                inside = []
        elif fence and word == "```":
            blocks.append("".join(f"{part}\n" for part in inside))
            inside = None
        else:
            inside.append(line)
    return blocks
