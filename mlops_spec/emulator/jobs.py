"""A job as a document: what was asked for, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import locations, workspaces
from mlops_spec.emulator.workspaces import ARTIFACTS, DEFAULT_STORE, Workspace

if TYPE_CHECKING:
    from mlops_spec.emulator.store import Store

FINAL = ("Completed", "Failed", "Canceled")
_DEPTH = 4  # SUBSCRIPTION/GROUP/WORKSPACE/jobs/NAME


@dataclass(frozen=True)
class Job:
    """A job that is in the store.

    Attributes:
        name: Unique in its workspace.
    """

    store: Store
    workspace: Workspace
    name: str

    @property
    def key(self) -> str:
        """Where its document is."""
        return f"{self.workspace.key}/jobs/{self.name}"

    @property
    def document(self) -> dict[str, Any]:
        """All that is known of it."""
        found = self.store.get(self.key)
        assert found is not None
        return found

    @property
    def properties(self) -> dict[str, Any]:
        """What was asked for."""
        return dict(self.document["properties"])

    @property
    def run(self) -> dict[str, Any]:
        """What has become of it."""
        return dict(self.document["run"])

    @property
    def labels(self) -> list[str]:
        """What people call it."""
        return [self.name, self.properties.get("displayName") or self.name]

    @property
    def named_outputs(self) -> dict[str, str]:
        """Where the outputs go that were asked for."""
        asked = self.properties.get("outputs") or {}
        return {name: uri for name, uri in self.run["outputs"].items() if name in asked}

    @property
    def artifacts(self) -> str:
        """Where its logs and its folder `outputs` are kept, in the store of artifacts."""
        return artifacts(self.name)

    def update(self, **changes: Any) -> None:
        """Changes what has become of it; what is final stays as it is."""
        document = self.document
        if document["run"]["status"] not in FINAL:
            self.store.put(self.key, {**document, "run": {**document["run"], **changes}})

    def end(self, status: str, error: dict[str, Any] | None = None) -> None:
        """Says how it ended."""
        self.update(status=status, error=error, end=workspaces.now())


def artifacts(run: str) -> str:
    """Where the files of a run are, in the store of artifacts."""
    return f"ExperimentRun/dcid.{run}"


def is_key(key: str) -> bool:
    """Whether a document is a job: other things may be called `jobs`."""
    return key.count("/") == _DEPTH and key.split("/")[-2] == "jobs"


def of_key(store: Store, key: str) -> Job:
    """The job of a document."""
    *names, _, name = key.split("/")
    document = store.get(f"workspaces/{'/'.join(names)}")
    return Job(store, Workspace(*(document["names"] if document else names)), name)


def create(
    store: Store, workspace: Workspace, name: str, properties: dict[str, Any], parent: str = ""
) -> Job:
    """Puts a new job into the store, where it waits."""
    job = Job(store, workspace, name)
    outputs = {
        output: _place(workspace, name, output, sent or {})
        for output, sent in (properties.get("outputs") or {}).items()
    }
    outputs["default"] = locations.datastore_uri(workspace, ARTIFACTS, job.artifacts)
    run = {"status": "Queued", "outputs": outputs, "created": workspaces.now(), "parent": parent}
    system = workspaces.system_data()
    store.put(job.key, {"system": system, "properties": properties, "run": run})
    return job


def _place(workspace: Workspace, job: str, output: str, sent: dict[str, Any]) -> str:
    """Where an output goes: where was asked for, or a folder of its own."""
    asked = sent.get("uri")
    if not asked:
        return locations.datastore_uri(workspace, DEFAULT_STORE, f"azureml/{job}/{output}/")
    return str(asked).replace("${{name}}", job).replace("${{output_name}}", output)


def error(code: str, message: str) -> dict[str, Any]:
    """Why a job failed, as the run history tells it."""
    return {"error": {"code": code, "message": message}}
