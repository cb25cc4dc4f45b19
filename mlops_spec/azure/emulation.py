"""The emulator of `workspace=emulator`: found where it runs, started where it does not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_spec.azure.place import Place

_STATE = "MLOPS_SPEC_EMULATOR"  # its folder, where it has started this very process
IDLE_SECONDS = 900  # without a request or a job, after which it ends by itself
_PATIENCE_SECONDS = 240.0  # npm installs the blob storage the first time
_ANSWER_SECONDS = 60.0
_LIBRARIES = ("aiohttp", "trustme")
_INSTALL = "python -m pip install 'mlops_spec[azure,emulator]'"


def variables(place: Place, say: Callable[[str], None]) -> dict[str, str]:
    """What sends a process to the emulator of a workspace, which is started if need be.

    Raises:
        StateError: It does not start; carries what it said.
    """
    state = _state_of(place)
    document = _running(state) or _started(state, say)
    found: dict[str, str] = document["environment"]
    return found


def running(place: Place) -> bool:
    """Whether the emulator of a workspace answers; none is started."""
    return _running(_state_of(place)) is not None


def missing() -> list[tuple[str, str]]:
    """What an emulator needs and is not here, each with its cure."""
    cure = "install Node.js, which has npm: https://nodejs.org"
    tools = [(tool, cure) for tool in ("node", "npm") if shutil.which(tool) is None]
    found = (name for name in _LIBRARIES if importlib.util.find_spec(name) is None)
    return [*tools, *((name, _INSTALL) for name in found)]


def _state_of(place: Place) -> Path:
    return Path(os.environ.get(_STATE) or place.emulator)


def _running(state: Path) -> dict[str, Any] | None:
    """What an emulator that runs has left for its clients."""
    try:
        document: dict[str, Any] = files.read_json(state / "emulator.json")
        os.kill(int(document["pid"]), 0)
    except (FileNotFoundError, ProcessLookupError, StateError):
        return None
    return document


def _started(state: Path, say: Callable[[str], None]) -> dict[str, Any]:
    if any(importlib.util.find_spec(name) is None for name in _LIBRARIES):
        raise StateError("the emulator's libraries are not installed", _INSTALL)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    say(f"starting the emulator in {state}; it ends {IDLE_SECONDS} s after its last work")
    log = state / "log.txt"
    words = [sys.executable, "-m", "mlops_spec.emulator", "--state", str(state)]
    words += ["--idle", str(IDLE_SECONDS)]
    with log.open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(  # noqa: S603 - this very program
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    until = time.monotonic() + _PATIENCE_SECONDS
    while (document := _running(state)) is None:
        if process.poll() is not None or time.monotonic() > until:
            said = log.read_bytes()[begin:].decode("utf-8", "replace").strip()
            # Another command may have started one at the same moment
            if process.poll() is None:
                process.terminate()
            elif document := _running(state):
                break
            raise StateError(f"the emulator did not start:\n  {said}", f"its log: {log}")
        time.sleep(0.05)
    return document


def ensure_workspace(place: Place, token: str, base: str) -> None:
    """Makes the workspace in the emulator, where Terraform makes it in Azure."""
    import requests

    url = f"{base}{place.path}"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        session.params = {"api-version": "2024-04-01"}
        if session.get(url, timeout=_ANSWER_SECONDS).status_code == HTTPStatus.NOT_FOUND:
            body: Any = {"location": "emulated", "identity": {"type": "SystemAssigned"}}
            session.put(url, json=body, timeout=_ANSWER_SECONDS).raise_for_status()
