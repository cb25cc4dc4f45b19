"""One line of JSON for each request, and for each word of the server's.

No line holds anything of a picture, its name included: how many, how long, and how it ended.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


def line(**values: object) -> None:
    """Writes a line."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sys.stdout.write(json.dumps({"time": moment, **values}) + "\n")
    sys.stdout.flush()


class Lines(logging.Handler):
    """What a library says, as lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a message, without a traceback's text of its own."""
        line(level=record.levelname.lower(), logger=record.name, message=record.getMessage())


def listen() -> None:
    """Hears warnings of the server, but not that requests wait for a thread: they always may."""
    logging.basicConfig(level=logging.WARNING, handlers=[Lines()])
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
