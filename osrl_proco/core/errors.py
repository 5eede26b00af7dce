"""The one exception that means "the user can mend this"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave: one line that names the file, the field and the fix.

    The command line prints it without a traceback and exits with status 2.
    """


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """`; did you mean a, b?` for the known names closest to `name`, or an empty string."""
    lowered = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=count, cutoff=0.4)
    return f"; did you mean {', '.join(lowered[c] for c in close)}?" if close else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def one_line(text: str, most: int = 200) -> str:
    """A stranger's text on one line of at most `most` characters, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text[:most])
