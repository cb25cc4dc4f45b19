"""One Azure ML pipeline of all that is done in a workspace, which a trigger can start again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.render import azureml, environments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_spec.spec import Spec
    from mlops_spec.steps import Step

PARTS = ("train", "evaluate", "promote")


def document(parts: Mapping[str, Step], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A pipeline job, but for `terms`.

    Args:
        parts: Its steps as jobs, in order.
        inputs: Its parameters; an input of a step that has the name of one is bound to it.
    """
    return {
        "$schema": f"{environments.SCHEMAS}/pipelineJob.schema.json",
        "type": "pipeline",
        "inputs": dict(inputs),
        # Of no fixed place: whoever starts it again must not find what another start has made
        "outputs": {name: {"type": "uri_folder", "mode": "rw_mount"} for name in parts},
        "jobs": {name: _part(name, step, inputs) for name, step in parts.items()},
    }


def _part(name: str, step: Step, inputs: Mapping[str, Any]) -> dict[str, Any]:
    document = {key: value for key, value in step.payload["job"].items() if key != "$schema"}
    bound = {word: _bound(word, one, inputs) for word, one in document["inputs"].items()}
    return {
        **document,
        "inputs": bound,
        "outputs": {"out": f"${{{{parent.outputs.{name}}}}}"},
    }


def _bound(name: str, one: Any, inputs: Mapping[str, Any]) -> Any:
    if name in inputs:
        return f"${{{{parent.inputs.{name}}}}}"
    if name in PARTS:
        return f"${{{{parent.jobs.{name}.outputs.out}}}}"
    return one


def schedule(name: str, cron: str) -> dict[str, Any]:
    """What starts the pipeline of the document beside it, by the clock."""
    return {
        "$schema": f"{environments.SCHEMAS}/schedule.schema.json",
        "name": f"{name}-pipeline",
        "trigger": {"type": "cron", "expression": cron, "time_zone": "UTC"},
    }


def terms(spec: Spec, parts: Mapping[str, Step]) -> dict[str, Any]:
    """How a pipeline is called, and where and with what its steps run."""
    of_parts = {name: dict(step.terms["job"]) for name, step in parts.items()}
    cluster = {one.pop("compute", "serverless") for one in of_parts.values()}
    for one in of_parts.values():
        del one["experiment_name"]
    return {
        "display_name": f"{spec.name}-pipeline",
        "experiment_name": spec.name,
        "settings": {
            "default_compute": cluster.pop(),
            "continue_on_step_failure": False,
            "force_rerun": True,  # or Azure ML takes an old verdict: the champion is no input
        },
        "jobs": of_parts,
    }


def submitted(step: Step, key: str, needs: Mapping[str, str], name: str = "") -> dict[str, Any]:
    """The document of a pipeline or a job as it is submitted; see `azureml.complete`."""
    if step.payload["job"]["type"] == "pipeline":
        return _complete(step, key, name)
    return azureml.complete(step, key, needs, name)


def specs(step: Step) -> dict[str, Any]:
    """The recorded specs that a job reads, by the names of the files beside its document."""
    parts = step.payload.get("specs") or {"": step.payload["spec"]}
    return {_spec(part)["path"]: spec for part, spec in parts.items()}


def _complete(step: Step, key: str, name: str) -> dict[str, Any]:
    terms = dict(step.terms["job"])
    of_parts = terms.pop("jobs")
    job = {**step.payload["job"], **terms, "name": name or azureml.name_of(step, key)}
    jobs = {
        part: {**one, **of_parts[part], "inputs": {**one["inputs"], "spec": _spec(part)}}
        for part, one in job["jobs"].items()
    }
    return {**job, "jobs": jobs}


def _spec(part: str) -> dict[str, str]:
    return {"type": "uri_file", "path": f"{part}.spec.json" if part else "spec.json"}
