"""What is tracked of a run, as MLflow sees it: parameters, tags and metrics, of a job or without.

A value of a metric is never changed: each request adds a document, so that a long curve costs no
more for each of its points than a short one.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import experiments, jobs, workspaces
from mlops_spec.emulator.routing import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlops_spec.emulator.jobs import Job
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.store import Store
    from mlops_spec.emulator.workspaces import Workspace

_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED", "Queued": "SCHEDULED"}
Point = dict[str, Any]  # of a metric: key, value, timestamp in milliseconds, step


@dataclass(frozen=True)
class Tracked:
    """A run that is in the store.

    Attributes:
        name: Its id; a job's run has the job's name.
    """

    store: Store
    workspace: Workspace
    name: str

    @property
    def job(self) -> Job | None:
        """The job that it is the run of; None for a run of MLflow's own."""
        found = jobs.Job(self.store, self.workspace, self.name)
        return found if self.store.get(found.key) else None

    @property
    def exists(self) -> bool:
        """Whether there is such a run."""
        return "info" in self._document or self.job is not None

    @property
    def _key(self) -> str:
        return f"{self.workspace.key}/tracked/{self.name}"

    @property
    def _document(self) -> dict[str, Any]:
        return {"params": {}, "tags": {}, **(self.store.get(self._key) or {})}

    @property
    def info(self) -> dict[str, Any]:
        """What it is called, and what has become of it; times in milliseconds."""
        job = self.job
        return _of_job(job) if job else dict(self._document["info"])

    @property
    def params(self) -> dict[str, str]:
        """Its parameters."""
        return dict(self._document["params"])

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, with those of its job."""
        job = self.job
        return {**(_tags_of(job) if job else {}), **self.added_tags}

    @property
    def added_tags(self) -> dict[str, str]:
        """The tags that MLflow has added."""
        return dict(self._document["tags"])

    def begin(self, info: Mapping[str, Any]) -> None:
        """Makes it, without a job."""
        self.store.put(self._key, {**self._document, "info": dict(info)})

    def change(self, info: Mapping[str, Any]) -> None:
        """Changes what has become of it; a job's run is as its job is, whatever the job says."""
        if not self.job:
            self.begin({**self.info, **info})

    def add(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Adds parameters and tags."""
        known = self._document
        changed = {"params": {**known["params"], **params}, "tags": {**known["tags"], **tags}}
        self.store.put(self._key, {**known, **changed})

    def remove_tag(self, name: str) -> None:
        """Removes a tag."""
        known = self._document
        tags = {tag: value for tag, value in known["tags"].items() if tag != name}
        self.store.put(self._key, {**known, "tags": tags})

    def log(self, points: Iterable[Point]) -> None:
        """Adds values of metrics."""
        self.store.put(f"{self._points}{uuid.uuid4()}", {"points": [*points]})

    @property
    def _points(self) -> str:
        return f"{self.workspace.key}/points/{self.name}/"

    def history(self) -> dict[str, list[Point]]:
        """Every value of every metric, in the order in which they came."""
        found: dict[str, list[Point]] = {}
        for _, document in self.store.under(self._points):
            for point in document["points"]:
                found.setdefault(point["key"], []).append(point)
        return found

    def latest(self) -> list[Point]:
        """The last value of each metric: of the highest step, and of those the newest."""
        key = lambda point: (point["step"], point["timestamp"])  # noqa: E731
        return [max(points, key=key) for points in self.history().values()]


def shown(point: Point) -> Point:
    """A point as JSON that every reader takes: there are no infinite numbers in it."""
    value = point["value"]
    words = {math.inf: "Infinity", -math.inf: "-Infinity"}
    return point if math.isfinite(value) else {**point, "value": words.get(value, "NaN")}


def of_request(store: Store, call: Call) -> Tracked:
    """The run that the address of a request names.

    Raises:
        ServiceError: There is none.
    """
    run = Tracked(store, workspaces.existing(store, call), call.found["run"])
    if not run.exists:
        raise ServiceError(404, "UserError", f"Not found: run {run.name}.")
    return run


def all_of(store: Store, workspace: Workspace) -> Iterator[Tracked]:
    """Every run of a workspace, with a job or without."""
    of_jobs = [name for name, _ in store.under(f"{workspace.key}/jobs/")]
    others = [name for name, _ in store.under(f"{workspace.key}/tracked/")]
    for name in dict.fromkeys([*of_jobs, *others]):
        run = Tracked(store, workspace, name)
        if run.exists:  # a job that was removed leaves what was tracked of it
            yield run


def experiment_of(job: Job) -> str:
    """The name of a job's experiment."""
    return str(job.properties.get("experimentName") or experiments.DEFAULT)


def _of_job(job: Job) -> dict[str, Any]:
    run = job.run
    return {
        "experiment_id": experiments.ensure(job.store, job.workspace, experiment_of(job)),
        "run_name": job.labels[1],
        "status": _STATUS.get(run["status"], "RUNNING"),
        "start_time": _milliseconds(run.get("start") or run["created"]),
        "end_time": _milliseconds(run.get("end")),
        "lifecycle_stage": "active",
    }


def _tags_of(job: Job) -> dict[str, str]:
    parent = job.run["parent"]
    own = {"mlflow.runName": job.labels[1], "mlflow.rootRunId": parent or job.name}
    sent = {name: str(value) for name, value in (job.properties.get("tags") or {}).items()}
    return {**own, **({"mlflow.parentRunId": parent} if parent else {}), **sent}


def _milliseconds(text: str | None) -> int | None:
    return round(datetime.fromisoformat(text).timestamp() * 1000) if text else None


def now() -> int:
    """The time as MLflow counts it."""
    return _milliseconds(workspaces.now()) or 0
