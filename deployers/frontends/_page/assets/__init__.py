"""What a browser gets. A package: a change of a file here is a change of the page's code."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
FILES = ("page.css", "page.js", "icon.svg")  # that are sent as they are


def version() -> str:
    """Of these files: browsers keep them, and ask anew when it is another one."""
    content = b"".join((FOLDER / name).read_bytes() for name in FILES)
    return hashlib.sha256(content).hexdigest()[:12]
