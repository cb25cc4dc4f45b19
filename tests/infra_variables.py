"""Variables of `infra/`, as specs render them: everything that can be wanted, and the least."""

from __future__ import annotations

import tempfile
from contextlib import chdir
from typing import TYPE_CHECKING, Any

from project import EXPERIMENTS, TERRAFORM, command_of, shipped_composer

from mlops_spec.render.terraform import variables
from mlops_spec.validate import parse

if TYPE_CHECKING:
    from pathlib import Path

_QUICK = ("+experiment=quickstart", *TERRAFORM)
EVERYTHING = (
    "infra.parts=[instance, kubernetes, custom_vision, web, devops]",
    "infra.devops.organization=https://dev.azure.com/example",
    "infra.devops.pipelines={train: ado/train.yml, deploy: ado/deploy.yml}",
    "infra.devops.variables=[scoring-key]",
    "infra.kubernetes.tls={certificate: scoring-tls, host: scoring.example.com}",
    "budget.per_month=100",
    "budget.alert=[owner@example.com]",
)


def rendered(*words: str) -> dict[str, Any]:
    """The variables of a spec."""
    composition = shipped_composer().compose(words or _QUICK)
    return variables(parse(composition.values, composition.origins, composition.problems))


def of_every_experiment(folder: Path) -> dict[str, dict[str, Any]]:
    """What each experiment of the repository renders, by itself and with everything."""
    found = {}
    for name in EXPERIMENTS:
        data = shipped_composer().compose([f"+experiment={name}"]).values["data"]
        words = [*command_of(name, folder, data), *TERRAFORM]
        found[name] = rendered(*words)
        found[f"{name}_all"] = rendered(*words, "infra=terraform_all", *EVERYTHING)
    return found


with tempfile.TemporaryDirectory() as _empty, chdir(_empty):  # what is composed is what ships
    FULL = rendered(*_QUICK, *EVERYTHING)
    LEAST = rendered(*_QUICK, "compute=azureml_serverless")
