"""Steps in an Azure ML workspace: assets made once, jobs submitted, followed and fetched."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import yaml

from mlops_spec import files, snapshot
from mlops_spec.actions import Context, Outcome, local
from mlops_spec.actions._said import Said
from mlops_spec.azure import client, jobs, provision
from mlops_spec.azure.history import History
from mlops_spec.azure.place import Place
from mlops_spec.errors import StateError
from mlops_spec.render import azureml
from mlops_spec.render import pipeline as pipelines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_spec.steps import Step

_SAY_SECONDS = 5.0  # between two lines about an upload
_TOLD = "failed.json"


def create(step: Step, context: Context) -> Outcome:
    """Makes an asset of a CLI v2 document, unless it is there: environment, cluster or data."""
    place, document = Place.parse(step.payload["workspace"]), dict(step.payload["document"])
    needed = re.fullmatch(r"\$\{\{(\w+)\}\}", str(document.get("path", "")))
    if needed:
        document["path"] = str(context.inputs[needed[1]].resolve())
    path = context.folder / "document.yml"
    files.write_text(path, yaml.safe_dump(document, sort_keys=False))
    with client.opened(place, context.emit) as ml:
        text = provision.ensure(ml, path, document, context.emit)
    files.write_json(context.folder / "out" / "asset.json", {"text": text})
    return Outcome(text)


def job(step: Step, context: Context) -> Outcome:
    """Performs a step as a job: submits it or finds it again, follows it, fetches its output.

    Raises:
        StepError: The job failed; carries what it said last.
    """
    out = context.folder / "out"
    return _summed(_performed(step, context, {"out": out}), out)


def pipeline(step: Step, context: Context) -> Outcome:
    """The same with one job for several steps, whose outputs come back side by side."""
    outputs = {part: context.folder / "out" / part for part in step.payload["specs"]}
    return _summed(_performed(step, context, outputs), outputs["promote"])


def schedule(step: Step, context: Context) -> Outcome:
    """Has a clock start a pipeline; a schedule of the same name is replaced."""
    place, document = Place.parse(step.payload["workspace"]), step.payload["schedule"]
    job = _document(step, context, "")
    with client.opened(place, context.emit) as ml, _progress(context):
        provision.schedule(ml, document, job)
    text = f"{document['name']}: {document['trigger']['expression']}, UTC"
    files.write_json(context.folder / "out" / "schedule.json", {"text": text})
    return Outcome(text)


def publish(step: Step, context: Context) -> Outcome:
    """Keeps the report with the job that trained, where the workspace's own pages show it."""
    place, experiment = Place.parse(step.payload["workspace"]), step.payload["experiment"]
    pages = [context.inputs["report"] / name for name in step.payload["pages"]]
    with client.opened(place, context.emit) as ml:
        found = jobs.last(ml, step.payload["job"], context.emit)
        text = f"job {found.name} is not in {place} any more"
        if found.status == jobs.COMPLETED:
            History.of(ml, place, found.name).keep(experiment, pages)
            text = f"{', '.join(step.payload['pages'])} with job {found.name}"
    files.write_json(context.folder / "out" / "published.json", {"text": text})
    return Outcome(text)


def _performed(step: Step, context: Context, outputs: Mapping[str, Path]) -> Outcome:
    """Brings the outputs of a job that is done; of one that nobody waits for, says where it is.

    Raises:
        StateError: It completed, and its outputs are nowhere.
    """
    place = Place.parse(step.payload["workspace"])
    with client.opened(place, context.emit) as ml:
        found = jobs.last(ml, azureml.name_of(step, context.key), context.emit)
        if found.status == jobs.COMPLETED:
            collected = _collected(ml, place, found.name, context, outputs)
            if collected:
                return collected
            context.emit(f"what job {found.name} made is not in {place} any more: it is done again")
            found = found.after()
        _submit(step, context, ml, found)
        if not step.terms["wait"]:
            text = f"job {found.name} runs in {place}; the same command collects what came of it"
            return Outcome(text, elsewhere=True)
        collected = _collected(ml, place, found.name, context, outputs)
        if collected:
            return collected
    message = f"job {found.name} completed, and nothing of what it made is in {place}"
    raise StateError(message, "see its logs in the workspace, then run the same command again")


def _submit(step: Step, context: Context, ml: Any, found: jobs.Found) -> None:
    """Submits a job that is not there."""
    place = Place.parse(step.payload["workspace"])
    if found.status:
        context.emit(f"job {found.name} was submitted before: {found.status}")
        return
    if found.before and found.before not in _told(context):
        _follow(ml, place, found.before, context)  # it failed when nobody was looking
    document = _document(step, context, found.name)
    with _progress(context):
        jobs.submit(ml, document)
    context.emit(f"submitted as job {found.name} of {place}")


