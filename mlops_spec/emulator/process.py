"""A job's command as a process: started in a session of its own, so that all of it can be ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

RUN_ID = "AZUREML_RUN_ID"
_PID = ".pid"  # of a file beside the log, for the next emulator if this one is killed
_GRACE = 5  # seconds to leave a checkpoint


async def run(
    command: str, folder: Path, environment: Mapping[str, str], log: Path, seconds: float | None
) -> int | None:
    """Runs a command by bash.

    Args:
        command: A script.
        folder: Where.
        environment: All of its variables.
        log: What it says is added there.
        seconds: After which it is killed, as a node is taken away; None for never.

    Returns:
        Its exit code; None if it was killed for its time.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    log.with_suffix(_PID).write_text(str(process.pid), "utf-8")
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        return None
    except asyncio.CancelledError:
        await _ask(process)
        raise
    finally:
        _signal(process, signal.SIGKILL)  # and whatever it has left in the background
        await process.wait()


async def first_failure(
    starts: Sequence[Coroutine[Any, Any, int | None]],
) -> tuple[int, int | None]:
    """Waits for processes that need each other: when one fails, the others are ended.

    Args:
        starts: What `run` gives.

    Returns:
        Which one failed first, and its exit code; (0, 0) if none did.
    """
    tasks = [asyncio.create_task(start) for start in starts]
    pending = {*tasks}
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for number, task in enumerate(tasks):
                if task in done and task.result() != 0:
                    return number, task.result()
        return 0, 0
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _ask(process: asyncio.subprocess.Process) -> None:
    """Lets it end by itself."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()


def end_left_ones(folder: Path) -> None:
    """Ends what an emulator that was killed has left running, where the system can tell.

    Args:
        folder: Of the jobs: a folder for each, with its name, in one for each workspace.
    """
    for path in folder.glob(f"*/*/*{_PID}"):
        number, name = int(path.read_text("utf-8") or 0), path.parent.name
        with contextlib.suppress(OSError):
            if f"{RUN_ID}={name}".encode() in Path(f"/proc/{number}/environ").read_bytes():
                os.killpg(number, signal.SIGKILL)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
