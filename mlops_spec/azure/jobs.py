"""Jobs of a workspace: found again by their names, followed while they run, fetched when done."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec.azure.history import ANSWER_SECONDS, History

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_spec.azure.place import Place

COMPLETED = "Completed"
_PIPELINE = "azureml.pipelinerun"
FINAL = (COMPLETED, "Failed", "Canceled")
_FIRST, _MOST = 0.5, 10.0  # seconds between two looks; a tenth of the time that has passed
_LAST_LOOKS = 10  # for the end of a log that can not be read
_LEAVING = "CancelRequested"
_LOG = re.compile(r"user_logs/std_log(_process_0+)?\.txt")  # of one process, the first of several


@dataclass(frozen=True)
class Found:
    """One attempt of a job: BASE, BASE-2, BASE-3 and so on.

    Attributes:
        base: The name of the first.
        attempt: Which one it is.
        status: Azure ML's; empty of one that is not there.
        before: The attempt before it where that failed or was cancelled, otherwise empty.
    """

    base: str
    attempt: int = 1
    status: str = ""
    before: str = ""

    @property
    def name(self) -> str:
        """Of the job."""
        return self.base if self.attempt == 1 else f"{self.base}-{self.attempt}"

    def after(self) -> Found:
        """The next attempt, of which nothing is known yet."""
        before = "" if self.status == COMPLETED else self.name
        return Found(self.base, self.attempt + 1, before=before)


def last(ml: Any, base: str, say: Callable[[str], None]) -> Found:
    """The last attempt of a job; after one that failed or was cancelled, the name that is free.

    One that is being cancelled is told and waited for, since it still writes where the next one
    goes on. After one that completed there is another only where its outputs were lost.
    """
    found = _seen(ml, Found(base), say)
    while found.status in FINAL:
        after = _seen(ml, found.after(), say)
        if not after.status and found.status == COMPLETED:
            break
        found = after
    return found


def _seen(ml: Any, found: Found, say: Callable[[str], None]) -> Found:
    status = _status(ml, found.name)
    if status == _LEAVING:
        say(f"job {found.name} is being cancelled")
    while status == _LEAVING:
        time.sleep(_FIRST)
        status = _status(ml, found.name)
    return replace(found, status=status)


def _status(ml: Any, name: str) -> str:
    """Of a job; empty of one that is not there."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        found = ml.jobs.get(name).status
    except ResourceNotFoundError:
        return ""
    return str(getattr(found, "value", found))


def submit(ml: Any, document: Path) -> None:
    """Submits a CLI v2 document, its code and local inputs with it."""
    from azure.ai.ml import load_job

    ml.jobs.create_or_update(load_job(document))


def fetch(ml: Any, name: str, output: str, folder: Path) -> bool:
    """An output of a job that is done, in place of what is in a folder; whether it is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as down:
        ml.jobs.download(name, download_path=down, output_name=output)
        found = Path(down) / "named-outputs" / output
        if not found.is_dir():
            return False
        shutil.rmtree(folder, ignore_errors=True)
        found.replace(folder)
    return True


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        why: It failed, in Azure ML's words; empty if it did not.
        seconds: It ran, without its wait for a machine; None where nobody counted.
    """

    why: str
    seconds: float | None


@dataclass
class _Log:
    """How much of a log was heard: bytes, and the begin of a line."""

    heard: int = 0
    rest: bytes = b""


@dataclass
class Follower:
    """Follows one job by asking the run history again and again; the SDK's own looks too seldom.

    Args:
        ml: Azure's SDK.
        place: The workspace.
        name: Of the job.
    """

    ml: Any
    place: Place
    name: str
    _logs: dict[str, _Log] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)  # steps of a pipeline whose logs were heard

    def to_end(self, hear: Callable[[str], None], changed: Callable[[str], None]) -> Ended:
        """Waits until the job has ended.

        Args:
            hear: Hears each line of its log; of a pipeline, of its steps' logs.
            changed: Hears each new status.
        """
        history = History.of(self.ml, self.place, self.name)
        begin, before, looks = time.monotonic(), "", 0
        while True:
            found = history.ask(f"runs/{self.name}/details")
            whole = self._listen(history, self.name, found, hear)
            if str(found.get("runType", "")).lower() == _PIPELINE:
                whole &= self._listen_to_steps(history, hear)
            if found["status"] != before:
                before = found["status"]
                changed(before)
            looks += before in FINAL
            if before in FINAL and (whole or looks > _LAST_LOOKS):
                if not whole:
                    hear("the rest of what it said can not be read")
                return Ended("" if before == COMPLETED else _why(found, before), _seconds(found))
            time.sleep(min(max((time.monotonic() - begin) / 10, _FIRST), _MOST))

    def _listen_to_steps(self, history: History, hear: Callable[[str], None]) -> bool:
        """The same of the steps of a pipeline that have something new to say."""
        whole = True
        for step in history.ask(f"runs/{self.name}/children")["value"]:
            name = step["runId"]
            if name in self._ended:
                continue
            details = history.ask(f"runs/{name}/details")
            if not self._listen(history, name, details, hear):
                whole = False
            elif details["status"] in FINAL:
                self._ended.add(name)
        return whole

    def _listen(
        self, history: History, run: str, details: dict[str, Any], hear: Callable[[str], None]
    ) -> bool:
        """Hears what was added to the log of a run; whether all of it could be read."""
        whole, ended = True, details["status"] in FINAL
        for path, address in (details.get("logFiles") or {}).items():
            if not _LOG.fullmatch(path):
                continue
            log = self._logs.setdefault(f"{run}/{path}", _Log())
            if not _read(history.session, address, log, hear):
                whole = False
            elif ended and log.rest:
                hear(log.rest.decode("utf-8", "replace"))
                log.rest = b""
        return whole


def _read(session: Any, address: str, log: _Log, hear: Callable[[str], None]) -> bool:
    """Hears the lines that were added to a log; whether it could be read."""
    import requests

    asked = {"Range": f"bytes={log.heard}-"}
    try:
        answer = session.get(address, headers=asked, timeout=ANSWER_SECONDS)
    except requests.RequestException:
        return False
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing was added
        return True
    if answer.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return False
    added = answer.content[log.heard if answer.status_code == HTTPStatus.OK else 0 :]
    log.heard += len(added)
    *lines, log.rest = (log.rest + added).split(b"\n")
    for line in lines:
        hear(line.decode("utf-8", "replace").rstrip("\r"))
    return True


def _why(details: dict[str, Any], status: str) -> str:
    """Why a job did not complete, without what its log says anyway."""
    error = (details.get("error") or {}).get("error") or {}
    return str(error.get("message") or f"it was {status.lower()}").partition(" Please check")[0]


def _seconds(details: dict[str, Any]) -> float | None:
    try:
        start, end = (
            datetime.fromisoformat(details[f"{which}TimeUtc"]) for which in ("start", "end")
        )
        return (end - start).total_seconds()
    except (KeyError, TypeError, ValueError):  # cancelled before it started
        return None
