"""Which processor this is."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path


@cache
def processor() -> tuple[str, int]:
    """Vendor and family, as Linux names them (AuthenticAMD 25); elsewhere what Python knows of it, and family 0."""
    about = Path("/proc/cpuinfo")
    text = about.read_text(errors="replace") if about.is_file() else ""
    vendor, family = (re.search(rf"^{key}\s*: (\S+)$", text, re.MULTILINE) for key in ("vendor_id", "cpu family"))
    if vendor and family and family[1].isdigit():
        return vendor[1], int(family[1])
    return platform.processor() or "unknown", 0
