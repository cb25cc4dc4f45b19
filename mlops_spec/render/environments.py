"""Libraries in a workspace, all from this package's own list of requirements.

    train        what a job needs: neither Hydra nor Azure's SDK
    register     the same with Azure's SDK, for the one job that asks the workspace
    development  everything, and what a notebook needs
    score        what serving a bundle needs, under Azure ML's inference server

Azure ML makes an image of a conda file by itself; `score` is an image of its own, whose context is
rendered, since endpoints outside of Azure ML use it too.
"""

from __future__ import annotations

from importlib.metadata import requires
from typing import TYPE_CHECKING, Any

import yaml
from packaging.requirements import Requirement

from mlops_spec import files
from mlops_spec.where import AzuremlCompute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.spec import Spec

SCHEMAS = "https://azuremlschemas.azureedge.net/latest"
VERSION = 12  # hexadecimal characters of a digest that name a version
BY_HAND = ("development", "score")  # which no step makes
# What only the engine needs: a job runs the trainers' command line from a recorded spec.
_ENGINE_ONLY = {"hydra-core", "omegaconf", "rich"}
# What the scoring service imports; docker/score/requirements.txt has the same.
_SCORING = {
    *("numpy", "pillow", "onnxruntime", "pydantic", "starlette", "uvicorn", "httptools", "uvloop"),
    *("python-multipart", "prometheus-client"),
}
_SERVER = "azureml-inference-server-http>=1.5"
_EXTRAS = {"register": ["azure"], "development": ["azure", "openvino", "signing"]}
_DOCKERFILE = """\
FROM {image}
ENV AZUREML_CONDA_ENVIRONMENT_PATH=/azureml-envs/score
COPY conda.yml /tmp/conda.yml
RUN conda env create -p $AZUREML_CONDA_ENVIRONMENT_PATH -f /tmp/conda.yml && conda clean -ay
ENV PATH=$AZUREML_CONDA_ENVIRONMENT_PATH/bin:$PATH ORT_DISABLE_TELEMETRY=1
"""


def document(spec: Spec, name: str) -> dict[str, Any]:
    """An environment as a CLI v2 document, its version by its content."""
    assert isinstance(spec.compute, AzuremlCompute)
    content: dict[str, Any] = {"image": spec.compute.image, "conda_file": _conda(spec, name)}
    made = context(spec, name) or content
    if name == "score":
        content = {"build": {"path": folder(name)}}
    called = {"name": f"mlops_spec-{name}", "version": files.sha256_of(made)[:VERSION]}
    return {"$schema": f"{SCHEMAS}/environment.schema.json", **called, **content}


def folder(name: str) -> str:
    """The context of an image, beside its document."""
    return f"environment_{name}"


def context(spec: Spec, name: str) -> dict[str, str]:
    """The files of the context of an image; none of an environment that Azure ML builds itself."""
    if name != "score":
        return {}
    assert isinstance(spec.compute, AzuremlCompute)
    conda = yaml.safe_dump(_conda(spec, name), sort_keys=False)
    return {"Dockerfile": _DOCKERFILE.format(image=spec.compute.image), "conda.yml": conda}


def _conda(spec: Spec, name: str) -> dict[str, Any]:
    extras = ["timm"] if spec.model.backbone.startswith("timm/") else []
    extras += _EXTRAS.get(name, [])
    found = [r for r in map(Requirement, requires("mlops_spec") or []) if _is_wanted(r, extras)]
    wanted = {f"{r.name}{r.specifier}" for r in found if _is_of(name, r.name)}
    wanted |= {"score": {_SERVER}, "development": {"ipykernel"}}.get(name, set())
    return {
        "name": name,
        "channels": ["conda-forge"],
        "dependencies": ["python=3.11", "pip", {"pip": sorted(wanted)}],
    }


def _is_wanted(requirement: Requirement, extras: Sequence[str]) -> bool:
    marker = requirement.marker
    there = {"sys_platform": "linux"}  # whatever machine this is rendered on
    return marker is None or any(marker.evaluate({"extra": e, **there}) for e in ["", *extras])


def _is_of(name: str, requirement: str) -> bool:
    if name == "score":
        return requirement in _SCORING
    return name == "development" or requirement not in _ENGINE_ONLY
