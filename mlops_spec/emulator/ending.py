"""Only one emulator has a state folder, and whoever has it can be told to end."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from mlops_spec import files
from mlops_spec.emulator import settings
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK = "lock"
_SECONDS = 60.0  # to end: jobs get a moment to leave a checkpoint


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """Keeps a state folder as long as the block runs.

    Raises:
        StateError: Another emulator has it.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(state / _LOCK, timeout=0):
            (state / settings.FILE).unlink(missing_ok=True)  # of one that was killed
            yield
    except Timeout as error:
        message = f"another emulator is running on {state}"
        cure = "use that one (`python -m mlops_spec.emulator env`), end it (`... stop`), or choose"
        raise StateError(message, f"{cure} another folder") from error


def stop(state: Path, seconds: float = _SECONDS) -> int | None:
    """Ends the emulator of a state folder, and waits until it lets go of the folder.

    It is the one that holds the folder's lock: a process that has got the number of one that is
    long gone is left alone.

    Returns:
        The process that has ended; None if no emulator is running there.

    Raises:
        StateError: It can not be told to end, or does not.
    """
    from filelock import FileLock, Timeout

    if not (state / _LOCK).exists() or not _is_held(state):
        return None
    try:
        pid = int(files.read_json(state / settings.FILE)["pid"])
    except FileNotFoundError as error:
        raise StateError(f"the emulator of {state} is only starting", "try again") from error
    try:
        os.kill(pid, signal.SIGTERM)
        with FileLock(state / _LOCK, timeout=seconds):
            return pid
    except PermissionError as error:
        raise StateError(f"process {pid} is somebody else's", "end it as that user") from error
    except Timeout as error:
        message = f"the emulator of {state}, process {pid}, has not ended within {seconds:.0f} s"
        raise StateError(message, f"see its log, or: kill -9 {pid}") from error


def _is_held(state: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(state / _LOCK, timeout=0):
            return False
    except Timeout:
        return True
