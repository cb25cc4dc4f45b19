"""What a process says while it works, here or in a job: shown, logged, and kept for its failure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TextIO

from mlops_spec import secrets
from mlops_spec.errors import StepError
from mlops_spec.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlops_spec.actions import Context

_LAST_LINES = 12
_ERROR, _OVER = "error: ", ""


class Said:
    """Hears the lines of a process.

    Args:
        context: Of the step; its lines are shown, and written beside its outputs.
        log: The file of `context.folder` that they are written to.
        hidden: Secrets that no line may show, besides what looks like one.
    """

    def __init__(self, context: Context, log: TextIO, hidden: Collection[str] = ()) -> None:
        self._context, self._log, self._hidden = context, log, hidden
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._error: list[str] = []

    def hear(self, line: str) -> None:
        """One line."""
        masked = redact(secrets.mask(line, self._hidden))
        self._last.append(masked)
        self._listen(masked)
        self._log.write(masked + "\n")
        self._log.flush()
        self._context.emit(masked)

    def _listen(self, line: str) -> None:
        """Keeps the first error and its cure; others that work with it may say more after."""
        error = self._error
        if not error and line.startswith(_ERROR):
            error.append(line.removeprefix(_ERROR))
        elif error and error[-1] is not _OVER:
            error.append(line if line.startswith("  ") else _OVER)

    def failure(self, how: str) -> StepError:
        """The failure of the process: its own words, or how it ended and what it said last."""
        text = "\n".join(filter(None, self._error))
        text = text or "\n  ".join([f"{how}; it said last:", *self._last] if self._last else [how])
        return StepError(text, f"all it said is in {self._context.folder / 'log.txt'}")
