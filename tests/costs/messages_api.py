"""A server on 127.0.0.1 that speaks Anthropic's Messages API and answers by a script, faults included."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-test-0123456789"


@dataclass
class Say:
    """A whole answer of the model."""

    text: str
    stop_reason: str = "end_turn"
    tokens: tuple[int, int] = (1000, 100)
    empty: bool = False  # no content block at all
    model: str = ""  # what the server says it is; default: what was asked for


@dataclass
class Status:
    """An error of the API."""

    code: int
    kind: str = "api_error"
    retry_after: str | None = "0.01"


@dataclass
class Hang:
    """No answer for so long."""

    seconds: float


class CutOff:
    """The connection is closed in the middle of the body."""


@dataclass
class Raw:
    """A body that is none of the API's."""

    body: bytes
    content_type: str = "application/json"


class MessagesAPI:
    """Answers the n-th request by the n-th entry of `script`; keeps what it was asked in `requests`."""

    def __init__(self, script):
        self.script, self.requests, self.faults, self.released = list(script), [], [], threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fault = _fault(self.path, self.headers, body)
                api.requests.append(body)
                if fault:
                    api.faults.append(fault)
                    return self._error(400, "invalid_request_error", fault)
                answer = api.script.pop(0) if api.script else Status(500, retry_after=None)
                if isinstance(answer, Hang):
                    api.released.wait(answer.seconds)
                    self.close_connection = True
                    return None
                if isinstance(answer, Status):
                    return self._error(answer.code, answer.kind, f"scripted {answer.code}", answer.retry_after)
                if isinstance(answer, Raw):
                    return self._send(200, answer.body, answer.content_type)
                whole = json.dumps(_message(body["model"], answer if isinstance(answer, Say) else Say("x"))).encode()
                if isinstance(answer, CutOff):
                    self._head(200, "application/json", len(whole))
                    self.wfile.write(whole[: len(whole) // 2])
                    self.close_connection = True
                    return None
                return self._send(200, whole, "application/json")

            def _error(self, code, kind, text, retry_after=None):
                headers = {"retry-after": retry_after} if retry_after else {}
                error = {"type": "error", "error": {"type": kind, "message": text}}
                self._send(code, json.dumps(error).encode(), "application/json", headers)

            def _head(self, code, content_type, length, headers=()):
                self.send_response(code)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(length))
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.end_headers()

            def _send(self, code, body, content_type, headers=()):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._head(code, content_type, len(body), headers)
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


def _message(model, say):
    content = [] if say.empty else [{"type": "text", "text": say.text}]
    usage = {"input_tokens": say.tokens[0], "output_tokens": say.tokens[1]}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": say.model or model,
        "content": content,
        "stop_reason": say.stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _fault(path, headers, body):
    """What the real server would refuse in a request."""
    if path != "/v1/messages":
        return f"no such path {path}"
    if KEY not in (headers.get("x-api-key", "") + headers.get("authorization", "")):
        return "no key"
    if not headers.get("anthropic-version"):
        return "anthropic-version: header is required"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        return "max_tokens: must be 1 or more"
    roles = [m["role"] for m in body["messages"]]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return f"messages: roles must alternate and end with the user's, got {roles}"
    if not all(isinstance(m["content"], str) and m["content"].strip() for m in body["messages"]):
        return "messages: text content blocks must be non-empty"
    if "system" in body and not body["system"]:
        return "system: must not be empty"
    return ""
