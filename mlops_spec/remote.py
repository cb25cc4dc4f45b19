"""The same steps elsewhere: what is heavy becomes a job of an Azure ML workspace.

Data is prepared here and uploaded once; training and judging are jobs whose outputs come back, so
that what follows, and whoever looks, finds the same files wherever they were made.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops_spec import azure_sizes, ground
from mlops_spec.azure.place import Place
from mlops_spec.render import azureml, environments
from mlops_spec.render import pipeline as pipelines
from mlops_spec.step_spec import NOBODY
from mlops_spec.steps import Step, code_of
from mlops_spec.where import AzuremlCompute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_spec.facts import Facts
    from mlops_spec.spec import Spec

_DATA = "data_asset"
_RIVAL = "rival"  # the input that is the champion


def before(spec: Spec, data: Step, facts: Facts) -> Iterator[Step]:
    """What must be in the workspace before the first job: libraries, machines, images.

    Args:
        spec: What is wanted.
        data: The step that prepares the data set here.
        facts: What the world is.
    """
    collected = _collected(data)
    yield collected
    yield _asset(spec, facts, "environment", environments.document(spec, "train"))
    if is_pipeline(spec):
        yield _asset(spec, facts, "environment_register", environments.document(spec, "register"))
    if _has_cluster_step(spec):
        yield _asset(spec, facts, "compute", azureml.cluster(spec))
    code = code_of(data, facts)
    document = azureml.data(spec, collected.payload, code, "${{data}}")
    yield replace(_asset(spec, facts, _DATA, document), needs=("data",))


def _has_cluster_step(spec: Spec) -> bool:
    """Whether a step makes the cluster that jobs wait for: Terraform has not, and none is lent."""
    has = isinstance(spec.compute, AzuremlCompute) and spec.compute.cluster is not None
    return has and not ground.is_by_terraform(spec)


def is_pipeline(spec: Spec) -> bool:
    """Whether one job does all that is done in the workspace."""
    return isinstance(spec.compute, AzuremlCompute) and spec.compute.shape == "pipeline"


def is_scheduled(spec: Spec) -> bool:
    """Whether a clock starts the pipeline."""
    return isinstance(spec.compute, AzuremlCompute) and bool(spec.compute.schedule)


def _collected(data: Step) -> Step:
    """The data set with its images, which lie elsewhere otherwise."""
    *command, flag, out = data.payload["command"]
    words = [*command, "--collect", flag, out]
    return replace(data, payload={**data.payload, "command": words})


def _asset(spec: Spec, facts: Facts, step_id: str, document: dict[str, Any]) -> Step:
    payload = {"workspace": Place.of(spec).uri, "document": document}
    return Step(step_id, "azureml.create", payload, drift=_lost(document, facts))


def _lost(document: dict[str, Any], facts: Facts) -> str:
    """Why a made thing has to be made again; empty also where nobody asked the workspace."""
    gone = "it is not in the workspace any more, or not as it was made"
    return gone if facts.lost.get(json.dumps(document), False) else ""


def job(spec: Spec, step: Step, data: Step, assets: Mapping[str, str]) -> Step:
    """A step as a job.

    Args:
        spec: What is wanted.
        step: The step as a process on this machine.
        data: The step that makes the data set an asset.
        assets: Folders of this machine in its command line -> the models that they are.
    """
    assert isinstance(spec.compute, AzuremlCompute)
    words = [f"${{{{{_RIVAL}}}}}" if word in assets else word for word in step.payload["command"]]
    asset = data.payload["document"]
    known: dict[str, dict[str, str]] = {
        "spec": {"type": "uri_file", "path": "spec.json"},
        "data": {"type": "uri_folder", "path": f"azureml:{asset['name']}:{asset['version']}"},
        **{name: {"path": path} for name, path in step.payload.get("inputs", {}).items()},
    }
    for word in step.payload["command"]:
        if word in assets:
            known[_RIVAL] = {"type": "custom_model", "path": assets[word]}
    names = re.findall(r"\$\{\{(\w+)\}\}", " ".join(words))
    inputs = {
        name: known.get(name, {"type": "uri_folder", "path": f"${{{{{name}}}}}"})
        for name in names
        if name != "out"
    }
    document = azureml.job(replace(step, payload={**step.payload, "command": words}), inputs)
    return replace(
        step,
        action="azureml.job",
        payload={"workspace": Place.of(spec).uri, "job": document, "spec": step.payload["spec"]},
        needs=tuple(_DATA if need == "data" else need for need in step.needs),
        beside=("environment", "compute") if _has_cluster_step(spec) else ("environment",),
        variables={},
        terms=_terms(spec, azureml.terms(spec, step.id), [_cost(spec, step.id)]),
    )


def publish(spec: Spec, train: Step, key: str) -> Step:
    """What keeps the report with the job that trained, whatever it says.

    Args:
        spec: What is wanted.
        train: The training as a job.
        key: Its key.
    """
    payload = {
        "workspace": Place.of(spec).uri,
        "experiment": spec.name,
        "job": azureml.name_of(train, key),
        "pages": ["report.html", "model_card.md"],
    }
    return Step("publish", "azureml.publish", payload, needs=("report",), anyway=True)


def schedule(spec: Spec, pipeline: Step, facts: Facts) -> Step:
    """What starts a pipeline again and again, whatever came of it the first time.

    It keeps the terms of the pipeline, so that they are part of its key.
    """
    assert isinstance(spec.compute, AzuremlCompute)
    job = pipeline.payload["job"]
    again = {**job, "inputs": {**job["inputs"], "key": NOBODY}}
    clock = pipelines.schedule(spec.name, spec.compute.schedule or "")
    payload = {**pipeline.payload, "job": again, "schedule": clock, "terms": pipeline.terms["job"]}
    return replace(
        pipeline,
        id="schedule",
        action="azureml.schedule",
        payload={name: value for name, value in payload.items() if name != "rival"},
        beside=(*pipeline.beside, pipeline.id),
        anyway=True,
        drift=_lost(clock, facts),
        terms={**pipeline.terms, "costs": []},
    )


def _terms(spec: Spec, job: dict[str, Any], costs: list[dict[str, float | None]]) -> dict[str, Any]:
    assert isinstance(spec.compute, AzuremlCompute)
    return {"job": job, "wait": spec.compute.wait, "costs": costs}


def _cost(spec: Spec, step_id: str) -> dict[str, float | None]:
    assert isinstance(spec.compute, AzuremlCompute)
    return azure_sizes.of_job(spec.compute, spec.compute.nodes if step_id == "train" else 1)


def pipeline(spec: Spec, data: Step, parts: Mapping[str, Step], train: str, rival: str) -> Step:
    """One job of all steps, whose parameters a trigger may change.

    Args:
        spec: What is wanted.
        data: The step that makes the data set an asset.
        parts: Its steps as jobs, in order.
        train: The key of the training, by which the model is known again.
        rival: The champion that is to be beaten, as far as is known here: another one is another
            question.
    """
    asset = data.payload["document"]
    inputs = {
        "data": {"type": "uri_folder", "path": f"azureml:{asset['name']}:{asset['version']}"},
        "model": spec.registered_model,
        "key": train,
        "build": NOBODY,
        "build_address": NOBODY,
    }
    return Step(
        "pipeline",
        "azureml.pipeline",
        {
            "workspace": Place.of(spec).uri,
            "job": pipelines.document(parts, inputs),
            "specs": {name: step.payload["spec"] for name, step in parts.items()},
            "rival": rival,
        },
        needs=(_DATA,),
        code=tuple(dict.fromkeys(name for step in parts.values() for name in step.code)),
        beside=("environment", "environment_register", *(["compute"] if _has_cluster_step(spec) else [])),
        terms=_terms(spec, pipelines.terms(spec, parts), [_cost(spec, part) for part in parts]),
    )
