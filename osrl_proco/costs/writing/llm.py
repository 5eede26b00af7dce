"""Language models that answer with cost functions: Anthropic's API, and the replies of a transcript."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Protocol

from ...core.errors import UserError, first_line
from .reply import Reply

DEFAULT_MODEL = "claude-sonnet-5-5"
REPLY_TOKENS = 8_192  # longest single reply
RETRIES = 5  # of one query, with the client's exponential back-off (or the server's Retry-After)

Message = dict[str, str]  # role, content


class LanguageModel(Protocol):
    """Whatever answers a conversation."""

    name: str

    def ask(self, system: str, messages: Sequence[Message], max_tokens: int) -> Reply:
        """The reply to a conversation whose last message is the user's, at most `max_tokens` long."""
        ...


class AnthropicModel:
    """A model behind Anthropic's Messages API, through the `anthropic` package.

    Rate limits (429), overload (529), other server errors, timeouts and lost connections are tried again, `RETRIES`
    times, with back-off. `ANTHROPIC_BASE_URL` points the package to another server.

    Raises UserError, at construction for a missing package or key, in `ask` when the server refuses or stays away.
    """

    def __init__(self, name: str | None = None, key: str | None = None, timeout: float = 120.0) -> None:
        self.name = name or os.environ.get("ANTHROPIC_MODEL") or DEFAULT_MODEL
        library = "the library has functions that need no model: osrl-proco cost show --task ID"
        key = key or os.environ.get("ANTHROPIC_API_KEY")
        if not key:
            raise UserError(f"no key for the language model: set ANTHROPIC_API_KEY or pass --api_key; {library}")
        try:
            import anthropic
        except ImportError:
            raise UserError(f"the package anthropic is missing: pip install 'osrl-proco[llm]'; {library}") from None
        self._anthropic: Any = anthropic
        self._client: Any = anthropic.Anthropic(api_key=key, timeout=timeout, max_retries=RETRIES)

    def ask(self, system: str, messages: Sequence[Message], max_tokens: int) -> Reply:
        kinds = self._anthropic
        prompt: dict[str, Any] = {"system": system} if system else {}
        where = f"model {self.name} at {self._client.base_url}"
        try:
            answer = self._client.messages.create(
                model=self.name, max_tokens=min(max_tokens, REPLY_TOKENS), messages=list(messages), **prompt
            )
        except kinds.AuthenticationError:
            raise UserError(f"{where}: the key was refused; check ANTHROPIC_API_KEY or --api_key") from None
        except kinds.NotFoundError:
            raise UserError(f"{where}: there is no such model; choose another with --model") from None
        except kinds.APITimeoutError:
            raise UserError(f"{where}: no answer in time, tried again and again; raise --timeout or wait") from None
        except kinds.APIConnectionError as error:
            cause = first_line(error.__cause__ or error)
            raise UserError(f"{where}: not reached ({cause}); check the network") from None
        except kinds.APIStatusError as error:
            wait = "; it is busy, run the same command again later" if error.status_code in (429, 529) else ""
            raise UserError(f"{where}: HTTP status {error.status_code} ({first_line(error)[:200]}){wait}") from None
        except kinds.AnthropicError as error:
            raise UserError(f"{where}: {first_line(error)}") from None
        return _reply(answer, where)


def _reply(answer: Any, where: str) -> Reply:
    """The parts of an answer that are used, checked: the package does not validate what a server sends."""
    try:
        text = "".join(block.text for block in answer.content if block.type == "text")
        text = text.encode("utf-8", "replace").decode()  # half a character cannot be hashed or written
        used = int(answer.usage.input_tokens), int(answer.usage.output_tokens)
        # The name goes into the head of a file; what the server calls itself must not write there.
        name = re.sub(r"[^A-Za-z0-9._:/@-]", "", str(answer.model))[:100]
        return Reply(str(text), str(answer.stop_reason), name, *used)
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{where}: the answer is not one of the Messages API; check ANTHROPIC_BASE_URL") from None
