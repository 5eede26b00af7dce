"""Tensors and plain values in one file: written whole, hashed, and read without running anything.

The file is one line of text (format and SHA-256 of the rest) and then what `torch.save` makes. It is read with
`weights_only=True`, so that a file from a stranger is data and never code, and only after its hash was found right, so
that a flipped bit is seen.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from .errors import UserError, first_line
from .files import reason, require_regular, write_bytes

MAGIC = b"osrl-proco tensors 1 sha256="
_HEADER = len(MAGIC) + 64 + 1


def save_tensors(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and dicts to `path`. Raises UserError where it cannot be written."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    write_bytes(path, MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def load_tensors(path: str | Path, device: torch.device | str = "cpu", what: str = "file") -> dict[str, Any]:
    """What `save_tensors` wrote, on `device`.

    Raises UserError that calls the file a `what` if it is missing, of another kind, or damaged.
    """
    require_regular(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from None
    header, payload = data[:_HEADER], data[_HEADER:]
    if not header.startswith(MAGIC):
        raise UserError(
            f"{path}: not a {what} of osrl-proco, or one of a release before 0.2, which are not read any more"
        )
    if hashlib.sha256(payload).hexdigest().encode() != header[len(MAGIC) : -1]:
        raise UserError(f"{path}: damaged {what} (its SHA-256 is not the one written at its start)")
    try:
        content = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    except Exception as error:  # whatever else a stranger's file can raise
        raise UserError(f"{path}: not a {what} of osrl-proco ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a {what} of osrl-proco (it holds no mapping)")
    return content
