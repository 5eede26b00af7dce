"""Files: the one way to write them (whole or not at all) and to read what a stranger may have made."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError, first_line

TEXT_LIMIT = 4 * 2**20  # bytes of a file that a person or a language model wrote
MAX_NESTING = 50  # of YAML and JSON


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A partial file beside `path` to write to; it takes the place of `path` when the block ends, else it goes.

    The data are on the disk before the name is: a power cut leaves the old file or the new one. Raises UserError that
    names `path` where it cannot be written (a full disk, a read-only folder); the old file is then as it was.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb+") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: could not be written ({reason(error)})") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `path`, whole or not at all. Raises UserError as `replacing` does."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `path` in UTF-8, whole or not at all. Raises UserError as `replacing` does."""
    write_bytes(path, text.encode())


def make_folder(path: str | Path, what: str) -> Path:
    """Make a folder and its parents. Raises UserError that begins with `what` (a flag) where that fails."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{what} {path}: {reason(error)}") from None
    return path


def reason(error: OSError) -> str:
    """Why an operation failed, in words."""
    return error.strerror or first_line(error)


def require_regular(path: str | Path, what: str = "") -> os.stat_result:
    """The status of a regular file. Raises UserError for anything else: a pipe or a device may never end."""
    label = f"{what} {path}".strip()
    try:
        status = os.stat(path)
    except OSError as error:
        raise UserError(f"{label}: {'no such file' if error.errno == errno.ENOENT else reason(error)}") from None
    except ValueError as error:  # a NUL byte in the name
        raise UserError(f"{label!r}: {first_line(error)}") from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{label}: is a folder; name a file")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{label}: not a regular file (a pipe or a device); copy it to a file first")
    return status


def read_bytes(path: str | Path, what: str = "", limit: int = TEXT_LIMIT) -> bytes:
    """The content of a regular file of at most `limit` bytes; errors begin with `what` (a flag) and the path."""
    label = f"{what} {path}".strip()
    size = require_regular(path, what).st_size
    if size > limit:
        raise UserError(f"{label}: {size} bytes; at most {limit} are read here, so this is another kind of file")
    try:
        with open(path, "rb") as handle:
            data = handle.read(limit + 1)
    except OSError as error:
        raise UserError(f"{label}: {reason(error)}") from None
    if len(data) > limit:  # it grew, or lies about its size as files under /proc do
        raise UserError(f"{label}: more than {limit} bytes; this is another kind of file")
    return data


def read_text(path: str | Path, what: str = "", limit: int = TEXT_LIMIT) -> str:
    """The text of a regular UTF-8 file, whatever the system's locale. Raises UserError as `read_bytes` does."""
    data = read_bytes(path, what, limit)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        guess = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "Latin-1 or Windows-1252"
        raise UserError(
            f"{f'{what} {path}'.strip()}: not UTF-8 at byte {error.start} (perhaps {guess}); save it as UTF-8"
        ) from None


def read_json(path: str | Path, what: str = "", limit: int = TEXT_LIMIT) -> Any:
    """The content of a JSON file. Raises UserError for what is not JSON, or is nested too deep."""
    text = read_text(path, what, limit)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{f'{what} {path}'.strip()}: not valid JSON ({first_line(error)})") from None


def read_mapping(path: str | Path, what: str = "") -> dict[str, Any]:
    """The mapping that a YAML file holds, its keys text.

    Plain values only: no aliases (nine lines of them unfold to gigabytes), nothing nested deeper than `MAX_NESTING`.
    Raises UserError for anything else.
    """
    label = f"{what} {path}".strip()
    try:
        content = yaml.load(read_text(path, what), Loader=_PlainLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise UserError(
            f"{label}: not valid YAML{where} ({getattr(error, 'problem', None) or first_line(error)})"
        ) from None
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        # `!!int abc`, `!!bool abc`, 31 February, ten thousand digits
        raise UserError(f"{label}: not valid YAML ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"{label}: expected a mapping of names to values")
    for key in content:
        if not isinstance(key, str):
            raise UserError(f"{label}: the key {key!r} is no text; put it in quotes")
    return content


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, of bounded depth, in which no key appears twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            raise yaml.composer.ComposerError(
                None, None, "aliases (*name) are not read; write the value out", event.start_mark
            )
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise yaml.composer.ComposerError(
                None, None, f"nested deeper than {MAX_NESTING}", self.peek_event().start_mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)