def _collected(
    ml: Any, place: Place, name: str, context: Context, outputs: Mapping[str, Path]
) -> Outcome | None:
    """A job that has ended, its outputs in their folders; None where they are lost."""
    seconds = _follow(ml, place, name, context)
    with _progress(context):
        if not all(jobs.fetch(ml, name, output, folder) for output, folder in outputs.items()):
            return None
    return Outcome(seconds=seconds)


def _summed(outcome: Outcome, out: Path) -> Outcome:
    """What a step that is over says of itself."""
    return outcome if outcome.elsewhere else replace(local.summary(out), seconds=outcome.seconds)


def _document(step: Step, context: Context, name: str) -> Path:
    """The job as a file that `az ml job create -f` takes too, with what it reads beside it."""
    document = pipelines.submitted(step, context.key, context.keys, name)
    for file, spec in pipelines.specs(step).items():
        files.write_json(context.folder / file, spec)
    for part in (document, *document.get("jobs", {}).values()):
        for one in part["inputs"].values():
            if isinstance(one, dict) and "type" not in one:  # a file or folder of this machine
                one["path"] = str(Path(one["path"]).resolve())
                one["type"] = "uri_folder" if Path(one["path"]).is_dir() else "uri_file"
    snapshot.write(context.folder / "code")
    path = context.folder / "job.yml"
    files.write_text(path, yaml.safe_dump(document, sort_keys=False))
    return path


def _follow(ml: Any, place: Place, name: str, context: Context) -> float | None:
    """Shows what a job says until it has ended; how many seconds it ran.

    Raises:
        StepError: It failed or was cancelled.
        StateError: Nobody tells of it any more.
        KeyboardInterrupt: Somebody does not want to wait; says what becomes of the job.
    """
    with (context.folder / "log.txt").open("w", encoding="utf-8") as log:
        said = Said(context, log)
        try:
            ended = jobs.Follower(ml, place, name).to_end(
                said.hear, lambda status: context.emit(f"job {name}: {status}")
            )
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(_leave(ml, name, context)) from error
        except StateError:
            if place.emulator:  # it has ended, and the job with it: that is said by this
                _tell(context, name)
            raise
    if ended.why:
        _tell(context, name)
        raise said.failure(f"job {name} failed: {ended.why}")
    return ended.seconds


def _told(context: Context) -> list[str]:
    """The attempts of which it was said here that they failed."""
    try:
        return [str(name) for name in files.read_json(context.folder / _TOLD)["jobs"]]
    except FileNotFoundError:
        return []


def _tell(context: Context, name: str) -> None:
    files.write_json(context.folder / _TOLD, {"jobs": [*_told(context), name]})


def _leave(ml: Any, name: str, context: Context) -> str:
    """Asks whether a job is to be cancelled, where there is somebody to ask; what becomes of it."""
    answer = ""
    if sys.stdin is not None and sys.stdin.isatty():
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            answer = input(f"\ncancel job {name}? It goes on otherwise. [y/N] ")
    if answer.strip().lower() in ("y", "yes"):
        ml.jobs.begin_cancel(name)
        _tell(context, name)
        return f"job {name} is cancelled"
    more = f"to cancel it: az ml job cancel --name {name}"
    return f"job {name} goes on; the same command finds it again\n{more}"


class _Bar(io.TextIOBase):
    """Stands for the terminal that the SDK draws its bars on: a line now and then."""

    def __init__(self, context: Context, shown: TextIO) -> None:
        self._context, self._shown = context, shown
        self._next = time.monotonic() + _SAY_SECONDS

    def write(self, text: str) -> int:
        plain = re.sub(r"\x1b\[\d*m", "", text)
        found = re.search(r"(Uploading [^:]+?)(?: \([^)]*\))?: +(\d+)%", plain)
        if found and time.monotonic() > self._next:
            self._next = time.monotonic() + _SAY_SECONDS
            with contextlib.redirect_stdout(self._shown):
                self._context.emit(f"{found[1]}: {found[2]} %")
        return len(text)


@contextlib.contextmanager
def _progress(context: Context) -> Iterator[None]:
    """Takes what the SDK writes to the terminal: its bars become lines, its notes are left out."""
    bar = _Bar(context, sys.stdout)
    with contextlib.redirect_stderr(bar), contextlib.redirect_stdout(bar):
        yield
