"""Steps as processes on this machine, started with the command line a remote job uses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from mlops_spec import files, secrets, signing, tracking
from mlops_spec.actions import Context, Outcome
from mlops_spec.actions._said import Said
from mlops_spec.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.steps import Step

_GRACE_SECONDS = 15  # to leave after Ctrl-C before being killed
_SUMMARY = "summary.json"


def run(step: Step, context: Context) -> Outcome:
    """Runs a step's command, streaming its output, and reads the summary it leaves.

    Raises:
        StepError: The command failed; carries what it said last.
    """
    chosen, hidden = secrets.resolve(step.payload["environment"])
    with (context.folder / "log.txt").open("a", encoding="utf-8") as log:
        said = Said(context, log, hidden)
        code = _execute(command(step, context), _environment(step, context, chosen), said.hear)
    out = context.folder / "out"
    if code != 0 and not (code == ExitCode.REFUSED and (out / _SUMMARY).exists()):
        killed = f"was killed by signal {-code}"
        raise said.failure(f"the process {killed if code < 0 else f'ended with exit code {code}'}")
    return summary(out)


def summary(out: Path) -> Outcome:
    """What a finished step says of itself, in the folder of its outputs."""
    found = files.read_json(out / _SUMMARY)
    return Outcome(found["text"], found["metrics"], found["refused"], tuple(found["unread"]))


def command(step: Step, context: Context) -> list[str]:
    """The step's command line with its placeholders filled."""
    places = {
        "spec": str(context.folder / "spec.json"),
        "out": str(context.folder / "out"),
        **{name: str(path) for name, path in context.inputs.items()},
        **step.payload.get("inputs", {}),
    }
    words = [
        re.sub(r"\$\{\{(\w+)\}\}", lambda match: places[match.group(1)], word)
        for word in step.payload["command"]
    ]
    return [sys.executable if words[0] == "python" else words[0], *words[1:]]


def _environment(step: Step, context: Context, chosen: dict[str, str]) -> dict[str, str]:
    """The variables of a step's process: what a person chose wins, the spec before the shell.

    A key to sign with is never the shell's: nobody signs until a spec asks for it.
    """
    shell = {name: value for name, value in os.environ.items() if name != signing.VARIABLE}
    own = {"PYTHONUNBUFFERED": "1", "MLOPS_SPEC_PARENT": str(os.getpid())}
    own[tracking.SECONDS] = json.dumps(dict(context.seconds))
    return {**step.variables, **shell, **own, tracking.STEP: context.key, **chosen}


def _execute(words: list[str], environment: dict[str, str], heard: Any) -> int:
    process = subprocess.Popen(  # noqa: S603 - the command is the plan's, shown before
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches it once, from here
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            heard(line.rstrip("\n"))
        return process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        process.stdout.close()


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends a step and all it started: asked first, then made to."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
