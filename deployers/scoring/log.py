"""The log: lines of JSON, one for each request.

None holds anything of an image: who asks, how much, how long, and how it ended.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time


def now() -> str:
    """The moment, in UTC."""
    at = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"


def line(**values: object) -> None:
    """Writes a line of JSON to the log, if its disk takes it: no answer shall depend on that."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps({"time": now(), **values}) + "\n")
        sys.stdout.flush()
